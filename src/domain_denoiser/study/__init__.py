"""The study: comparisons of the models with other methods and in other domains."""
