"""A run's numbers beside those that the authors of the paper printed."""
