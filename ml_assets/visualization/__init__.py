"""The visualization stage: an HTML report of the whole dataset, and the explorer that serves it."""
