"""Files of pictures and sounds: known by how they begin, checked by their headers, read into arrays."""
