"""The run folder: its format, written whole or not at all, and verified to the last bit when it is read."""
