"""Neural decision tree: every node is a linear question, soft while training, answered by yes or no when answering.

    p_i(x) = sigmoid(w_i x + b_i)                           of going right at node i
    P_l(x) = product over the nodes i above leaf l of  p_i(x) or 1 - p_i(x)
    training    probabilities = sum over l of  P_l(x) q_l(x)
    answering   probabilities = q_l(x)  of the one leaf at which a row arrives that goes right where p_i(x) > 1/2

q_l is the answer of a small network of the leaf's own, softmax(V_l relu(U_l x + a_l) + c_l), or with
`--network.leaf-hidden 0` a distribution that the leaf has learned, softmax(c_l). The outputs are logarithms of these
probabilities. On images x is the flattened image, on table rows the numbers followed by the categories, as
nn/table.py says.

A row needs d of the 2^d - 1 questions and one of the 2^d leaves. Other leaves are not computed, other questions not
where there are so many that this is faster. So that little is lost by it, training adds two terms to the loss of each
sample:

    balance    - balance * sum over i of 2^-depth(i) (log 2 a_i + log 2 (1 - a_i)) / 2,    a_i = sum P_i p_i / sum P_i
    hardening  hardening / d * mean over rows of  sum over i of P_i(x) H(p_i(x)),     H the entropy

P_i is the probability of coming to node i. The first keeps both sides of each node in use; its sums run over the rows
of a micro-batch. The second makes the questions firm.
Where a gradient of the answer with respect to its input is asked for, it is the soft tree's: the hard one has none.

Source: Frosst and Hinton 2017, Distilling a Neural Network Into a Soft Decision Tree, for the tree, learned
distributions and the balance (there with averages over time); Kontschieder et al. 2015, Deep Neural Decision Forests,
for the loss of the mixture; Belcak and Wattenhofer 2023, Fast Feedforward Networks, for leaf networks and hardening.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.extra_loss import add_loss, is_collecting
from deepen.nn.members import MemberNetworks
from deepen.nn.shapes import ImageShape, Paper, TableShape
from deepen.nn.table import TableFeatures

CONTRACTS = ("image classifier", "table classifier")
LEAST = 1e-30  # of a probability whose logarithm is taken
FETCHED_DEPTH = 9  # from here on rows fetch their own questions; one product for all of them is faster for fewer
FEW_ROWS = 16  # up to this many compare their answers with all ways at once, which takes few calls


@dataclass(frozen=True)
class Size:
    """Questions from the root to a leaf, and the hidden width of each leaf's network (0: a learned distribution)."""

    depth: int
    leaf_hidden: int


SIZES = {"neural-tree": Size(depth=5, leaf_hidden=32)}

# 31 * (784 + 1)  +  32 * (784 * 32 + 32 + 32 * 10 + 10); of the leaves one is computed, and the product that asks all
# questions at once is faster than asking five of them; 31 * 32 compare a row's answers with the ways to all leaves
PAPER = {
    "neural-tree": Paper(
        inputs=(1, 28, 28), outputs=10, parameters=838_735, multiply_adds=31 * 784 + 31 * 32 + 784 * 32 + 32 * 10
    )
}

RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "optimizer.kind": "adamw",
    "optimizer.learning_rate": 0.003,
    "optimizer.weight_decay": 0.01,
    "schedule.kind": "cosine",
    "schedule.warm_up": 0.05,
    "schedule.final": 0.01,
}


@dataclass(frozen=True)
class Options:
    """Options of the tree."""

    depth: int | None = field(
        default=None,
        metadata={"help": "questions from root to leaf; default: 5", "least": 1, "most": 14, "search": "3..9"},
    )
    leaf_hidden: int | None = field(
        default=None,
        metadata={
            "help": "hidden width of the network at each leaf; default: 32; 0: a learned distribution",
            "least": 0,
            "search": "0,8,16,32",
        },
    )
    routing: Literal["hard", "soft"] = field(
        default="hard", metadata={"help": "of answers: one leaf for each row, or all leaves by their probabilities"}
    )
    balance: float = field(
        default=0.1, metadata={"help": "weight of the loss that keeps both sides of each node in use", "least": 0.0}
    )
    hardening: float = field(
        default=0.1, metadata={"help": "weight of the loss that makes questions firm", "least": 0.0, "search": "0..1"}
    )
    embedding: int = field(
        default=16,
        metadata={
            "help": "width of the embedding of columns with more than 16 categories; 0: all one-hot",
            "least": 0,
        },
    )


