"""How a tagger learns from another: at each token, the probability of every tag given the whole sentence.

    loss = sum over sentences of  (1 - w) (-ln p(the sentence's tags))
         + sum over tokens of     w T^2 KL(q^(1/T) / Z_q || p^(1/T) / Z_p)

p and q are the probabilities of a token's tags by student and teacher: with a conditional random field its exact
posterior, by forward-backward over the sentence (ops/chain_posterior.py, through which the gradient goes), without one
the softmax of the token's emissions; with label smoothing the first term is the cross-entropy with the smoothed tags,
as the student's task has it. So a teacher with a field can teach a student without, and the other way round.

A tag that a field forbids has a probability of 1e-30 at least, so that no loss is infinite.

Sources: Wang, Jiang, Bach, Wang, Huang and Tu 2020, Structure-Level Knowledge Distillation for Multilingual Sequence
Labeling, section 3.3 (posterior distillation); Hinton, Vinyals and Dean 2015 (temperature).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from deepen.engine.carry import Carried
from deepen.nn.crf import LinearChainCRF
from deepen.ops.chain_posterior import log_posterior
from deepen.ops.losses import weighted_sum
from deepen.ops.softened import softened_divergence
from deepen.prepare.encoded import Batch

LEAST = math.log(1e-30)


class TagLesson:
    """What one teacher teaches; see the top of this file.

    teacher    a tagger over the student's tags, with a field in `crf` or None there
    emissions  (network, batch) -> [B, T, K]
    nats       (network, emissions, batch) -> [B], -ln of the probability of each sentence's own tags
    """

    carried: Carried | None = None

    def __init__(
        self,
        teacher: nn.Module,
        temperature: float,
        emissions: Callable[[nn.Module, Batch], Tensor],
        nats: Callable[[nn.Module, Tensor, Batch], Tensor],
    ) -> None:
        self.teacher, self.temperature = teacher, temperature
        self._emissions, self._nats = emissions, nats

    def loss(self, student: nn.Module, batch: Batch, weight: float) -> Tensor:
        """The summed loss of a batch of training; `weight` is that of the teacher. With 1 no tags are read."""
        mask = batch["mask"]
        emissions = self._emissions(student, batch)
        with torch.no_grad():
            teacher = self.teacher.to(mask.device)
            wanted = log_probabilities(teacher, self._emissions(teacher, batch), mask)
        apart = softened_divergence(wanted, log_probabilities(student, emissions, mask), self.temperature)
        total = weight * apart.masked_fill(~mask, 0.0).sum()
        if weight == 1:
            return total
        nats = self._nats(student, emissions, batch)
        own = weighted_sum(nats, batch.tensors.get("weight"))
        return total + (1 - weight) * own


def log_probabilities(network: Any, emissions: Tensor, mask: Tensor) -> Tensor:
    """ln of each tag's probability at each token given the whole sentence, [B, T, K], at least ln 1e-30."""
    field: LinearChainCRF | None = network.crf
    if field is None:
        return torch.log_softmax(emissions, 2).clamp(min=LEAST)
    emissions, *scores = field.prepared(emissions, mask)
    return log_posterior(emissions, mask, *scores).clamp(min=LEAST)
