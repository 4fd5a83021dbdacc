"""`denoise retrain`, `report`, `propose` and `announce`: from new data to a pull request."""
