"""Reads files of pictures and sounds: detects formats by signature, checks headers, converts to arrays."""
