"""Metrics that label tasks share: tallies of samples, bootstrap intervals, average precision, agreement."""
