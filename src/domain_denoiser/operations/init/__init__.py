"""`denoise init`: a clone of the project becomes that of a folder of one's own images."""
