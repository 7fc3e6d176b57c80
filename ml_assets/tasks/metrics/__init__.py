"""What all label tasks count with: metrics from tallies of samples, their intervals, and the agreement of answers."""
