"""From content to vectors: models that come as packages, lie in folders, or stand on the Hugging Face Hub."""
