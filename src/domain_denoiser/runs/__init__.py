"""From dvc.lock, git and the cache to MLflow: keys, records, the store, the registry, the champion."""
