"""Evaluation: tables with one row per image, their means, intervals and figures."""
