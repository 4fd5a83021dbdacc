"""What the models are compared with, and where else they are looked at."""
