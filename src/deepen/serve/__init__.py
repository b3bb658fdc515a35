"""Runs as a server on this machine: requests to rows, rows in batches to worker processes, answers by position."""
