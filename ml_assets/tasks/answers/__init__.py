"""What all label tasks read and write answers with: classes, JSON lists, the regions of Label Studio."""
