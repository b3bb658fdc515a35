"""`generate`: what a run makes of a beginning, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deepen.core import options as option_rules
from deepen.core.errors import RunError
from deepen.engine.task import Generates
from deepen.ops.decoding_options import DecodingOptions, require_one_way
from deepen.verbs.loaded import loaded


def generate(
    run: str | Path, prompt: str = "", given: Mapping[str, Any] | None = None, *, flags: bool = False
) -> Iterator[str]:
    """What goes on from the prompt, piece by piece as it is made; the prompt itself is not among it.

    run     a run of a task that generates
    given   options of DecodingOptions by name: length, greedy, temperature, top_k, top_p, beam, seed

    The run is loaded and the options are checked before this returns. Raises RunError or OptionError.
    """
    fields = option_rules.fields_of(DecodingOptions)
    options = option_rules.build(DecodingOptions, option_rules.resolve(fields, given or {}, flags=flags))
    require_one_way(options)
    model = loaded(run)
    if not isinstance(model.task, Generates):
        raise RunError(f"{run}: {model.header['task']} generates nothing; take a run of a task that does.")
    return model.task.generate(model.model, prompt, options)
