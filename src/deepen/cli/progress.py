"""A bar on stderr for long work of known length; without a terminal, nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from deepen.cli.output import is_first_rank
from deepen.cli.terminal import NARROWEST, SECONDS_BETWEEN_DRAWINGS, has_bar
from deepen.core.units import duration

Shown = Callable[[float, str], None]  # how much of the work is done, 0 to 1, and a few words on it


@contextmanager
def bar() -> Iterator[Shown]:
    """A function that draws how far the work is, and what is being done; it never raises."""
    if not (is_first_rank() and has_bar()):
        yield lambda _done, _words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True, width=max(NARROWEST, shutil.get_terminal_size().columns))
    columns = [BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[note]}")]
    drawn = Progress(*columns, console=console, auto_refresh=False, transient=True, expand=True)
    row = drawn.add_task("", total=1.0, note="")
    started, last = time.monotonic(), [0.0]

    def show(done: float, words: str) -> None:
        now = time.monotonic()
        if now - last[0] < SECONDS_BETWEEN_DRAWINGS and done < 1:
            return
        last[0] = now
        left = f"  {duration((now - started) * (1 - done) / done)} left" if 0.02 < done < 1 else ""
        with suppress(OSError, ValueError):
            drawn.update(row, completed=done, note=f"{words}{left}", refresh=True)

    with suppress(OSError, ValueError):
        drawn.start()
    try:
        yield show
    finally:
        with suppress(OSError, ValueError):
            drawn.stop()
