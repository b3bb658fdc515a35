"""Faults of data as values: what `check` lists, what `train` refuses, and what both merely say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from deepen.core.errors import DataError

Level = Literal["error", "sample", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "sample", "warning", "note")
PLACES_SHOWN = 3


@dataclass(frozen=True)
class Fault:
    """One fault at one place.

    level    error: the data set cannot be used as it is. sample: this one sample cannot be used; `--skip-bad` leaves
             it out. warning: worth a look, training goes on. note: said out loud, nothing is wrong.
    kind     a short stable name by which like faults are grouped, such as "image-truncated"
    place    file, and row, line or column, as the user knows it; "" where the whole data set is meant
    message  the rest of the sentence: what was found, what was expected, the mend
    split    which table the sample stands in ("train", "val", "test" or "all"), for level sample
    row      its row in that table, for level sample
    """

    level: Level
    kind: str
    place: str
    message: str
    split: str = ""
    row: int = -1

    def sentence(self) -> str:
        """`place: message`, with control characters escaped so that no file name can forge a line."""
        text = f"{self.place}: {self.message}" if self.place else self.message
        return printable(text)


@dataclass(frozen=True)
class FaultGroup:
    """All faults of one level and kind, in the order of their places."""

    level: Level
    kind: str
    faults: tuple[Fault, ...]

    def sentence(self) -> str:
        """The first fault's sentence, and how many more there are, with the next few places.

        A fault without a place is told apart from the others by its message, which then stands for its place.
        """
        first = self.faults[0].sentence()
        rest = len(self.faults) - 1
        if rest == 0:
            return first
        more = ", ".join(printable(fault.place or fault.message) for fault in self.faults[1:PLACES_SHOWN])
        return f"{first} {rest} more like this: {more}{', ...' if rest > PLACES_SHOWN - 1 else ''}"


def printable(text: str) -> str:
    """The text with every control character, escape code and direction override written as an escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def grouped(faults: Iterable[Fault]) -> list[FaultGroup]:
    """The faults grouped by level and kind: worst level first, then the largest group, then by kind."""
    groups: dict[tuple[Level, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.level, fault.kind), []).append(fault)
    order = sorted(groups, key=lambda key: (LEVELS.index(key[0]), -len(groups[key]), key[1]))
    return [FaultGroup(level, kind, tuple(groups[level, kind])) for level, kind in order]


def refuse(faults: Sequence[Fault], *, skip_bad: bool) -> None:
    """Raises DataError if any fault forbids training: errors always, bad samples unless they are to be skipped."""
    bad = [fault for fault in faults if fault.level == "error" or (fault.level == "sample" and not skip_bad)]
    if not bad:
        return
    lines = [group.sentence() for group in grouped(bad)]
    if all(fault.level == "sample" for fault in bad):
        lines.append(f"Mend these {len(bad)} samples, or leave them out with --skip-bad.")
    raise DataError("\n".join(lines), bad)


def _escaped(character: str) -> str:
    code = ord(character)
    if character == " ":
        return character
    return repr(character)[1:-1] if code < 0x10000 else character if character.isprintable() else f"\\U{code:08x}"
