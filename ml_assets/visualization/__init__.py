"""The visualization stage: the whole dataset to look at."""
