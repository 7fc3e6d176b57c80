"""What the endpoint hands to the stages: predictions and feedback in segments, pushed samples and labels in the inbox."""
