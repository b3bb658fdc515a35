"""Planted faults: every case of the catalogue, held to the same promises."""
