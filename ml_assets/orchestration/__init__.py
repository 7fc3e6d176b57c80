"""The code for Dagster that all stages share: how assets are named, versioned, requested and locked."""
