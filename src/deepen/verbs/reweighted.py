"""Training samples weighted so that they look like other data: the correction of a shift that is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from deepen.core.errors import OptionError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.engine.task import StartsFromRows, Task
from deepen.metrics.shift import effective_size
from deepen.prepare.encoded import Encoded

if TYPE_CHECKING:
    from deepen.verbs.options import Resolved

RECORD = "reweighted_to"  # the entry of run.json's `extra` about the data, and the run, that the weights were made from
FEW = 0.1  # share of the samples that the effective number may fall to before it is a warning


@dataclass(frozen=True)
class ReweightOptions:
    """Training for data that are distributed otherwise."""

    reweight: str | None = field(
        default=None, metadata={"help": "data, labelled or not, that training samples are weighted to look like"}
    )
    reweight_by: Literal["covariate", "label"] = field(
        default="covariate", metadata={"help": "what is taken to have shifted: the inputs, or the classes' shares"}
    )
    reweight_run: str | None = field(
        default=None, metadata={"help": "a run whose answers tell the classes' shares where there are no labels"}
    )

    def __post_init__(self) -> None:
        """Raises OptionError for parts without the whole."""
        if self.reweight is None and self.reweight_run is not None:
            raise OptionError(f"--reweight-run {self.reweight_run}: expected --reweight DATA beside it.")
        if self.reweight_run is not None and self.reweight_by != "label":
            raise OptionError(f"--reweight-run {self.reweight_run}: only --reweight-by label reads it.")


def require_data(options: ReweightOptions, said: Mapping[str, str]) -> None:
    """Raises OptionError where the user says what has shifted, but not where to; an older run's options may."""
    if options.reweight is None and "reweight_by" in said:
        raise OptionError(f"--reweight-by {options.reweight_by}: expected --reweight DATA beside it.")


def reweighted(
    task: str, made: Task, encoded: Encoded, chosen: Resolved, faults: list[Fault]
) -> tuple[Encoded, dict[str, Any]]:
    """The training samples with a tensor `weight` [N], where `--reweight` names data; and what that was made from.

    made  the task, which is told where its networks start from the training samples
    """
    options = chosen.reweight
    if options.reweight is None:
        return encoded, {}
    from deepen.verbs.shift import weights

    found, record = weights(task, encoded.table, chosen, faults)
    size = effective_size(found)
    message = (
        f"training samples are weighted {found.min():.2g} to {found.max():.2g} to look like {options.reweight} "
        f"(by {options.reweight_by}); they are worth {plural(round(size), 'sample')} of {len(found):,}."
    )
    level = "warning" if size < FEW * len(found) else "note"
    faults.append(Fault(level, "reweighted", "", message))
    weighted = replace(encoded, tensors={**encoded.tensors, "weight": torch.from_numpy(found)})
    if isinstance(made, StartsFromRows):
        made.start_from(weighted)
    return weighted, record
