"""One file per layout that people really have."""
