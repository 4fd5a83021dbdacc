"""The networks, one architecture per file, and their stored weights."""
