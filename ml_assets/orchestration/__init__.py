"""What the stages share of Dagster: how assets are named, versioned and requested."""
