"""`denoise restore`: image files and folders of a user in, restored ones out."""
