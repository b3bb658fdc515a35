"""What the run whose features are clustered makes of a table: its own preparation.

Columns that are not its own are no fault here: among them may be the labels that clusters are compared with.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import pyarrow as pa

from deepen.core.faults import Fault
from deepen.runtime.rows import Prepared

NOT_SAID = "column-extra"
_KIND = re.compile(r"[a-z_]{1,40}")


def prepared(table: pa.Table, state: dict[str, Any], split: str, faults: list[Fault]) -> Prepared:
    """The usable rows. Raises KeyError for a state without the run's own, ValueError for one of no kind."""
    of = state["of"]
    if not _KIND.fullmatch(str(of["kind"])):
        raise ValueError("the run's preparation has no plain name")
    module = importlib.import_module(f"deepen.runtime.prepare_{of['kind']}")
    own: list[Fault] = []
    found = module.prepared(table, of | {"sizes": state["sizes"]}, "predict", own)
    faults.extend(fault for fault in own if fault.kind != NOT_SAID)
    return found
