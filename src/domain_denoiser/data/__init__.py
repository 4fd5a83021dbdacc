"""The sources of clean images."""
