"""Unlabelled samples for a student, from files or folders as the task reads them, or drawn from a generator's run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from deepen.bundle.header import RUN_FILE
from deepen.compress.further import Drawn, Found, Further, completed
from deepen.core import rng
from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.faults import refuse
from deepen.core.units import plural
from deepen.data.dataset import Dataset
from deepen.engine.task import Sampled
from deepen.ops.variational import normal_from_uniform
from deepen.prepare.encoded import Encoded
from deepen.prepare.image_guard import guarded
from deepen.verbs.loaded import Loaded, loaded, schema_of
from deepen.verbs.prepared import read

PICTURES = ("image",)
GENERATOR = ("decode", "bound", "code_size")  # what a network that can draw has: codes are normal, and it decodes them
MOST_BYTES = 1 << 30  # of pictures drawn for one epoch
DECODED_AT_ONCE = 500


def further_inputs(place: str, model: Loaded, task: Any, encoded: Mapping[str, Encoded]) -> tuple[Further, list[str]]:
    """Samples that the teacher is asked about, and sentences about them.

    place    a file or folder that the task reads, labels or not, or the run folder of a generator
    model    the teacher
    task     prepares the samples, as it prepares what is to be answered
    encoded  the teacher's own samples, by split

    Samples that are also among the validation or test samples are left out. Raises OptionError, DataError or RunError
    for what does not fit.
    """
    name = str(model.header["task"])
    schema = schema_of(model)
    if not schema.needs_target:
        raise OptionError(
            f"--inputs-from {place}: samples of {name} have no labels that a teacher could give them; train on more "
            "data instead, and leave this out."
        )
    if (Path(place) / RUN_FILE).exists():
        if schema.inputs != PICTURES:
            raise OptionError(
                f"--inputs-from {place}: is a run, which could draw pictures, but {name} reads none; name a file or "
                "folder of samples."
            )
        return _drawn(place, model, task, encoded["train"])
    return _read(place, model, task, encoded)


def _read(place: str, model: Loaded, task: Any, encoded: Mapping[str, Encoded]) -> tuple[Found, list[str]]:
    own = model.options.read
    free = dataclasses.replace(
        model.options, read=dataclasses.replace(own, targets_needed=False, group="", hashes="", labels="")
    )
    dataset, _ = read(str(model.header["task"]), place, free)
    faults = list(dataset.faults)
    table, num_held = _without(_whole(dataset), encoded)
    with guarded():
        found: Encoded = task.encode(table, "predict", faults)
    refuse(faults, skip_bad=bool(model.header["extra"].get("skip_bad")))
    if not len(found):
        raise DataError(f"--inputs-from {place}: has no samples beside those of validation and test; name others.")
    notes = [f"{plural(len(found), 'unlabelled sample')} from {place}, labelled by {model.folder} alone"]
    if num_held:
        notes.append(f"{plural(num_held, 'sample')} of {place} left out, being among those of validation or test")
    return Found(completed(found, encoded["train"])), notes


def _whole(dataset: Dataset) -> pa.Table:
    """All samples as one table, with the columns that all parts have."""
    tables = list(dataset.tables.values())
    shared = [name for name in tables[0].column_names if all(name in each.column_names for each in tables)]
    return pa.concat_tables([each.select(shared) for each in tables], promote_options="permissive")


def _without(table: pa.Table, encoded: Mapping[str, Encoded]) -> tuple[pa.Table, int]:
    """The samples that are not held out to judge by, and how many are."""
    keys = {key for name in ("val", "test") if name in encoded for key in encoded[name].table.column("key").to_pylist()}
    kept = table.filter(pa.array([key not in keys for key in table.column("key").to_pylist()], pa.bool_()))
    return kept, table.num_rows - kept.num_rows


def _drawn(place: str, model: Loaded, task: Any, train: Encoded) -> tuple[Drawn, list[str]]:
    generator = loaded(place, device="cpu")
    network: Any = generator.model
    if not all(hasattr(network, each) for each in GENERATOR):
        raise RunError(
            f"--inputs-from {place}: its {generator.options.flat['model']} cannot draw new samples; name a run of a "
            "variational autoencoder, or a file or folder of samples."
        )
    given, wanted = _shape(generator.task), _shape(task)
    if given != wanted:
        raise RunError(
            f"--inputs-from {place}: draws pictures of {_spelled(given)} (channels, height, width), but {model.folder} "
            f"reads {_spelled(wanted)}; train the generator on pictures of that shape."
        )
    count = min(len(train), max(1, MOST_BYTES // max(1, int(np.prod(wanted)))))

    def draw(seed: int, epoch: int) -> Encoded:
        table = pictures(network, count, seed=seed, epoch=epoch)
        return completed(task.encode(table, "predict", []), train)

    return Drawn(count, draw), [f"{plural(count, 'picture')} drawn anew from {place} for each epoch"]


@torch.no_grad()
def pictures(generator: nn.Module, count: int, *, seed: int, epoch: int) -> pa.Table:
    """Pictures decoded from draws of the prior Normal(0, I), as a table of samples.

    Each is a function of (seed, epoch, row). What is decoded is the mean of p(x | z), in 256 steps.
    """
    own: Any = generator
    uniform = rng.uniform(seed, epoch, np.arange(count), own.code_size, "drawn samples")
    codes = normal_from_uniform(torch.from_numpy(uniform))
    decoded = torch.cat([own.decode(part) for part in codes.split(DECODED_AT_ONCE)])
    pixels = (decoded.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy().copy(order="C")
    names = pa.array([f"drawn sample {row + 1}" for row in range(count)])
    keys = pa.array([f"{rng.key(seed, 'drawn samples', epoch, row):032x}" for row in range(count)])
    return pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels), "source": names, "key": keys})


def _shape(task: Any) -> tuple[int, ...]:
    """Of one sample as the network reads it."""
    return tuple(task.sample()[0].shape[1:]) if isinstance(task, Sampled) else ()


def _spelled(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
