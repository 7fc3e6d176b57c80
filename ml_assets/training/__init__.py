"""The training stage: from a feature set to a model, its study and its evaluation."""
