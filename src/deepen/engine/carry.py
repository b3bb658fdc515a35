"""States that go from a row to the next one, such as those of a recurrent network that reads a long sequence in parts.

Rows of the training table that follow one another are read in steps that follow one another; each row begins with the
state in which the row before it ended, cut from its graph (truncated back-propagation through time). A row whose
predecessor was not read in the step before begins with zeros. So neither micro-batches nor ranks change anything.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from deepen.parallel.ranks import Ranks


class Carried:
    """The states in which the rows of the last step ended, by row.

    shapes  name -> the shape of one row's state, without the batch
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(shapes)
        self._rows = np.zeros(0, np.int64)
        self._states = self._empty()
        self._new_rows: list[np.ndarray] = []
        self._new_states: list[dict[str, Tensor]] = []

    def before(self, rows: np.ndarray, device: torch.device) -> dict[str, Tensor]:
        """The states that these rows begin with: name -> [B, ...]; zeros where the row before was not just read.

        rows  [B] int64
        """
        order = np.argsort(self._rows, kind="stable")
        known = self._rows[order]
        place = np.searchsorted(known, rows - 1)
        found = place < len(known)
        found[found] = known[place[found]] == rows[found] - 1
        given = {name: torch.zeros((len(rows), *shape), device=device) for name, shape in self._shapes.items()}
        if found.any():
            source = torch.from_numpy(order[place[found]])
            target = torch.from_numpy(np.flatnonzero(found)).to(device)
            for name, state in self._states.items():
                given[name][target] = state.to(device)[source.to(state.device).to(device)]
        return given

    def after(self, rows: np.ndarray, states: Mapping[str, Tensor]) -> None:
        """Keeps the states [B, ...] in which these rows ended, until the step is over. Reading a row again replaces."""
        self._new_rows.append(rows)
        self._new_states.append({name: states[name].detach().float() for name in self._shapes})

    def step(self, ranks: Ranks) -> None:
        """Ends a step of all ranks: what was kept is what the next step's rows begin with."""
        rows = np.concatenate([*self._new_rows, np.zeros(0, np.int64)])
        states = {
            name: torch.cat([each[name] for each in self._new_states]) if self._new_states else empty
            for name, empty in self._empty().items()
        }
        self._new_rows, self._new_states = [], []
        if ranks.size > 1:
            parts = ranks.gather_tensors({**states, "": torch.from_numpy(rows)})
            rows = np.concatenate([part[""].numpy() for part in parts])
            states = {name: torch.cat([part[name] for part in parts]) for name in states}
        last = len(rows) - 1 - np.unique(rows[::-1], return_index=True)[1]  # the newest of each row, rows rising
        self._rows = rows[last]
        self._states = {name: state[torch.from_numpy(last).to(state.device)] for name, state in states.items()}

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold."""
        return {"rows": torch.from_numpy(self._rows), **{f"state.{name}": each for name, each in self._states.items()}}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Stands where `tensors` were taken."""
        self._rows = tensors["rows"].cpu().numpy().astype(np.int64)
        self._states = {name: tensors[f"state.{name}"] for name in self._shapes}
        self._new_rows, self._new_states = [], []

    def _empty(self) -> dict[str, Tensor]:
        return {name: torch.zeros((0, *shape)) for name, shape in self._shapes.items()}
