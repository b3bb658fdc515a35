"""The learning rate as a function of progress, which is 0 at the start of training and 1 at its end.

Progress, not steps: so one schedule serves a budget in epochs, steps, samples or time. A plateau is the exception: it
follows the evaluations, and remembers them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from deepen.engine.options import ScheduleOptions

WARM_UP = ("warm_up", "warm_up_shape", "warm_up_factor")
TIMESCALE = 0.01  # of an inverse root without a warm-up

# kind -> the options it reads beside those of the warm-up
READS: Mapping[str, tuple[str, ...]] = {
    "constant": (),
    "step": ("factor", "size", "final"),
    "multi-step": ("factor", "milestones", "final"),
    "factor": ("factor", "size", "final"),
    "inverse-root": ("timescale", "final"),
    "polynomial": ("power", "final"),
    "cosine": ("final", "restarts", "stretch"),
    "one-cycle": ("final",),
    "cyclic": ("final", "cycles", "shrink"),
    "plateau": ("factor", "patience", "threshold", "final"),
}


def factor(options: ScheduleOptions, progress: float) -> float:
    """What the peak rate is multiplied by.

        warm-up, linear:    (p + 0.01 w) / 1.01 w                        for p < w
        warm-up, constant:  c                                            for p < w, c = warm_up_factor
        constant:           1
        step:               max(f, g^floor(p / size))                    g = factor
        multi-step:         max(f, g^(number of milestones <= p))
        factor:             max(f, g^((p - w) / size))
        inverse-root:       max(f, 1 / sqrt(1 + (p - w) / T))            T = timescale, else w, else 0.01
        polynomial:         f + (1 - f)(1 - q)^power
        cosine:             f + (1 - f)(1 + cos(pi q)) / 2               q begins anew at each restart
        one-cycle:          1 - (1 - f) q                                linear descent, as it rose
        cyclic:             f + (1 - f) shrink^i (1 - |2 r - 1|)         i + r = q cycles; i whole, r in [0, 1)
        plateau:            1                                            times the scale of `Plateau`
        where q = (p - w) / (1 - w), w = warm_up, f = final

    progress  in [0, 1]
    returns   in [0, 1]

    After a warm-up, which is its first rise, cyclic begins at the top: i + r = 1/2 + q (cycles - 1/2).
    With T = w an inverse root is sqrt(w / p).
    Source: cosine: Loshchilov and Hutter, SGDR, 2017, eq. 5. One-cycle: Smith and Topin, Super-Convergence, 2018.
    Cyclic: Smith, Cyclical Learning Rates, 2017. Inverse root: Vaswani et al., Attention Is All You Need, 2017, eq. 3.
    Warm-ups: Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2.

    >>> factor(ScheduleOptions(kind="one-cycle", warm_up=0.5, final=0.0), 0.75)
    0.5
    """
    warm_up = options.warm_up
    if progress < warm_up:
        if options.warm_up_shape == "constant":
            return options.warm_up_factor
        return (progress + 0.01 * warm_up) / (1.01 * warm_up)
    rest = min(1.0, (progress - warm_up) / (1 - warm_up))
    return _SHAPES[options.kind](options, progress, rest)


def readers(option: str) -> list[str]:
    """The kinds that read an option.

    >>> readers("milestones")
    ['multi-step']
    """
    return [kind for kind, reads in READS.items() if option in reads or option in WARM_UP]


class Plateau:
    """The scale that falls when evaluations stop getting better; 1 for all other schedules.

        after `patience` evaluations in a row that are not better:  scale <- max(final, factor * scale)
        better: below best - threshold |best|, above best + threshold |best| where larger is better

    A figure that is not a number is not better.
    Source: as torch.optim.lr_scheduler.ReduceLROnPlateau, whose patience is one less.
    """

    def __init__(self, options: ScheduleOptions) -> None:
        self._options = options
        self.scale = 1.0
        self._best: float | None = None
        self._waited = 0

    @property
    def is_on(self) -> bool:
        """Whether the schedule looks at evaluations at all."""
        return self._options.kind == "plateau"

    def see(self, value: float, *, larger_is_better: bool) -> None:
        """Takes the figure of an evaluation."""
        if not self.is_on:
            return
        if self._is_better(value, 1 if larger_is_better else -1):
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self._options.patience:
            self.scale, self._waited = max(self._options.final, self.scale * self._options.factor), 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"scale": self.scale, "best": self._best, "waited": self._waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state; an empty one, as runs had before there were plateaus, is a fresh start."""
        if not state:
            return
        self.scale, self._best, self._waited = state["scale"], state["best"], state["waited"]

    def _is_better(self, value: float, sign: int) -> bool:
        if not math.isfinite(value):
            return False
        margin = self._options.threshold * abs(self._best or 0.0)
        return self._best is None or sign * value > sign * self._best + margin


def _step(options: ScheduleOptions, progress: float, rest: float) -> float:
    return max(options.final, options.factor ** math.floor(progress / options.size + 1e-9))


def _multi_step(options: ScheduleOptions, progress: float, rest: float) -> float:
    return max(options.final, options.factor ** sum(milestone <= progress for milestone in options.milestones))


def _factor(options: ScheduleOptions, progress: float, rest: float) -> float:
    return max(options.final, options.factor ** ((progress - options.warm_up) / options.size))


def _inverse_root(options: ScheduleOptions, progress: float, rest: float) -> float:
    timescale = options.timescale or options.warm_up or TIMESCALE
    return max(options.final, 1 / math.sqrt(1 + (progress - options.warm_up) / timescale))


def _polynomial(options: ScheduleOptions, progress: float, rest: float) -> float:
    return options.final + (1 - options.final) * (1 - rest) ** options.power


def _cosine(options: ScheduleOptions, progress: float, rest: float) -> float:
    descent = _in_descent(rest, options.restarts, options.stretch) if options.restarts else rest
    return options.final + (1 - options.final) * (1 + math.cos(math.pi * descent)) / 2


def _in_descent(rest: float, restarts: int, stretch: float) -> float:
    """How far the descent is that `rest` falls into, 0 to 1; a restart belongs to the descent that it begins."""
    lengths = [stretch**index for index in range(restarts + 1)]
    at = rest * sum(lengths)
    for length in lengths[:-1]:
        if at < length * (1 - 1e-9):
            return at / length
        at -= length
    return min(1.0, max(0.0, at / lengths[-1]))


def _one_cycle(options: ScheduleOptions, progress: float, rest: float) -> float:
    return 1 - (1 - options.final) * rest


def _cyclic(options: ScheduleOptions, progress: float, rest: float) -> float:
    at = 0.5 + rest * (options.cycles - 0.5) if options.warm_up else rest * options.cycles
    index = min(math.floor(at + 1e-9), options.cycles - 1)
    height = 1 - abs(2 * (at - index) - 1)
    return options.final + (1 - options.final) * options.shrink**index * max(0.0, height)


_SHAPES: Mapping[str, Callable[[ScheduleOptions, float, float], float]] = {
    "constant": lambda options, progress, rest: 1.0,
    "step": _step,
    "multi-step": _multi_step,
    "factor": _factor,
    "inverse-root": _inverse_root,
    "polynomial": _polynomial,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "cyclic": _cyclic,
    "plateau": lambda options, progress, rest: 1.0,
}
