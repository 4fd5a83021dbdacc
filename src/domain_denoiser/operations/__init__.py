"""One command each: what `denoise` does, above everything that it needs."""
