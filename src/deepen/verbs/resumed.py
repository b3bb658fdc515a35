"""Going on with a run: with its own options, and only on the data it was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepen.bundle import header
from deepen.core.errors import OptionError, RunError
from deepen.verbs.options import Resolved, rebuilt
from deepen.verbs.reweighted import RECORD

MAY_CHANGE = {"device", "devices", "threads", "checkpoint_every"}  # what a resumed run may do otherwise


def base_of_run(task: str, folder: str | Path | None) -> dict[str, Any]:
    """What the options of a run to go on with are read upon: its own, but for its network's, which another one has not.

    Empty where there is no run of this task in the folder.
    """
    if folder is None or not Path(folder, header.RUN_FILE).exists():
        return {}
    said = header.read_header(Path(folder))
    if said["task"] != task:
        return {}
    own: dict[str, Any] = dict(said["options"])  # type: ignore[call-overload]
    return {name: value for name, value in own.items() if not name.startswith("network.")} | {"model": said["model"]}


def resumed(task: str, chosen: Resolved, folder: Path | None) -> tuple[Path | None, Resolved]:
    """The folder and options of the run to go on with. A folder that does not exist yet is simply a new run.

    Raises OptionError if an option is stated that differs from the run's, RunError if the run is done or of another
    task.
    """
    if folder is None:
        raise OptionError("--resume: expected the run to go on with; name its folder with --out runs/NAME.")
    if not (folder / header.RUN_FILE).exists():
        return folder, chosen
    said: dict[str, Any] = header.read_header(folder)
    if said["task"] != task:
        raise RunError(f"{folder}: is a run of {said['task']}, not of {task}; name the task it was trained for.")
    if said["status"] == "done":
        raise RunError(f"{folder}: this run is done; nothing is left to resume. Train anew with another --out.")
    require_same_options(folder, said, chosen)
    allowed = {name: chosen.flat[name] for name in MAY_CHANGE & chosen.stated}
    return folder, rebuilt(task, {**said["options"], **allowed})


def require_same_options(folder: Path, said: Mapping[str, Any], chosen: Resolved) -> None:
    """Raises OptionError if an option is stated that differs from those of the run in the folder, whose header says
    `said`."""
    before = said["options"]
    differing = [
        f"{name} ({before[name]} before, {chosen.flat[name]} now)"
        for name in sorted(chosen.stated - MAY_CHANGE)
        if name in before and before[name] != chosen.flat[name]
    ]
    if differing:
        raise OptionError(
            f"--resume: expected the options of {folder}, but these differ: {', '.join(differing)}; leave them out, "
            f"or train anew with another --out. {', '.join(sorted(MAY_CHANGE))} may change."
        )


def require_same_data(folder: Path, fingerprint: str) -> None:
    """Raises RunError if the run in the folder was begun on other content."""
    said: dict[str, Any] = header.read_header(folder)
    before = said["data"]["fingerprint"]
    if before != fingerprint:
        raise RunError(
            f"{folder}: was trained on other data than this (fingerprint {before[:12]}, now {fingerprint[:12]}); "
            "resume with the data as it was, or train anew with another --out."
        )


def require_same_weighting(folder: Path, now: Mapping[str, Any]) -> None:
    """Raises RunError if the run in the folder weights its samples by other content of --reweight or --reweight-run.

    now  what the weights were made from; that of an older run is not known
    """
    said: dict[str, Any] = header.read_header(folder)
    before, options = said["extra"].get(RECORD) or now, said["options"]
    differing = next((name for name in ("fingerprint", "run") if before.get(name) != now.get(name)), None)
    if differing is not None:
        place = f"--reweight {options['reweight']}"
        if differing == "run":
            place = f"--reweight-run {options['reweight_run']}"
        raise RunError(
            f"{place}: has changed since {folder} was begun, whose training samples are weighted by it; restore it, or "
            "train anew with another --out."
        )
