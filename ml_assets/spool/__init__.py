"""Files by which the endpoint passes data to the stages: segments (predictions, feedback) and the inbox (pushed data)."""
