"""Whether images are of the kind that a model was trained for, and how sure that is. Knows no networks."""