def build(name: str, inputs: ImageShape | TableShape, outputs: int, options: Options | None = None) -> nn.Module:
    """The tree for these inputs."""
    options = options or Options()
    size = SIZES[name]
    depth = size.depth if options.depth is None else options.depth
    hidden = size.leaf_hidden if options.leaf_hidden is None else options.leaf_hidden
    if isinstance(inputs, TableShape):
        return TableTree(inputs, Size(depth, hidden), outputs, options)
    return ImageTree(inputs, Size(depth, hidden), outputs, options)


class ImageTree(nn.Module):
    """images [B, C, H, W] -> logarithms of probabilities [B, K]"""

    def __init__(self, inputs: ImageShape, size: Size, outputs: int, options: Options) -> None:
        super().__init__()
        self.tree = Tree(inputs.num_values, size, outputs, options)

    def forward(self, images: Tensor) -> Tensor:
        return self.tree(torch.flatten(images, 1))


class TableTree(nn.Module):
    """numbers [B, F], categories [B, G] -> logarithms of probabilities [B, K]"""

    def __init__(self, inputs: TableShape, size: Size, outputs: int, options: Options) -> None:
        super().__init__()
        self.features = TableFeatures(inputs, embedding=options.embedding)
        self.tree = Tree(self.features.width, size, outputs, options)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return self.tree(self.features(numbers, categories))


