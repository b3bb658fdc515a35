"""Distillation: a small network learns what a trained one answers, beside or instead of the labels.

    loss = (1 - w) * the task's own  +  w T^2 KL(softmax(t / T) || softmax(s / T))  +  h * sum of hints |P f_s - f_t|^2

t, s are the logits of teacher and student, T the temperature, w the weight of the teacher. Answers that are numbers
are learned by their squared difference, in deviations of the teacher's answers in the batch. A hint holds a layer of
the student's to one of the teacher's, through a linear map P of its own that is thrown away afterwards; both layers are
averaged over places first.

Labels are not needed for the teacher's part, so further inputs can be made without end: by the task's own augmentation,
or as made_up.py does; and samples that nobody has labelled can be read beside the others (further.py). Of both the
teacher's part alone is learned, with a weight of 1.

The teacher is the dearer of the two by far. So it can be asked about some versions of each sample only: as many epochs
differ, and those after them take the same inputs, with its answers out of memory. With hints, and for tasks with
lessons of their own, it is asked in every epoch, about new versions.

A task whose networks learn on other batches than they answer has a lesson of its own, which takes the place of the
first two terms (engine/task.Teachable; lesson_next_token.py, lesson_tags.py). A hint then holds for each place of a
sequence by itself.

Sources: Bucila, Caruana and Niculescu-Mizil 2006, Model Compression (MUNGE, and the form without labels); Hinton,
Vinyals and Dean 2015 (temperature); Romero et al. 2015, FitNets (hints); Goodfellow, Bengio and Courville 2016, Deep
Learning, section 12.1.4.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.compress.further import Beside
from deepen.compress.made_up import MadeUp
from deepen.core.errors import OptionError
from deepen.engine.task import SharedOutputs, Teachable
from deepen.ops.auxiliary import Auxiliary, with_auxiliary
from deepen.ops.losses import Loss
from deepen.ops.softened import softened_divergence
from deepen.prepare.encoded import Batch, Draws

Inputs = Literal["none", "augment", "munge", "gaussian"]
OF_OUTPUTS, OF_LESSONS = 4.0, 1.0  # temperatures where none is stated
COPY = "copy"  # the tensor of a batch that says which version of its samples it holds
MOST_HELD = 2**28  # numbers of answers that are kept: 1 GiB of float32


@dataclass(frozen=True)
class Teaching:
    """How the teacher is listened to."""

    temperature: float = 4.0
    weight: float = 0.7
    hints: tuple[tuple[str, str], ...] = ()
    hint_weight: float = 1.0
    inputs: Inputs = "none"
    copies: int = 0


def taught(task: Any, teacher: nn.Module, teaching: Teaching, beside: Beside | None = None) -> Any:
    """The student's task, whose loss and batches are a distillation's, and everything else its own.

    teacher  a network of a task that prepares as this one does
    beside   the training samples with unlabelled ones behind them, where training goes over those

    Raises OptionError for outputs that cannot be learned.
    """
    if not isinstance(task, SharedOutputs):
        raise OptionError("--method distil: the networks of this task have no outputs that another one can learn.")
    pupil: Any = copy.copy(task)
    lesson = _Distillation(cast(Any, task), teacher.eval(), teaching, beside)
    pupil.loss, pupil.batch = lesson.loss, lesson.batch
    if lesson.own is not None and lesson.own.carried is not None:
        pupil.carried = lesson.own.carried
    if beside is not None:
        pupil.order = lesson.order
    if teaching.hints:
        pupil.build = lesson.build
    return pupil


class Hinted(nn.Module):
    """A student with the maps that its hints go through, thrown away after training."""

    def __init__(self, student: nn.Module, maps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.student, self.maps = student, nn.ModuleList(maps)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.student(*inputs, **named)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("student"), name)


class _Distillation:
    """own: the task's own lesson, where it has one."""

    def __init__(self, task: Any, teacher: nn.Module, teaching: Teaching, beside: Beside | None) -> None:
        self.task, self.teacher, self.teaching, self.beside = task, teacher, teaching, beside
        self.own = task.lesson(teacher, teaching.temperature) if isinstance(task, Teachable) else None
        self._build, self._loss, self._batch = task.build, task.loss, task.batch
        self._inputs = MadeUp(teaching.inputs, task.batch)
        self._exclusive: bool | None = None
        # a lesson wants more of the teacher than its outputs, and so do hints: then no answers are kept
        self._keeps = self.teaching.copies > 0 and not self.teaching.hints and self.own is None
        self._held: dict[int, tuple[Tensor, Tensor]] = {}  # by the version: which samples are known, and the answers
        self._num_rows = 0

    def build(self) -> nn.Module:
        """The student, and a linear map for each hint, as wide as what it sees."""
        student = self._build()
        widths = [(_width(student, a), _width(self.teacher, b)) for a, b in self.teaching.hints]
        return Hinted(student, [nn.Linear(a, b) for a, b in widths])

    def order(self, encoded: Any, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
        """Batches of labelled samples, and of others."""
        return encoded.order(self.task, num_batches, seed=seed, epoch=epoch)

    def batch(self, encoded: Any, rows: np.ndarray, draws: Draws | None) -> Batch:
        """The task's batch; in training, of made-up inputs where they are wanted."""
        if draws is None or not self._keeps:
            return self._made(encoded, rows, draws)
        self._num_rows = len(encoded)
        version = draws.epoch % self.teaching.copies
        batch = self._made(encoded, rows, replace(draws, epoch=version))
        return Batch({**batch.tensors, COPY: torch.full((len(rows),), version)}, batch.count, batch.rows)

    def _made(self, encoded: Any, rows: np.ndarray, draws: Draws | None) -> Batch:
        if isinstance(encoded, Beside):
            return self._of_either(encoded, rows, cast(Draws, draws))
        batch = self._batch(encoded, rows, draws)
        if draws is None or self.teaching.inputs in ("none", "augment"):
            return batch
        return Batch(self._inputs.made_up(encoded, batch, draws), batch.count, rows)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """See the top of this file. Of inputs whose label nobody knows: the teacher's part alone."""
        known = self.beside is None or self.beside.is_labelled(batch.rows)
        weight = self.teaching.weight if known and self.teaching.inputs not in ("munge", "gaussian") else 1.0
        seen: dict[int, Tensor] = {}
        with _listening(model, self.teacher, self.teaching.hints, seen):
            taught = self._taught if self.own is None else self.own.loss
            total = taught(model, batch, weight)
        if isinstance(model, Hinted):
            for number, layer in enumerate(model.maps):
                apart = self._hint(layer, seen[2 * number], seen[2 * number + 1], batch)
                total = total + self.teaching.hint_weight * apart
        if self.own is None and weight < 1:
            total = total + (1 - weight) * self._loss(model, batch).sum
        return Loss(total)

    def _of_either(self, encoded: Beside, rows: np.ndarray, draws: Draws) -> Batch:
        if encoded.is_labelled(rows):
            return self._batch(encoded.labelled, rows, draws)
        found = encoded.further.at(draws.seed, draws.epoch)
        batch = self._batch(found, rows - len(encoded.labelled), draws)
        return Batch(batch.tensors, batch.count, rows)

    def _taught(self, model: nn.Module, batch: Batch, weight: float) -> Tensor:
        """`weight` times how far the outputs are from the teacher's; those of side branches too."""
        outputs: Any = self.task.outputs(model, batch)
        device = (outputs.logits if isinstance(outputs, Auxiliary) else outputs).device
        right = self._right(batch, device)
        return weight * with_auxiliary(outputs, lambda own: self._apart(own, right))

    def _right(self, batch: Batch, device: torch.device) -> Tensor:
        """The teacher's outputs: out of memory where it was asked about these versions of these samples before."""
        rows = torch.from_numpy(batch.rows)
        version = int(batch[COPY][0]) if COPY in batch.tensors else -1
        if version in self._held and bool(self._held[version][0][rows].all()):
            return self._held[version][1][rows].to(device)
        with torch.no_grad():
            right: Tensor = self.task.outputs(self.teacher.to(device), batch)
        size = self._num_rows * right[0].numel() if right.dim() <= 2 else MOST_HELD
        if version >= 0 and size * self.teaching.copies < MOST_HELD:
            if version not in self._held:
                answers = torch.zeros(self._num_rows, *right.shape[1:], dtype=right.dtype)
                self._held[version] = (torch.zeros(self._num_rows, dtype=torch.bool), answers)
            known, answers = self._held[version]
            known[rows], answers[rows] = True, right.cpu()
        return right

    def _hint(self, layer: nn.Module, own: Tensor, right: Tensor, batch: Batch) -> Tensor:
        """The summed squared distance of what two layers give; of a task with a lesson of its own place by place."""
        if self.own is None or own.dim() != 3 or own.shape[:2] != right.shape[:2]:
            return (layer(_pooled(own)) - _pooled(right)).square().mean(1).sum()
        apart = (layer(own) - right).square().mean(2)
        mask = batch.tensors.get("mask")
        return (apart if mask is None or mask.shape != apart.shape else apart.masked_fill(~mask, 0.0)).sum()

    def _apart(self, own: Tensor, right: Tensor) -> Tensor:
        """Summed over the samples; of a network of several members that learn for themselves, the mean of theirs."""
        if own.dim() == right.dim() + 1:  # [B, M, ...] and [B, ...]
            return sum((self._apart(each, right) for each in own.unbind(1)), own.new_zeros(())) / own.shape[1]
        t = self.teaching.temperature
        if own.dim() > 1 and own.shape[-1] == len(self.task.terms.labels):
            if self._are_exclusive(right):
                return softened_divergence(right, own, t).sum()
            return t * t * F.binary_cross_entropy_with_logits(own / t, torch.sigmoid(right / t), reduction="sum")
        if self.task.terms.labels:
            raise OptionError(
                "--method distil: the outputs of this task are no scores of its classes, so they cannot be learned."
            )
        return ((own - right) / right.std(unbiased=False).clamp_min(1e-6)).square().sum()

    def _are_exclusive(self, outputs: Tensor) -> bool:
        """Whether one of the classes is true: then a constant added to all scores says nothing, else it does."""
        if self._exclusive is None:
            some = outputs[:8].double()
            both = self.task.combine([some, some + 1.0], [0.5, 0.5])
            self._exclusive = both.shape == some.shape and torch.allclose(both, some.log_softmax(-1), atol=1e-4)
        return bool(self._exclusive)


class _listening:
    """Notes what the layers of the hints give, while it lasts: the student's under even numbers."""

    def __init__(
        self, student: nn.Module, teacher: nn.Module, hints: Sequence[tuple[str, str]], seen: dict[int, Tensor]
    ) -> None:
        inner = student.student if isinstance(student, Hinted) else student
        self._hooks = []
        for number, (a, b) in enumerate(hints):
            for place, (network, name) in enumerate(((inner, a), (teacher, b))):
                layer = _layer(cast(nn.Module, network), name)
                self._hooks.append(layer.register_forward_hook(_noting(seen, 2 * number + place)))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *raised: Any) -> None:
        for hook in self._hooks:
            hook.remove()


