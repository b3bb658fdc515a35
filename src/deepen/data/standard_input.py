"""Standard input as a file, for what reads files."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deepen.core.errors import OptionError

STANDARD_INPUT = "-"


@contextlib.contextmanager
def as_files(inputs: list[str | Path]) -> Iterator[list[str | Path]]:
    """The inputs with standard input in a file of its own, which is gone in the end. OptionError for two of them."""
    if STANDARD_INPUT not in inputs:
        yield inputs
        return
    if (named := inputs.count(STANDARD_INPUT)) > 1:
        raise OptionError(
            f"predict: - is standard input, which can be read once, but is named {named} times; name one."
        )
    with tempfile.TemporaryDirectory(prefix="deepen-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield [path if each == STANDARD_INPUT else each for each in inputs]
