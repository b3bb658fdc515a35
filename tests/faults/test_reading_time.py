"""S27: readers take time in proportion to what they read, whatever it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deepen.core.errors import DeepenError
from deepen.data.dataset import Schema
from deepen.data.read import ReadOptions, read

MOST_RATIO = 2.5
READINGS = 7  # other work pushes out caches and pages: on a loaded machine one of three was 2.7 times the best of many
SCHEMA = Schema(readers=("table_file",), inputs=(), target="")
TEXTS: dict[str, Callable[[int], str]] = {  # about n bytes of what a careless parser reads again and again
    "plain.csv": lambda n: "a,b,label\n" + "1,2,x\n" * (n // 6),
    "quotes.csv": lambda n: "a,b,label\n" + '"a ""b"" c",2,x\n' * (n // 16),
    "open quote.csv": lambda n: 'a,b,label\n"' + "1,2,x\n" * (n // 6),
    "wide.csv": lambda n: ",".join(f"c{i}" for i in range(n // 14)) + "\n" + ",".join("1" * (n // 14)) + "\n",
    "long cell.csv": lambda n: "a,b,label\n" + "x" * n + ",2,x\n1,2,y\n",
    "separators.csv": lambda n: "a,b,label\n" + "," * n + "\n",
    "ragged.csv": lambda n: "a,b,label\n" + "1\n1,2,3,4\n" * (n // 10),
    "spaces.csv": lambda n: "a,b,label\n" + "1 ,  2,x" + " " * n + "\n",
    "lines.csv": lambda n: "a,b,label\n" + "\n" * n,
    "plain.jsonl": lambda n: '{"a": 1, "label": "x"}\n' * (n // 23),
    "keys.jsonl": lambda n: "".join(f'{{"k{i % 97}": 1, "label": "x"}}\n' for i in range(n // 24)),
    "deep.jsonl": lambda n: '{"a": ' + "[" * (n // 2) + "]" * (n // 2) + "}\n",
    "long.jsonl": lambda n: '{"a": "' + "\\u0041" * (n // 6) + '", "label": "x"}\n',
    "broken.jsonl": lambda n: '{"a": \n' * (n // 7),
}


def seconds_for(path: Path) -> float:
    """The best of some readings, or refusals; in the processor's time, so that other work counts for little."""
    best = float("inf")
    for _ in range(READINGS):
        start = time.process_time()
        with contextlib.suppress(DeepenError):
            read(path, SCHEMA, ReadOptions(target="label"))
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.torture
@pytest.mark.parametrize("name", TEXTS)
def test_twice_the_bytes_take_about_twice_the_time(name: str, tmp_path: Path) -> None:
    floor, tries = 0.005, []  # below the floor the clock says nothing
    for _ in range(3):  # what takes the square of the time does so each time, and other work does not
        took = []
        for factor in (1, 2, 4):
            path = tmp_path / name
            path.write_text(TEXTS[name](factor * 500_000), "utf-8")
            took.append(max(seconds_for(path), floor))
        tries.append(took)
        if took[1] <= MOST_RATIO * took[0] and took[2] <= MOST_RATIO * took[1]:
            return
    raise AssertionError(f"more than {MOST_RATIO} times as long for twice the bytes: {tries}")
