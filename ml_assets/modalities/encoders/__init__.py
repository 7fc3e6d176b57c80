"""Encoders, which turn content into vectors: models from packages, from folders, or from the Hugging Face Hub."""
