"""Smaller and faster networks from a trained one; what differs from the one that a task builds is a list of steps."""
