"""The features stage: embeddings, and the feature sets that models learn from."""
