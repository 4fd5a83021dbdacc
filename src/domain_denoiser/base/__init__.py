"""Files, errors, signals, secrets, processes, progress, YAML and JSON: knows no images, and cannot change a result."""
