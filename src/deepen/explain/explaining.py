"""What crosses between a task that can explain its answers and the verb that asks: no torch until it is used.

A task offers `explainer()` (the protocol Explainable). The verb knows methods by name and by what they need; what they
do, and with which tensors, only the explainer knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from deepen.core.errors import OptionError
from deepen.core.figures import Figure, Sample
from deepen.core.names import did_you_mean
from deepen.core.options import flag_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from deepen.engine.task import Task
    from deepen.prepare.encoded import Encoded

Needs = Literal["network", "samples", "table"]


@dataclass(frozen=True)
class ExplainOptions:
    """What to explain, and how"""

    method: tuple[str, ...] = field(
        default=(), metadata={"help": "methods by name; default: those that suit the data and the network"}
    )
    of_class: str = field(default="", metadata={"help": "the class to explain; default: the one answered"})
    samples: int | None = field(
        default=None,
        metadata={"help": "how many samples to explain; default: 8 of a split, up to 50 that are named", "least": 1},
    )
    layer: tuple[str, ...] = field(
        default=(),
        metadata={"help": "layers, as `deepen show RUN` names them: of activations and filters, the first of grad-cam"},
    )
    baseline: Literal["auto", "black", "white", "mean", "blur"] = field(
        default="auto",
        metadata={"help": "the picture that shows nothing; auto: black for integrated gradients, the mean for patches"},
    )
    steps: int = field(
        default=64, metadata={"help": "points on the path of integrated gradients, doubled as needed", "least": 1}
    )
    noise: float = field(
        default=0.15,
        metadata={"help": "deviation of SmoothGrad's noise, as a share of a picture's range", "above": 0.0},
    )
    draws: int = field(default=25, metadata={"help": "noisy copies in SmoothGrad", "least": 1})
    patch: int | None = field(
        default=None, metadata={"help": "side of the occluding patch; default: a seventh of the picture", "least": 1}
    )
    stride: int | None = field(
        default=None, metadata={"help": "pixels the patch moves at a time; default: half of it", "least": 1}
    )
    repeats: int = field(default=5, metadata={"help": "shuffles of each column", "least": 2})
    curves: tuple[str, ...] = field(
        default=(), metadata={"help": "columns whose partial dependence is drawn; default: the six that matter most"}
    )
    rows: int = field(
        default=500, metadata={"help": "rows that partial dependence is averaged over, drawn at random", "least": 2}
    )
    grid: int = field(default=20, metadata={"help": "values of a column in its partial dependence", "least": 2})
    references: int = field(
        default=64, metadata={"help": "rows that a row is compared with, drawn at random", "least": 1}
    )
    orders: int = field(
        default=4, metadata={"help": "orders of the columns per such row, for Shapley values", "least": 1}
    )
    seed: int = field(default=0, metadata={"help": "of every random choice here"})


@dataclass(frozen=True)
class Request:
    """What is to be explained.

    task        that of the run
    model       its network, in evaluation mode, on `device`
    encoded     the samples at hand; `has_targets` says whether with the truth
    rows        [B] int64: those of them that are explained one by one
    reference   what samples are compared with, where a method asks for it; without its truth if there was none
    progress    told now and then what part of the method is done, 0 to 1
    """

    task: Task
    model: nn.Module
    device: torch.device
    encoded: Encoded
    rows: np.ndarray
    has_targets: bool
    reference: Encoded | None
    options: ExplainOptions
    progress: Callable[[float], None]


@dataclass
class Explanation:
    """What a method found.

    figures  about the network or the whole table
    panels   row -> what is to be seen beside that sample
    numbers  JSON-able, about the network or the whole table
    by_row   row -> JSON-able, about that sample
    values   row -> the numbers behind its pictures, by name; the name is "" where there is one tensor
    tensors  the numbers behind what is about the network or the whole table, by name
    notes    sentences on how far it can be trusted
    """

    figures: list[Figure] = field(default_factory=list)
    panels: dict[int, list[Sample | Figure]] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    by_row: dict[int, dict[str, Any]] = field(default_factory=dict)
    values: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Unfit(OptionError):
    """A method that this network, this data or these options do not allow; one of the defaults is then passed over."""


@dataclass(frozen=True)
class Method:
    """One way to explain.

    summary          one line, with its source
    needs            "network": no sample; "samples": the request's rows; "table": all that is encoded
    call             raises Unfit where it cannot be done
    is_default       done when no method is named
    needs_targets    the truth of the table must be known
    needs_reference  the request's `reference` must be there
    reads            the options that belong to it alone, by their names in ExplainOptions
    """

    summary: str
    needs: Needs
    call: Callable[[Request], Explanation]
    is_default: bool = False
    needs_targets: bool = False
    needs_reference: bool = False
    reads: tuple[str, ...] = ()


class Explainer(Protocol):
    """The methods of a task, the one to be shown first standing first, and how it shows a sample."""

    methods: Mapping[str, Method]

    def worst(self, metrics: Any, number: int) -> list[int]:
        """The rows with the worst answers, at most `number`, the worst first."""
        ...

    def samples(self, request: Request) -> list[tuple[Sample, dict[str, Any]]]:
        """Each of the request's rows as it is, with its answer and truth: to be seen, and JSON-able."""
        ...


@runtime_checkable
class Explainable(Protocol):
    """A task whose answers can be explained."""

    def explainer(self) -> Explainer:
        """What it offers to `explain`."""
        ...


def chosen(methods: Mapping[str, Method], asked: tuple[str, ...]) -> list[str]:
    """The methods asked for, in the explainer's order; its defaults if none is. Raises OptionError for a wrong name."""
    for name in asked:
        if name not in methods:
            raise OptionError(f"--method {name}: no such method for this task{did_you_mean(name, methods)}")
    return [name for name, method in methods.items() if (name in asked if asked else method.is_default)]


def refuse_unread(methods: Mapping[str, Method], names: Sequence[str], given: Collection[str]) -> None:
    """Raises OptionError for an option that none of the chosen methods reads: nothing given is passed over in silence.

    given  names of ExplainOptions that were given, not those left at their defaults
    """
    everywhere = ("method", "seed")
    for option in given:
        readers = [
            name
            for name, method in methods.items()
            if option in method.reads or (option in ("samples", "of_class") and method.needs == "samples")
        ]
        if option not in everywhere and not set(readers) & set(names):
            whose = f"it belongs to {', '.join(readers)}" if readers else "this task has no method that does"
            raise OptionError(
                f"{flag_of(option)}: {', '.join(names)} {'do' if len(names) > 1 else 'does'} not read it; {whose}."
            )


def class_index(of_class: str, labels: tuple[str, ...]) -> int | None:
    """The place of the class to be explained, None where it is the answered one. Raises OptionError if it is none."""
    if not of_class:
        return None
    if not labels:
        raise OptionError(f"--of-class {of_class}: this run answers none of named classes; leave it out.")
    if of_class not in labels:
        raise OptionError(f"--of-class {of_class}: no such class{did_you_mean(of_class, labels)}")
    return labels.index(of_class)
