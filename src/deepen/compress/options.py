"""What may be done to a run, each option once, and which ways of compressing read it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from deepen.core.errors import OptionError
from deepen.core.options import flag_of

Method = Literal[
    "distil", "average", "channels", "prune", "low-rank", "early-exit", "int8", "int8-weights", "fixed-point"
]
WHOLE: tuple[Method, ...] = ("int8", "int8-weights", "fixed-point")
READERS: dict[str, tuple[str, ...]] = {
    "channels": ("channels",),
    "criterion": ("channels",),
    "sparsity": ("prune",),
    "pace": ("prune",),
    "by_layer": ("prune",),
    "energy": ("low-rank",),
    "exits": ("early-exit",),
    "exit_accuracy": ("early-exit",),
    "exit_cost": ("early-exit",),
    "bits": ("fixed-point",),
    "aware": ("int8", "fixed-point"),
    "calibration": ("int8", "fixed-point"),
    "clip": ("int8",),
    "keep": (*WHOLE, "low-rank"),
    "student": ("distil",),
    "student_options": ("distil",),
    "temperature": ("distil",),
    "teacher_weight": ("distil",),
    "hints": ("distil",),
    "hint_weight": ("distil",),
    "unlabelled": ("distil",),
    "copies": ("distil",),
    "inputs_from": ("distil",),
    "soup": ("average",),
}


@dataclass(frozen=True)
class CompressOptions:
    """What is done, in this order where several are named"""

    method: tuple[Method, ...] = field(
        default=("int8",),
        metadata={"help": "what is done, one after the other; with --budget what may be combined"},
    )
    budget: str | None = field(
        default=None,
        metadata={
            "help": "search for the best that keeps to this, such as 'latency<2ms' or 'accuracy>-0.5%%'".replace(
                "%%", "%"
            )
        },
    )
    epochs: float | None = field(
        default=None,
        metadata={
            "help": "passes over the training data to tune after each step; default: 3, of small data more (channels, "
            "prune, low-rank, early-exit, --aware), of distil what the student's own recipe says; 0: none",
            "least": 0.0,
        },
    )
    rate: float = field(
        default=0.1, metadata={"help": "the learning rate of tuning as a part of the run's own", "above": 0.0}
    )
    channels: float = field(
        default=0.5, metadata={"help": "part of the channels to remove (channels)", "above": 0.0, "below": 1.0}
    )
    criterion: Literal["l1", "norm"] = field(
        default="l1", metadata={"help": "which go first: least weights, or least scale of the batch norm (channels)"}
    )
    sparsity: float = field(
        default=0.8, metadata={"help": "part of the weights to set to zero (prune)", "above": 0.0, "below": 1.0}
    )
    pace: Literal["gradual", "one-shot"] = field(
        default="gradual", metadata={"help": "more and more while tuning, or all at once before (prune)"}
    )
    by_layer: bool = field(
        default=False, metadata={"help": "the same part of each layer, not the least of all (prune)"}
    )
    energy: float = field(
        default=0.9,
        metadata={
            "help": "part of the squared singular values that a layer keeps (low-rank)",
            "above": 0.0,
            "below": 1.0,
        },
    )
    exits: tuple[int, ...] = field(
        default=(),
        metadata={"help": "stages after which an exit stands, from 1; default: all but the last (early-exit)"},
    )
    exit_accuracy: str | None = field(
        default=None,
        metadata={"help": "what exits shall keep on validation, such as 93%; default: -0.2% of the whole (early-exit)"},
    )
    exit_cost: float | None = field(
        default=None,
        metadata={
            "help": "instead: the mean time of a sample, as a part of the whole network's (early-exit)",
            "above": 0.0,
        },
    )
    bits: int = field(default=8, metadata={"help": "width of weights and inputs (fixed-point)", "least": 2, "most": 16})
    aware: bool = field(default=False, metadata={"help": "tune with the rounding in place (int8, fixed-point)"})
    calibration: int = field(
        default=512, metadata={"help": "validation samples from which the grids of inputs are learned", "least": 1}
    )
    clip: bool = field(default=True, metadata={"help": "cut off rare large inputs where that rounds the rest better"})
    keep: tuple[str, ...] = field(default=(), metadata={"help": "layers that stay as they are, by name"})
    student: str | None = field(default=None, metadata={"help": "the network that learns from the run (distil)"})
    student_options: tuple[str, ...] = field(
        default=(), metadata={"help": "its own options, such as width=32,depth=2 (distil)"}
    )
    temperature: float | None = field(
        default=None,
        metadata={
            "help": "by which logits are divided (distil); default: 4, of what is answered place by place 1",
            "above": 0.0,
        },
    )
    teacher_weight: float = field(
        default=0.7, metadata={"help": "of the teacher beside the labels (distil)", "least": 0.0, "most": 1.0}
    )
    hints: tuple[str, ...] = field(
        default=(), metadata={"help": "pairs STUDENT_LAYER:TEACHER_LAYER that shall say the same (distil)"}
    )
    hint_weight: float = field(default=1.0, metadata={"help": "of each hint (distil)", "above": 0.0})
    unlabelled: Literal["none", "augment", "munge", "gaussian"] = field(
        default="none",
        metadata={
            "help": "inputs that only the teacher labels, without end (distil): the task's augmentation; MUNGE, from "
            "neighbours; drawn from a Gaussian fitted to the samples"
        },
    )
    copies: int = field(
        default=5,
        metadata={
            "help": "versions of each sample that the teacher is asked about (distil); epochs beyond take them and its "
            "answers again, so that they cost the student alone; 0, and with hints, for language models and taggers: "
            "new ones in every epoch",
            "least": 0,
        },
    )
    inputs_from: str | None = field(
        default=None,
        metadata={
            "help": "further samples that only the teacher labels (distil): a file or folder, or a variational "
            "autoencoder's run, which draws pictures without end"
        },
    )
    soup: Literal["uniform", "greedy"] = field(
        default="uniform", metadata={"help": "the mean of all runs, or of those that help on validation (average)"}
    )


def refuse_unread(stated: Collection[str], methods: Sequence[str], *, flags: bool) -> None:
    """Raises OptionError for a stated option that none of the methods reads."""
    for name in stated:
        readers = READERS.get(name)
        if readers is not None and not set(readers) & set(methods):
            place = flag_of(name) if flags else name
            raise OptionError(f"{place}: only {' and '.join(readers)} read it, not {', '.join(methods)}; leave it out.")


def require_order(methods: Sequence[str]) -> None:
    """Raises OptionError for methods that cannot follow one another."""
    for place, name in enumerate(methods):
        if name in methods[:place]:
            raise OptionError(f"--method: {name} is named twice; name it once.")
        if name in ("distil", "average") and place:
            raise OptionError(f"--method: {name} begins from whole runs, so it comes first; reorder them.")
        if place and methods[place - 1] == "early-exit" and name not in WHOLE:
            raise OptionError(f"--method: only whole numbers can follow early-exit, not {name}; reorder them.")
        if place and methods[place - 1] in WHOLE:
            raise OptionError(f"--method: {methods[place - 1]} comes last, since whole numbers are not tuned; reorder.")
