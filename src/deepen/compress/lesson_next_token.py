"""How a language model learns from another: at each place, the whole distribution of what comes next.

    loss = sum over places of  (1 - w) c(y)  +  w T^2 KL(q^(1/T) / Z_q || p^(1/T) / Z_p)

y is the id that does come next and c(y) its -ln p(y), or with label smoothing the cross-entropy with the smoothed
target. p and q are what student and teacher say of every id of the vocabulary, normalized by their own output layers:
exactly, whatever a layer learns from otherwise, so that teacher and student may have layers of different kinds, or
tables of counts. With T = 1 this is word-level distillation. Places are taken in slices whose probabilities fit into
memory; of more than one slice each is computed again on the way back instead of being kept.

Where the student reads windows that follow one another, its states are handed on, and beside them those of a teacher
that has any; else both begin each window from nothing.

Sources: Kim and Rush 2016, Sequence-Level Knowledge Distillation, section 3.1 (word level); Hinton, Vinyals and Dean
2015 (temperature).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deepen.engine.carry import Carried
from deepen.nn.next_token import State, output_layer_of, window_of
from deepen.nn.output_full import positions_at_once
from deepen.ops.losses import likelihood_sum
from deepen.ops.softened import softened_divergence
from deepen.prepare.encoded import Batch

STUDENT, TEACHER = "student", "teacher"


class NextTokenLesson:
    """What one teacher teaches; see the top of this file.

    teacher  a language model with its output layer, over the student's vocabulary
    label_smoothing  of the student's own targets
    sketch   a network like the student, where its states are handed on from window to window; None: nothing is
    carried  those states, by name `student.0`, ..., `teacher.0`, ..., each less its value at the beginning
    """

    carried: Carried | None = None

    def __init__(
        self, teacher: nn.Module, temperature: float, sketch: nn.Module | None, *, label_smoothing: float = 0.0
    ) -> None:
        self.teacher, self.temperature, self.label_smoothing = teacher, temperature, label_smoothing
        self._device: torch.device | None = None
        self._number: dict[str, int] = {}  # of tensors of a state
        if sketch is not None:
            begins = {STUDENT: _nothing(sketch, 1, torch.device("meta"))}
            if window_of(teacher) is None:
                begins[TEACHER] = _nothing(teacher, 1, torch.device("cpu"))
            self._number = {who: len(state) for who, state in begins.items()}
            shapes = {f"{who}.{i}": tuple(e.shape[1:]) for who, state in begins.items() for i, e in enumerate(state)}
            self.carried = Carried(shapes)

    def loss(self, student: nn.Module, batch: Batch, weight: float) -> Tensor:
        """The summed loss of a batch of training, `ids` and `targets` [B, L]; `weight` is that of the teacher."""
        own, right = self._hidden(student, batch)
        own, right, targets = own.flatten(0, 1), right.flatten(0, 1), batch["targets"].flatten()
        layers = output_layer_of(student), output_layer_of(self.teacher)

        def part(h: Tensor, r: Tensor, y: Tensor) -> Tensor:
            found = layers[0].log_probabilities(h)
            with torch.no_grad():
                wanted = layers[1].log_probabilities(r).to(found.dtype)
            total = weight * softened_divergence(wanted, found, self.temperature).sum()
            if weight < 1:
                total = total + (1 - weight) * likelihood_sum(found, y, label_smoothing=self.label_smoothing)
            return total

        at_once = positions_at_once(layers[0].num_words)
        slices = list(zip(own.split(at_once), right.split(at_once), targets.split(at_once), strict=True))
        if len(slices) == 1:
            return part(own, right, targets)
        again: Any = {"use_reentrant": False, "preserve_rng_state": False}  # nothing in it is drawn
        return torch.stack([cast(Tensor, checkpoint(part, *each, **again)) for each in slices]).sum()

    def _hidden(self, student: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The hidden states of both, [B, L, ...], and their states handed on."""
        device = batch["ids"].device
        if device != self._device:
            self.teacher, self._device = self.teacher.to(device), device
        before = {} if self.carried is None else self.carried.before(batch.rows, device)
        after: dict[str, Tensor] = {}
        own = self._read(STUDENT, student, batch["ids"], before, after)
        with torch.no_grad():
            right = self._read(TEACHER, self.teacher, batch["ids"], before, after)
        if self.carried is not None:
            self.carried.after(batch.rows, after)
        return own, right

    def _read(
        self, who: str, network: nn.Module, ids: Tensor, before: dict[str, Tensor], after: dict[str, Tensor]
    ) -> Tensor:
        if who not in self._number:
            return network(ids, None)[0]
        begin = _nothing(network, len(ids), ids.device)
        names = [f"{who}.{index}" for index in range(self._number[who])]
        state = tuple(each + before[name].to(each.dtype) for name, each in zip(names, begin, strict=True))
        hidden, state = network(ids, state)
        after |= {name: each - first for name, each, first in zip(names, state, begin, strict=True)}
        return hidden


def _nothing(network: Any, count: int, device: torch.device) -> State:
    """The state of a network that has read nothing."""
    return network.initial_state(count, device)
