"""`denoise inspect`: what image files and folders hold, how noisy it is, and what restoring it would take."""
