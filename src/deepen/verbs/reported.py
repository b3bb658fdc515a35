"""The report page and model card of a finished run."""
from __future__ import annotations
def main_split(scored): return "test" if "test" in scored else "val" if "val" in scored else ""
def write_report(*a): pass
