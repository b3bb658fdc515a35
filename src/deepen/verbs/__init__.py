"""One file per verb: what the command line and the Python API both call."""
