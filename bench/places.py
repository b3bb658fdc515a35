"""Where the real data sets lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "DEEPEN_SHARED_DATA"


def data_set(name: str, chosen: str | None = None) -> Path:
    """The folder of a data set: the one chosen, else under $DEEPEN_SHARED_DATA, else beside the checkout.

    Ends the script with one sentence if it is not there.
    """
    shared = Path(os.environ.get(VARIABLE) or ROOT.parent / "shared" / "data")
    folder = Path(chosen) if chosen else shared / name
    if not folder.exists():
        sys.exit(f"{folder}: no such data set; name it, or the folder that holds it in {VARIABLE}.")
    return folder
