"""Image files in and out, with their types and what they carry beside pixels; knows no networks."""
