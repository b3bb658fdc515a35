"""Errors, files, random numbers, names, options and units: what every room may use. Never imports torch."""
