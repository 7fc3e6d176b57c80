"""Helpers by which label tasks read and write answers: classes, JSON lists, Label Studio regions."""
