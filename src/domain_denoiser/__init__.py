"""Auto-encoders that denoise the images of one domain."""