def _noting(seen: dict[int, Tensor], number: int) -> Any:
    def note(module: nn.Module, given: Any, output: Any) -> None:
        seen[number] = output[0] if isinstance(output, tuple) else output

    return note


def _layer(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = ", ".join([each for each, _ in network.named_modules() if each][:8])
        raise OptionError(f"--hints: the network has no layer {name!r}; it has {known}, ...") from None


def _width(network: nn.Module, name: str) -> int:
    """Of what a layer gives, as far as its own or its last part's tensors tell."""
    found = None
    for module in _layer(network, name).modules():
        weight: Any = getattr(module, "weight", None)
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) or isinstance(weight, nn.Parameter):
            found = int(weight.shape[0])
    if found is None:
        raise OptionError(f"--hints: {name!r} has no weights, so its width is not known; name the layer before it.")
    return found


def _pooled(x: Tensor) -> Tensor:
    """[B, D] of maps [B, D, H, W], a sequence [B, T, D], or as it is."""
    if x.dim() == 4:
        return x.mean((2, 3))
    return x.mean(1) if x.dim() == 3 else x


def hints_of(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(student's layer, teacher's) of each `STUDENT:TEACHER`. Raises OptionError."""
    found = []
    for word in words:
        parts = word.split(":")
        if len(parts) != 2 or not all(parts):
            raise OptionError(f"--hints {word}: expected STUDENT_LAYER:TEACHER_LAYER, such as layer3:layer4.")
        found.append((parts[0], parts[1]))
    return tuple(found)


def plain(network: nn.Module) -> nn.Module:
    """The student without what its hints went through."""
    return cast(nn.Module, network.student) if isinstance(network, Hinted) else network


def record(teaching: Teaching) -> Mapping[str, Any]:
    """What run.json says of it."""
    return {"temperature": teaching.temperature, "weight": teaching.weight, "inputs": teaching.inputs}
