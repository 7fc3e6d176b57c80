"""The deployment stage: a model packaged as a Bento, served by the endpoint, used in bulk."""
