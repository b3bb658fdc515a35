"""`show schedule`: the learning rate over training, as numbers and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepen.core import options
from deepen.core.errors import OptionError
from deepen.core.figures import Curves
from deepen.core.files import write_text
from deepen.core.names import did_you_mean
from deepen.engine import schedule
from deepen.engine.options import ScheduleOptions
from deepen.report.svg_file import document
from deepen.verbs.options import require_read

ALL = "all"
NUM_POINTS = 241
EXAMPLE_EVALUATIONS = 40  # of a plateau, which without evaluations would be a straight line
EXAMPLE_STALLS = 0.25  # the part of training after which the example gets no better


@dataclass(frozen=True)
class Peak:
    """The peak."""

    learning_rate: float = field(default=1.0, metadata={"help": "the peak learning rate", "alias": "lr", "above": 0.0})


@dataclass(frozen=True)
class Drawing:
    """What is drawn"""

    schedule: ScheduleOptions = field(default=ScheduleOptions())
    optimizer: Peak = field(default=Peak())
    epochs: int | None = field(
        default=None, metadata={"help": "label the axis in epochs, not in parts of training", "least": 1}
    )


def show_schedule(
    kind: str = "", given: Mapping[str, Any] | None = None, *, out: str | Path | None = None, flags: bool = False
) -> dict[str, Any]:
    """What `deepen show schedule` prints: {"schedules": {kind: {"options", "note", "points"}}, "x_label", "y_label"}.

    kind   a schedule's name, "all" for every one with the same options as far as it reads them, or "" for what `given`
           says
    given  the options of `Drawing`, under any spelling
    out    an SVG file to write

    Raises OptionError for an unknown kind or option, and for one that the kind does not read.
    """
    fields = options.fields_of(Drawing)
    stated = options.resolve(fields, given or {}, flags=flags)
    kinds = _kinds(kind, stated)
    found = {}
    for name in kinds:
        values = {**stated, "schedule.kind": name}
        if len(kinds) == 1:
            require_read(values, stated, fields, flags=flags)
        found[name] = _drawn(options.build(Drawing, values))
    drawing = options.build(Drawing, stated)
    result = {
        "schedules": found,
        "x_label": "epoch" if drawing.epochs else "part of training",
        "y_label": "learning rate",
    }
    if out is not None:
        write_text(out, document(figures(result), columns=2 if len(found) > 1 else 1, from_zero=True))
    return result


def figures(result: Mapping[str, Any]) -> list[Curves]:
    """A chart for each schedule of a result."""
    return [
        Curves(name, result["x_label"], result["y_label"], {name: [tuple(p) for p in one["points"]]}, note=one["note"])
        for name, one in result["schedules"].items()
    ]


def _kinds(kind: str, stated: Mapping[str, Any]) -> list[str]:
    said = stated.get("schedule.kind")
    if kind == ALL and said is None:
        return list(schedule.READS)
    if kind and kind not in schedule.READS:
        raise OptionError(f"{kind!r}: no such schedule{did_you_mean(kind, [*schedule.READS, ALL])}")
    if kind and said not in (None, kind):
        raise OptionError(f"--schedule.kind {said}: contradicts {kind!r} before it; give one of them.")
    return [kind or said or ScheduleOptions().kind]


def _drawn(drawing: Drawing) -> dict[str, Any]:
    chosen = drawing.schedule
    reads = [*schedule.READS[chosen.kind], "warm_up", "warm_up_shape"]
    reads += ["warm_up_factor"] if chosen.warm_up_shape == "constant" else []
    scale, note = _plateau(chosen) if chosen.kind == "plateau" else (lambda progress: 1.0, "")
    points = []
    for index in range(NUM_POINTS):
        progress = index / (NUM_POINTS - 1)
        rate = drawing.optimizer.learning_rate * schedule.factor(chosen, progress) * scale(progress)
        points.append([round(progress * (drawing.epochs or 1), 6), float(f"{rate:.6g}")])
    shown = {name: value for name, value in dataclasses.asdict(chosen).items() if name in reads}
    return {"options": shown, "note": note, "points": points}


def _plateau(chosen: ScheduleOptions) -> tuple[Any, str]:
    """The scale over progress in an example: a loss that falls for a while and then stays."""
    plateau = schedule.Plateau(chosen)
    scales = [1.0]
    for index in range(1, EXAMPLE_EVALUATIONS + 1):
        plateau.see(max(1 - index / EXAMPLE_EVALUATIONS, 1 - EXAMPLE_STALLS), larger_is_better=False)
        scales.append(plateau.scale)
    note = (
        f"an example: {EXAMPLE_EVALUATIONS} evaluations, of a loss that falls over the first {EXAMPLE_STALLS:.0%} of "
        "training and then stays"
    )
    return lambda progress: scales[int(progress * EXAMPLE_EVALUATIONS + 1e-9)], note
