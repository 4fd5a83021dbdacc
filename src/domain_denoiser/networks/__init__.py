"""The networks, an architecture a file, and where their weights are stored."""
