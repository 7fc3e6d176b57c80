"""What the sources share: where files are, and the rows of tables in each format."""
