"""`train --pretrain`: whether the network can be pretrained, and the further data of `--pretrain-on`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepen.bundle import checkpoint, header
from deepen.core import names
from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.faults import Fault, refuse
from deepen.core.figures import Curves, Figure
from deepen.core.units import plural
from deepen.data import read as reading
from deepen.nn.sketch import sketched
from deepen.nn.stack import Stacked
from deepen.prepare.encoded import Encoded
from deepen.prepare.image_guard import guarded
from deepen.verbs.options import Resolved, task_module
from deepen.verbs.prepared import Prepared

RECORD = "pretrained_on"  # the entry of run.json's `extra` about the further data
COURSE = "pretraining"  # the entry about how the layers learned
OFFERS = "def stack("  # what the source of a network with a stack holds


@dataclass(frozen=True)
class Unlabelled:
    """Samples for pretraining alone.

    encoded  as the task encodes what it is to answer for
    record   for run.json: where they are from, how many there are, and the data's fingerprint
    notes    sentences for the user
    """

    encoded: tuple[Encoded, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def unlabelled(
    task: str,
    chosen: Resolved,
    prepared: Prepared,
    *,
    folder: Path | None = None,
    record: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
) -> Unlabelled:
    """The samples of `--pretrain-on`, read as `predict` reads its inputs and encoded by what the training table taught.

    folder, record  of a run that goes on, or that another rank has begun: with a checkpoint the data are not read, and
                    without one they must be the same

    Raises OptionError where the network has no stack of layers to pretrain; DataError for data that cannot be used, and
    RunError for others than before.
    """
    options = chosen.fit
    if options.pretrain is None:
        return Unlabelled()
    require_stack(task, chosen, prepared)
    if options.pretrain_on is None:
        return Unlabelled()
    if record and folder and checkpoint.has_checkpoint(folder):
        return Unlabelled((), dict(record))
    place = options.pretrain_on
    faults: list[Fault] = []
    read_options = dataclasses.replace(chosen.read, targets_needed=False, group="", hashes="")
    dataset = reading.read(place, task_module(task).schema(chosen.task), read_options)
    fingerprint = dataset.fingerprint()
    if record and record["fingerprint"] != fingerprint:
        raise RunError(
            f"--pretrain-on {place}: the run was begun with other data there (fingerprint "
            f"{record['fingerprint'][:12]}, now {fingerprint[:12]}) and has no checkpoint yet; restore them, or train "
            "anew with another --out."
        )
    with guarded():
        encoded = [prepared.task.encode(table, "predict", faults) for table in dataset.tables.values()]
    encoded = [each for each in encoded if len(each) > 0]
    faults = [*dataset.faults, *faults]
    _refuse(faults, place, skip_bad)
    count = sum(map(len, encoded))
    if count == 0:
        raise DataError(f"--pretrain-on {place}: expected samples to pretrain on, but there are none.", faults)
    said = {"path": str(place), "fingerprint": fingerprint, "count": count}
    notes = [f"pretraining sees {plural(count, 'further sample')} of {place}, without labels"]
    skipped = sum(fault.level == "sample" for fault in faults)
    if skipped:
        notes.append(f"{plural(skipped, 'bad sample')} of {place} left out (--skip-bad)")
    return Unlabelled(tuple(encoded), said, tuple(notes))


def require_stack(task: str, chosen: Resolved, prepared: Prepared) -> None:
    """Raises OptionError, naming those that have one, if the network has no stack of layers to pretrain."""
    with sketched():
        network = prepared.task.build()
    if isinstance(network, Stacked) and network.stack().layers:
        return
    contract = task_module(task).CONTRACT
    offered = [
        name
        for name, named in sorted(names.models().items())
        if contract in named.contracts and OFFERS in _source(named.module)
    ]
    others = f"such networks are: {', '.join(offered)}" if offered else "no network of this task has one; leave it out"
    raise OptionError(
        f"--pretrain {chosen.fit.pretrain}: {chosen.task.model} has no stack of hidden layers to pretrain; {others}."
    )


def record_of_run(folder: Path) -> dict[str, Any] | None:
    """What run.json says about the further data that the run in this folder began with."""
    extra = header.read_header(folder)["extra"]
    assert isinstance(extra, Mapping)
    return extra.get(RECORD)


def figure(course: list[dict[str, Any]]) -> list[Figure]:
    """The error of reconstruction of each layer over the epochs of its pretraining; nothing where there was none."""
    if not course:
        return []
    lines = {
        f"layer {index}: {layer['inputs']:,} to {layer['units']:,}": [
            (float(epoch), float(error)) for epoch, error in enumerate(layer["errors"], start=1)
        ]
        for index, layer in enumerate(course, start=1)
    }
    note = "Error of reconstruction as a part of the variance of what comes to the layer: 1 is as bad as their mean."
    return [Curves("Pretraining, layer by layer", "epoch", "part of the variance", lines, note)]


def _source(module: str) -> str:
    return (names.PACKAGE / "models" / f"{module.rpartition('.')[2]}.py").read_text("utf-8")


def _refuse(faults: list[Fault], place: str, skip_bad: bool) -> None:
    try:
        refuse(faults, skip_bad=skip_bad)
    except DataError as error:
        raise DataError(f"--pretrain-on {place}: {error}", error.faults) from error
