"""A run to report.html and the model card."""
