"""The monitoring stage: profiles, drift and accuracy of what the endpoint answers, and the trace of a prediction."""
