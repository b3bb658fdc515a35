"""The learning rate as a function of progress, which is 0 at the start of training and 1 at its end.

Progress, not steps: so one schedule serves a budget in epochs, steps, samples or time.
"""

from __future__ import annotations

import math

from deepen.engine.options import ScheduleOptions


def factor(options: ScheduleOptions, progress: float) -> float:
    """What the peak rate is multiplied by.

        warm-up:    (p + 0.01 w) / 1.01 w                              for p < w
        constant:   1
        cosine:     f + (1 - f)(1 + cos(pi q)) / 2
        one-cycle:  1 - (1 - f) q                                      linear descent, as it rose
        where q = (p - w) / (1 - w), w = warm_up, f = final

    progress  in [0, 1]
    returns   in (0, 1]

    Source: cosine: Loshchilov and Hutter, SGDR, 2017. One-cycle: Smith and Topin, Super-Convergence, 2018.

    >>> factor(ScheduleOptions(kind="one-cycle", warm_up=0.5, final=0.0), 0.75)
    0.5
    """
    warm_up = options.warm_up
    if progress < warm_up:
        return (progress + 0.01 * warm_up) / (1.01 * warm_up)
    rest = min(1.0, (progress - warm_up) / (1 - warm_up))
    if options.kind == "constant":
        return 1.0
    if options.kind == "cosine":
        return options.final + (1 - options.final) * (1 + math.cos(math.pi * rest)) / 2
    return 1 - (1 - options.final) * rest
