"""What a report and a model card say, as plain values: the caller fills it, this room only draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deepen.core.figures import Figure

SPLITS = ("test", "val", "train")  # the most honest first


@dataclass(frozen=True)
class ReportContent:
    """A run in words and numbers. Everything may come from a user's files: it is escaped where it is written.

    title        the run's name
    status       how training ended, such as "done" or "interrupted in epoch 3"
    data         where the samples came from, as the user wrote it
    layout       one sentence on how they were read; split: one on how they were split
    fingerprint  of the data and its split
    metrics      split -> name -> figure; intervals: split -> name -> (low, high), 95 %
    objective    the figure that chose the weights, and "max" or "min"
    history      the lines of metrics.jsonl: step, epoch, learning_rate, train_..., val_...
    pace         the lines of timing.jsonl: step, seconds, samples_per_second
    timing       name with its unit -> number, such as total_seconds, samples_per_second, seconds_per_epoch
    parameters   of the network, 0 where it is not known
    usage        commands that use the run, as they can be typed
    limits       sentences on what the model is not good for, beside what holds of every model
    """

    title: str
    task: str
    model: str
    command: str = ""
    status: str = "done"
    data: str = ""
    layout: str = ""
    split: str = ""
    fingerprint: str = ""
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    objective: tuple[str, str] = ("", "max")
    history: Sequence[Mapping[str, Any]] = ()
    pace: Sequence[Mapping[str, Any]] = ()
    timing: Mapping[str, float] = field(default_factory=dict)
    parameters: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    usage: Sequence[str] = ()
    limits: Sequence[str] = ()


@dataclass(frozen=True)
class Headline:
    """The one figure that says how good the model is."""

    split: str
    name: str
    value: float
    interval: tuple[float, float] | None


def headline(content: ReportContent) -> Headline | None:
    """The objective on the most honest split that has it, else that split's first figure; None without figures."""
    splits = splits_of(content)
    name = content.objective[0]
    for split in splits:
        if name in content.metrics[split]:
            return _headline(content, split, name)
    return _headline(content, splits[0], next(iter(content.metrics[splits[0]]))) if splits else None


def splits_of(content: ReportContent) -> list[str]:
    """The splits that have figures: test, val, train, then any other."""
    known = [split for split in SPLITS if content.metrics.get(split)]
    return known + [split for split in content.metrics if split not in SPLITS and content.metrics[split]]


def flattened(options: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted names and values of nested options, in their order."""
    flat: list[tuple[str, Any]] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            flat += flattened(value, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", value))
    return flat


def _headline(content: ReportContent, split: str, name: str) -> Headline:
    interval = content.intervals.get(split, {}).get(name)
    return Headline(split, name, content.metrics[split][name], interval)
