"""The restricted Boltzmann machine: visible and hidden units with weights between the two kinds, none within a kind.

    P(v, h) = exp(-E(v, h)) / Z

    binary visible units      E(v, h) = -b v - c h - h W v               v in {0, 1}
    gaussian visible units    E(v, h) = |v - b|^2 / 2 - c h - h W v      v real, of variance 1 given h

Given one side, the units of the other are independent, so that both sides can be drawn in turns (block Gibbs sampling).
Hidden units are binary, or rectified: a unit is then as many binary ones as it likes, with equal weights and biases
c - 1/2, c - 3/2, ..., whose number that are on is drawn as max(0, x + e), e ~ Normal(0, sigmoid(x)), x = W v + c.

Sources: Smolensky 1986; Hinton, Training Products of Experts by Minimizing Contrastive Divergence, 2002; Hinton,
Osindero and Teh 2006; Tieleman 2008 (persistent chains); Nair and Hinton 2010 (rectified units); Hinton, A Practical
Guide to Training Restricted Boltzmann Machines, 2010.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.dropout import row_uniform
from deepen.nn.noise import row_normal

Visible = Literal["binary", "gaussian"]
Hidden = Literal["binary", "rectified"]


class RestrictedBoltzmann(nn.Module):
    """A machine of V visible and H hidden units.

    weight [H, V], hidden_bias [H], visible_bias [V]; weights begin at Normal(0, 0.01^2) from torch's generator, biases
    at zero (Hinton 2010, section 8).

    Draws are by row within `nn.dropout.drawing_for`, so functions of (seed, epoch, row); else from torch's generator.
    """

    def __init__(
        self, num_visible: int, num_hidden: int, *, visible: Visible = "binary", hidden: Hidden = "binary"
    ) -> None:
        super().__init__()
        self.visible, self.hidden = visible, hidden
        self.weight = nn.Parameter(torch.randn(num_hidden, num_visible) * 0.01)
        self.hidden_bias = nn.Parameter(torch.zeros(num_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(num_visible))

    def energy(self, visible: Tensor, hidden: Tensor) -> Tensor:
        """E(v, h), where hidden units are binary.

        visible  [..., V]
        hidden   [..., H]
        returns  [...]
        """
        assert self.hidden == "binary", "what is drawn of a rectified unit does not say which of its copies are on"
        pulled = (F.linear(visible, self.weight) * hidden).sum(-1) + hidden @ self.hidden_bias
        return self._own_energy(visible) - pulled

    def free_energy(self, visible: Tensor) -> Tensor:
        """F(v) with P(v) = exp(-F(v)) / Z, where hidden units are binary.

            F(v) = -log sum over h of exp(-E(v, h)) = E(v, 0) - sum over j of log(1 + exp(x[j])),   x = W v + c

        visible  [..., V]
        returns  [...]
        """
        assert self.hidden == "binary", "rectified units have no free energy in closed form"
        return self._own_energy(visible) - F.softplus(self._hidden_input(visible)).sum(-1)

    def hidden_mean(self, visible: Tensor) -> Tensor:
        """The mean of each hidden unit given the visible ones: sigmoid(x), of rectified ones log(1 + exp(x)).

        visible  [B, V]
        returns  [B, H]
        """
        x = self._hidden_input(visible)
        return torch.sigmoid(x) if self.hidden == "binary" else F.softplus(x)

    def visible_mean(self, hidden: Tensor) -> Tensor:
        """The mean of each visible unit given the hidden ones: y = W' h + b, of binary ones sigmoid(y).

        hidden   [B, H]
        returns  [B, V]
        """
        y = F.linear(hidden, self.weight.T, self.visible_bias)
        return torch.sigmoid(y) if self.visible == "binary" else y

    def draw_hidden(self, visible: Tensor) -> Tensor:
        """Hidden units [B, H] drawn given visible ones [B, V]."""
        if self.hidden == "binary":
            return _on(self.hidden_mean(visible))
        x = self._hidden_input(visible)
        return F.relu(x + torch.sigmoid(x).sqrt() * row_normal(x.shape[0], x.shape[1], x.device))

    def draw_visible(self, hidden: Tensor) -> Tensor:
        """Visible units [B, V] drawn given hidden ones [B, H]."""
        mean = self.visible_mean(hidden)
        if self.visible == "binary":
            return _on(mean)
        return mean + row_normal(mean.shape[0], mean.shape[1], mean.device)

    @torch.no_grad()
    def gibbs(self, visible: Tensor, steps: int) -> Tensor:
        """Where chains stand that begin at these visible units, after drawing both sides in turns.

        visible, returns  [B, V]
        """
        for _ in range(steps):
            visible = self.draw_visible(self.draw_hidden(visible))
        return visible

    @torch.no_grad()
    def gradients(self, data: Tensor, model: Tensor) -> dict[str, Tensor]:
        """An estimate of the gradient of the mean log-likelihood of the data, by the names of the parameters.

            d log P / dW = <h v'> over the data - <h v'> over the machine's own distribution,   h its mean given v

        data     [N, V] samples to learn
        model    [M, V] samples that stand for the machine's own distribution. `gibbs(data, k)` gives contrastive
                 divergence, CD-k; chains that go on from update to update give persistent CD. With samples of the
                 machine itself the estimate is right on average.
        returns  "weight" [H, V], "hidden_bias" [H], "visible_bias" [V]
        """
        up, down = self.hidden_mean(data), self.hidden_mean(model)
        num_data, num_model = data.shape[0], model.shape[0]
        return {
            "weight": up.T @ data / num_data - down.T @ model / num_model,
            "hidden_bias": up.mean(0) - down.mean(0),
            "visible_bias": data.mean(0) - model.mean(0),
        }

    @torch.no_grad()
    def reconstruction(self, visible: Tensor) -> Tensor:
        """The mean of the visible units given the mean of the hidden ones: [B, V] for [B, V]."""
        return self.visible_mean(self.hidden_mean(visible))

    def extra_repr(self) -> str:
        num_hidden, num_visible = self.weight.shape
        return f"{num_visible} {self.visible}, {num_hidden} {self.hidden}"

    def _hidden_input(self, visible: Tensor) -> Tensor:
        return F.linear(visible, self.weight, self.hidden_bias)

    def _own_energy(self, visible: Tensor) -> Tensor:
        """E(v, 0)"""
        if self.visible == "binary":
            return -(visible @ self.visible_bias)
        return (visible - self.visible_bias).square().sum(-1) / 2


def _on(probability: Tensor) -> Tensor:
    """1 with this probability, else 0."""
    draws = row_uniform(probability.shape[0], probability.shape[1], probability.device)
    return (draws < probability).to(probability.dtype)
