"""The labeling stage: samples go to annotators in Label Studio, their answers come back and become labels."""
