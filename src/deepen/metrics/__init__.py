"""Figures of merit: add batches, merge ranks, read out."""
