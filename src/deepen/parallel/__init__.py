"""One process and many behind one interface."""
