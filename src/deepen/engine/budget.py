"""How far training is: from 0 to 1, by steps or by the clock, and always reaching 1 exactly at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepen.core.errors import OptionError
from deepen.core.units import seconds
from deepen.engine.options import FitOptions

PLANNING_STEPS = (3, 6, 12, 25, 50)  # by the clock, the pace is measured anew after these steps, then every 50
OVERRUN = 1.05  # a step so slow that the plan could not see it coming ends training this late at most


@dataclass
class Budget:
    """Progress by steps where `total_steps` is known, else by the clock over `total_seconds`.

    By the clock, progress grows by `pace` with each step, and the pace is planned anew now and then from the time that
    is left. Everything that progress depends on is in `state`, so a resumed run goes on with the same plan.
    """

    total_steps: int | None
    total_seconds: float | None
    progress: float = 0.0
    pace: float = 0.0
    planned_step: int = 0
    planned_seconds: float = 0.0

    def advance(self, step: int) -> float:
        """Progress after `step` updates."""
        if self.total_steps is not None:
            self.progress = min(1.0, step / self.total_steps)
        else:
            self.progress = min(1.0, self.progress + self.pace)
            if self.progress > 1 - self.pace / 2:
                self.progress = 1.0
        return self.progress

    def is_due(self, step: int) -> bool:
        """Whether the pace should be planned anew after this step."""
        return self.total_steps is None and (step in PLANNING_STEPS or step % PLANNING_STEPS[-1] == 0)

    def plan(self, step: int, elapsed_seconds: float) -> None:
        """Sets the pace so that progress reaches 1 when the time is used up."""
        assert self.total_seconds is not None
        per_step = (elapsed_seconds - self.planned_seconds) / max(1, step - self.planned_step)
        left = self.total_seconds - elapsed_seconds
        self.planned_step, self.planned_seconds = step, elapsed_seconds
        if left <= per_step / 2 or elapsed_seconds > self.total_seconds * OVERRUN:
            self.pace, self.progress = 0.0, 1.0
        else:
            self.pace = min(1.0, (1 - self.progress) * per_step / left)

    def seconds_left(self, step: int, elapsed_seconds: float) -> float | None:
        """An estimate for the progress bar, or None before the first step."""
        if self.total_seconds is not None:
            return max(0.0, self.total_seconds - elapsed_seconds)
        if step == 0 or self.progress == 0:
            return None
        return elapsed_seconds * (1 - self.progress) / self.progress

    def state(self) -> dict[str, float | int]:
        """What a checkpoint holds of it."""
        return {
            "progress": self.progress,
            "pace": self.pace,
            "planned_step": self.planned_step,
            "planned_seconds": self.planned_seconds,
        }

    def restore(self, state: dict[str, float | int]) -> None:
        """Goes on from a state."""
        self.progress = float(state["progress"])
        self.pace = float(state["pace"])
        self.planned_step = int(state["planned_step"])
        self.planned_seconds = float(state["planned_seconds"])


def of(options: FitOptions, num_rows: int) -> Budget:
    """The budget the options state.

    Raises OptionError if they state none or more than one.
    """
    stated = [name for name in ("epochs", "steps", "samples", "time") if getattr(options, name) is not None]
    if len(stated) > 1:
        names = " and ".join(f"--{name}" for name in stated)
        raise OptionError(f"{names} both state how long to train; expected one of them: leave the other out.")
    assert stated, "a recipe or a rule states the epochs where the user says nothing"
    if options.time is not None:
        return Budget(None, seconds(options.time))
    if options.steps is not None:
        return Budget(options.steps, None)
    if options.samples is not None:
        # batches are near-equal, so an epoch's steps, and not its batch size, say how many samples a step takes
        per_epoch = steps_per_epoch(num_rows, options.batch_size)
        return Budget(max(1, math.ceil(options.samples * per_epoch / num_rows)), None)
    assert options.epochs is not None
    return Budget(options.epochs * steps_per_epoch(num_rows, options.batch_size), None)


def steps_per_epoch(num_rows: int, batch_size: int) -> int:
    """Batches in an epoch: each sample once, in near-equal batches, so that none is left with a single sample."""
    return max(1, math.ceil(num_rows / batch_size))
