"""How much each of several runs counts when they answer as one: as stated, or the best mixture on validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from deepen.core.errors import OptionError, RunError
from deepen.data.dataset import table_fingerprint
from deepen.engine.evaluate import batches
from deepen.engine.feed import on_device
from deepen.engine.task import SharedOutputs
from deepen.ops.mixture import mixture_weights
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Batch
from deepen.verbs.ensemble import EnsembleTask, Together, load_members, together
from deepen.verbs.loaded import Loaded
from deepen.verbs.own_data import own_data


@runtime_checkable
class Mixable(SharedOutputs, Protocol):
    """A task whose runs give probabilities to targets, so that a mixture of them can be the most likely one."""

    def target_log_probabilities(self, outputs: Tensor, batch: Batch) -> Tensor:
        """[n] ln p of each target of a batch, from this run's `outputs`; in the same order for every run."""
        ...


Weights = Sequence[float] | Literal["learned"]
LEARNED = "learned"


def weighed(runs: str | Path | Sequence[str | Path], weights: Weights = ()) -> tuple[list[Loaded], list[float]]:
    """The runs that are named, and how much each one counts: as in `load_members`, or "learned" on validation."""
    if not isinstance(weights, str):
        return load_members(runs, weights)
    if weights != LEARNED:
        raise OptionError(f"weights {weights!r}: expected one number for each run, or {LEARNED!r}.")
    members, _ = load_members(runs)
    return members, learned_weights(members)


def learned_weights(members: Sequence[Loaded]) -> list[float]:
    """Weights by expectation maximization on the validation split of these runs.

    returns  one for each run, in their order, adding up to 1, and at least 1e-9

    None of the runs was trained on that split, so the weights are honest on the test split, though each run's best step
    was chosen on it. Source: Jelinek and Mercer 1980.

    Raises RunError for a task without probabilities, and for runs that did not validate on the same samples.
    """
    if len(members) == 1:
        raise OptionError(f"{members[0].folder}: is one run, which counts 1; name several to learn weights.")
    for member in members:
        if not isinstance(member.task, Mixable):
            raise RunError(f"{member.folder}: {member.header['task']} gives no probabilities of targets to learn from.")
    logs = target_log_probabilities(members, common_validation(members, instead="the weights"))
    found = np.maximum(mixture_weights(logs), 1e-9)
    return [float(each) for each in found / found.sum()]


def target_log_probabilities(members: Sequence[Loaded], table: Any) -> np.ndarray:
    """[M, n] ln p of the targets of a table by each run, in one order for all."""
    whole = together(members, [1 / len(members)] * len(members))
    task = whole.task
    assert isinstance(task, EnsembleTask)
    encoded = task.encode(table, "val", [])
    assert isinstance(encoded, Together)
    found = []
    with torch.inference_mode():
        for member, part in zip(members, encoded.parts, strict=True):
            own: Any = member.task
            held = on_device(part, member.device)
            parts = [
                own.target_log_probabilities(own.outputs(member.model, batch), batch).double().cpu()
                for batch in batches(own, held, device=member.device, ranks=Alone())
            ]
            found.append(torch.cat(parts).numpy())
    if len({len(each) for each in found}) > 1 or not len(found[0]):
        raise RunError(
            f"{members[0].folder}: expected the same targets in all runs, but they have "
            f"{', '.join(f'{len(each):,}' for each in found)}; take runs that split texts alike."
        )
    return np.stack(found)


def common_validation(members: Sequence[Loaded], *, instead: str) -> Any:
    """The table on which all of the runs validated. `instead`: what to state where there is none.

    Raises RunError where there is none.
    """
    tables = []
    for member in members:
        path = str(member.header["data"]["path"])
        if not path:
            raise RunError(
                f"{member.folder}: was trained on data that were in memory, so its validation is not there; "
                f"state {instead}."
            )
        table = own_data(member, path, mend=f"; state {instead}.").tables.get("val")
        if table is None:
            raise RunError(f"{member.folder}: had no validation split to learn from; state {instead}.")
        tables.append(table)
    for member, table in zip(members, tables, strict=True):
        if table_fingerprint(table) != table_fingerprint(tables[0]):
            raise RunError(
                f"{member.folder}: validated on other samples than {members[0].folder} (seed, val and test decide "
                f"which); state {instead}."
            )
    return tables[0]
