"""Killing, filling and flipping: what a run folder must outlive."""
