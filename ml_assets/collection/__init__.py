"""The collection stage: from sources and the inbox to samples."""
