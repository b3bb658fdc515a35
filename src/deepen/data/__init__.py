"""Raw files to Arrow tables, and their order."""