class Tree(nn.Module):
    """vectors [B, D] -> logarithms of probabilities [B, K]

    Nodes stand level by level, each level from left to right: node i has the children 2 i + 1 and 2 i + 2.
    """

    def __init__(self, width: int, size: Size, outputs: int, options: Options) -> None:
        super().__init__()
        self.depth, self.routing = size.depth, options.routing
        self.balance, self.hardening = options.balance, options.hardening
        self.nodes = nn.Linear(width, 2**size.depth - 1)
        nn.init.normal_(self.nodes.weight, std=width**-0.5)
        nn.init.zeros_(self.nodes.bias)
        self.leaves: Leaves | MemberNetworks
        if size.leaf_hidden:
            self.leaves = MemberNetworks(2**size.depth, (width, size.leaf_hidden, outputs))
        else:
            self.leaves = Leaves(2**size.depth, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.routing == "soft":
            return self._soft(x)
        found = F.log_softmax(self._at_leaf(x, self.leaf_of(x)), 1)
        if x.requires_grad and torch.is_grad_enabled():
            soft = self._soft(x)
            return found.detach() + (soft - soft.detach())
        return found

    def leaf_of(self, x: Tensor) -> Tensor:
        """The leaf at which each row arrives by hard decisions: [B, D] -> [B] int64, from left to right."""
        answers = None if self.depth >= FETCHED_DEPTH else self.nodes(x)  # [B, nodes]
        if answers is not None and not torch.compiler.is_exporting() and len(x) <= FEW_ROWS:
            return (torch.where(answers > 0, 1.0, -1.0) @ _ways(self.depth).to(x.device)).argmax(1)
        node = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        for _ in range(self.depth):
            answer = self._asked(x, node) if answers is None else answers.gather(1, node[:, None])[:, 0]
            node = 2 * node + 1 + (answer > 0).long()
        return node - (2**self.depth - 1)

    def path_probabilities(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of coming to each node and to each leaf: [B, nodes] and [B, leaves]."""
        right = torch.sigmoid(self.nodes(x).float())  # in float32 also under autocast: 1 - p of a firm node is small
        reached = right.new_ones(x.shape[0], 1)
        nodes = []
        for level in range(self.depth):
            nodes.append(reached)
            rights = reached * right[:, 2**level - 1 : 2 ** (level + 1) - 1]
            reached = torch.stack([reached - rights, rights], 2).flatten(1)
        if self.training and is_collecting():
            self._add_losses(torch.cat(nodes, 1), right)
        return torch.cat(nodes, 1), reached

    def _soft(self, x: Tensor) -> Tensor:
        _, reached = self.path_probabilities(x)
        if isinstance(self.leaves, Leaves):
            mixed = (reached @ self.leaves.logits.softmax(1)).float()
        else:
            mixed = (reached[:, :, None] * self.leaves(x).float().softmax(2)).sum(1)
        return mixed.clamp(min=LEAST).log()

    def _asked(self, x: Tensor, node: Tensor) -> Tensor:
        """What each row is asked at its node: [B, D], [B] -> [B]"""
        weight = self.nodes.weight.index_select(0, node)
        return torch.bmm(weight[:, None, :], x[:, :, None])[:, 0, 0] + self.nodes.bias.index_select(0, node)

    def _at_leaf(self, x: Tensor, leaf: Tensor) -> Tensor:
        """[B, K]"""
        if isinstance(self.leaves, Leaves):
            return self.leaves.logits.index_select(0, leaf)
        if torch.compiler.is_exporting():  # a graph's shapes cannot hang on how many rows come to a leaf
            place = leaf[:, None, None].expand(-1, 1, self.leaves.layers[-1].weight.shape[-1])  # type: ignore[union-attr, operator, index]
            return self.leaves(x).gather(1, place)[:, 0]
        return self.leaves.chosen(x, leaf[:, None])[:, 0]

    def _add_losses(self, reached: Tensor, right: Tensor) -> None:
        """The balance and the hardening of a micro-batch; reached, right [B, nodes]."""
        if self.balance:
            add_loss(self.balance * balance_loss(reached, right))
        if self.hardening:
            add_loss(self.hardening / self.depth * hardening_loss(reached, right))


class Leaves(nn.Module):
    """A learned distribution of each leaf, as logits [L, K]."""

    def __init__(self, leaves: int, outputs: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(0.1 * torch.randn(leaves, outputs))


@cache
def _ways(depth: int) -> Tensor:
    """Which answers lead to each leaf: [nodes, leaves], 1 for right, -1 for left, 0 at nodes off its way."""
    found = torch.zeros(2**depth - 1, 2**depth)
    for leaf in range(2**depth):
        node = 0
        for level in reversed(range(depth)):
            turn = leaf >> level & 1
            found[node, leaf] = 2 * turn - 1
            node = 2 * node + 1 + turn
    return found


def balance_loss(reached: Tensor, right: Tensor) -> Tensor:
    """How unevenly nodes send their rows to both sides; 0 where every node sends half of them to each.

        a_i = sum_b reached[b, i] right[b, i] / sum_b reached[b, i]
        loss = - sum over i of 2^-depth(i) (log 2 a_i + log 2 (1 - a_i)) / 2

    reached, right  [B, nodes]: the probability that a row comes to a node, and that it goes right there
    returns         scalar

    Source: Frosst and Hinton 2017, the section on regularizers (there without the 2, which only moves it).
    """
    share = (reached * right).sum(0) / reached.sum(0).clamp(min=LEAST)
    weight = [2.0 ** -int(math.log2(place + 1)) for place in range(right.shape[1])]
    each = -0.5 * ((2 * share).clamp(min=1e-6).log() + (2 - 2 * share).clamp(min=1e-6).log())
    return each @ each.new_tensor(weight)


def hardening_loss(reached: Tensor, right: Tensor) -> Tensor:
    """The mean over rows of the entropy, in nats, of all the decisions on a row's way.

    reached, right  [B, nodes]: the probability that a row comes to a node, and that it goes right there
    returns         scalar

    Source: Belcak and Wattenhofer 2023, section "Hardening" (there not weighted by the way).
    """
    p = right.clamp(1e-6, 1 - 1e-6)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    return (reached * entropy).sum(1).mean()
