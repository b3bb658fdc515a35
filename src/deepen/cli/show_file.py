"""`deepen show FILE.onnx`: what an exported file says of itself. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepen.core.errors import OptionError

MOST_LABELS = 10


def described(path: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The file's own description, the seal verified.

    given  options of the command; none but `json` is for files

    Raises OptionError for another option, RunError for a file that is missing, damaged or foreign.
    """
    from deepen.runtime import onnx_file

    wrong = [name for name in given if name != "json"]
    if wrong:
        name = wrong[0].replace("_", "-")
        raise OptionError(f"--{name}: for models and runs; show the run that {path} was made from.")
    file = onnx_file.read(Path(path))
    known = file.description
    checked = known["checked"]
    found: dict[str, Any] = {
        "file": path,
        "bytes": len(file.content),
        "task": known["task"],
        "model": known["model"],
        "run": known["run"].get("name"),
        "opset": known["opset"],
    }
    labels = known["answer"].get("labels")
    if isinstance(labels, list):
        found["labels"] = len(labels)
        found["first_labels"] = ", ".join(map(str, labels[:MOST_LABELS])) + (
            ", ..." if len(labels) > MOST_LABELS else ""
        )
    found |= {
        "preparation": known["preparation"]["kind"],
        "engines": ", ".join(checked.get("engines", ())),
        "scored": f"{checked['count']:,} of {checked['split']}" if "count" in checked else None,
        "largest_difference": checked.get("largest_difference"),
        "figures": checked.get("after", {}),
        "written_with": known["versions"].get("deepen"),
    }
    return {name: value for name, value in found.items() if value is not None}
