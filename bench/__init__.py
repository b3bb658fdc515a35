"""Speed and quality, measured: each script is run as `python -m bench.NAME` from the repository's root."""
