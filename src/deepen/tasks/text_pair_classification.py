"""How two texts relate: one of a set of classes, such as entailment, or a score, such as how alike they are.

Columns `text_a` and `text_b`, and `label` (a class) or `score` (a number); `--target` says which, by default the label
where there is one. Both sides share one vocabulary (prepare/text.py states the rules); batches hold pairs of like
length.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from deepen.core import names, rng
from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault
from deepen.core.figures import Figure, Sample
from deepen.core.names import did_you_mean
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import Target, target_of
from deepen.engine.task import Exported, Terms, Tiny
from deepen.explain.text import TextExplainer
from deepen.explain.text_gates import Side
from deepen.nn.contracts import CONTRACTS
from deepen.nn.shapes import TextShape
from deepen.ops.losses import Loss, spread_over
from deepen.prepare import outcomes, text, text_graph, text_inputs, text_order
from deepen.prepare.embeddings import rows_of_tokens, starting_tables
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.table_target import with_classes
from deepen.prepare.text import TextOptions, Tokenizer
from deepen.prepare.text_inputs import texts_of
from deepen.prepare.text_options import EMBEDDINGS, WORD_DROPOUT

CONTRACT = "text pair model"
PAD = 0
MOST_TOKENS = 500
TEXT = TextOptions(max_length=MOST_TOKENS)
SIDES = ("text_a", "text_b")
TARGETS = ("label", "score")


@dataclass(frozen=True)
class Options:
    """Pairs of texts in, a class or a number out."""

    model: str = field(default="transformer-pair", metadata={"help": "the network; `deepen list` names them"})
    text: TextOptions = TEXT
    embeddings: str | None = field(default=None, metadata=EMBEDDINGS)
    label_smoothing: float = field(default=0.0, metadata=spread_over("classes"))
    word_dropout: float = field(default=0.0, metadata=WORD_DROPOUT)
    top: int = field(default=5, metadata={"help": "classes listed in an answer", "least": 1})


def schema(options: Options) -> Schema:
    """Reads SICK, SNLI and other tables with two columns of texts."""
    return Schema(readers=("sentence_pairs",), inputs=SIDES, target="label")


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """The classes or the scale of the scores, the vocabulary of both sides, and how long the longest text is."""
    name, kind = _target(table)
    if kind == "class":
        learned_target = outcomes.learn_class(table, name, dataset.labels, faults)
    else:
        if options.label_smoothing:
            raise OptionError(
                f"--label-smoothing {options.label_smoothing:g}: a score has no classes to spread over; leave it out."
            )
        learned_target = outcomes.learn_number(table, name, faults)
    sides = [texts_of(table, side) for side in SIDES]
    learned = text.learn([*sides[0], *sides[1]], options.text, faults)
    longest = max(int(text.encode(side, learned, "train", []).lengths.max()) for side in sides)
    return {"target": learned_target, "text": learned, "longest": longest}


def target(table: pa.Table) -> Target | None:
    """The class or the score: what `--target` named, else the label if any row has one, else the score."""
    there = [name for name in TARGETS if name in table.column_names]
    asked = [name for name in there if name == target_of(table)]
    filled = [name for name in there if table.column(name).null_count < table.num_rows]
    name = next(iter([*asked, *filled]), "")
    return Target(name, "class" if name == "label" else "number") if name else None


def files(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizer of subwords in the form that other tools read."""
    return {"tokenizer.json": state["text"]["tokenizer"]} if "tokenizer" in state["text"] else {}


class Task:
    """Text pair classification, or regression to a score, with what it learned from the training table."""

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.state, self.network = options, state, network
        self.outcome = outcomes.outcome_of(state["target"], top=options.top)
        self.labels = self.outcome.labels
        self.tokenizer = Tokenizer(state["text"])
        self.objective: tuple[str, str] = self.outcome.objective
        self.evaluation_batch_size = text_inputs.rows_at_once(2 * state["longest"])

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """Ids of both texts, and targets (`truth`) where they are wanted."""
        tensors: dict[str, Tensor] = {}
        if split != "predict":
            name = self.state["target"]["target"]
            named = with_classes(table, name) if name == "label" else table
            tensors, rows = self.outcome.encode(named, split, faults)
            table = table if len(rows) == table.num_rows else table.take(pa.array(rows))
        ids = {side: text.encode(texts_of(table, side), self.state["text"], split, faults) for side in SIDES}
        for side in SIDES:
            text_inputs.say_longer(ids[side], self.state["longest"], split, faults)
        return Encoded(tensors, table, ragged=ids)

    def order(self, encoded: Encoded, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
        """Batches of pairs whose two texts together are of like length."""
        lengths = sum(encoded.ragged[side].lengths.cpu().numpy() for side in SIDES)
        return text_order.bucketed(np.asarray(lengths), num_batches, seed=seed, epoch=epoch)

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Of each side its ids [B, T] int64 (`text_a`) and mask [B, T] bool (`text_a_mask`); `truth` if known."""
        tensors, share = encoded.take(rows), self.options.word_dropout
        for side in SIDES:
            ids, mask = text_inputs.padded(encoded.ragged[side], rows, PAD)
            ids = text_inputs.with_dropped_words(
                ids, mask, rows, draws, share=share, unknown=self.tokenizer.unknown, use=f"word dropout {side}"
            )
            tensors |= {side: ids, f"{side}_mask": mask}
        return Batch(tensors, len(rows), rows)

    def build(self) -> nn.Module:
        """The network for this vocabulary and these classes, or with one output for a score."""
        named = names.model(self.options.model, CONTRACT)
        module = importlib.import_module(named.module)
        return module.build(named.name, self._shape(), self.outcome.num_outputs, self.network or module.Options())

    def sample(self) -> list[Tensor]:
        """The longest two texts and their masks."""
        return CONTRACTS[CONTRACT].sample(self._shape())

    def starting_values(self, network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Word vectors from `--embeddings`."""
        return starting_tables(self.options.embeddings, self.tokenizer.vocabulary, network)

    def row_names(self, network: Mapping[str, Tensor]) -> dict[str, Sequence[str] | None]:
        """The tokens of the embedding's rows."""
        return rows_of_tokens(network, self.tokenizer.vocabulary)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy of classes, squared error of scores in their deviations."""
        raw = self._raw(model, batch)
        return Loss(self.outcome.loss_sum(raw, batch.tensors, label_smoothing=self.options.label_smoothing))

    def metrics(self) -> Any:
        """Accuracy of classes, correlations of scores, and their company."""
        return self.outcome.metrics()

    def score(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        """Adds a batch's outputs."""
        metrics.model = model
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """The most probable classes, or the score, of each pair."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    @property
    def terms(self) -> Terms:
        """The classes in the order of the logits, or the score."""
        return Terms(self.state["target"]["target"], self.outcome.labels)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits [B, K], or scores [B] in their own unit."""
        return self.outcome.outputs(self._raw(model, batch))

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Logits of the mean of the probabilities, or the mean of the scores."""
        return self.outcome.combine(outputs, weights)

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Any) -> None:
        """Adds logits [B, K] or scores [B]."""
        self.outcome.score(outputs, batch.tensors, batch.rows, metrics)

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """The answers that logits [B, K] or scores [B] stand for."""
        return self.outcome.answers(outputs, sources)

    def figures(self, metrics: Any, encoded: Encoded) -> list[Figure]:
        """Figures by class or of the scores, and the worst mistakes with their texts and attention."""
        drawn = self.outcome.figures(metrics, lambda row: _sample(encoded, row))
        return [*drawn, *self.explainer().attention_of_worst(metrics, encoded, self.batch)]

    def exported(self, model: nn.Module) -> Exported:
        """Logits, or scores in their own unit, from ids and mask of each side."""
        sides = [(side, f"{side}_mask") for side in SIDES]
        preparation = {
            "kind": "text",
            "text": self.state["text"],
            "longest": self.state["longest"],
            "pad": PAD,
            "sides": [{"column": ids, "ids": ids, "mask": mask} for ids, mask in sides],
        }
        answer = outcomes.exported_answer(self.state["target"], top=self.options.top)
        return Exported(
            network=text_graph.TextGraph(model, self.outcome.outputs).eval(),
            inputs=text_graph.examples(sides, len(self.tokenizer), self.state["longest"]),
            free=text_graph.free(sides),
            most=text_graph.most(sides, model),
            preparation=preparation,
            answer=answer | {"cells": True},
            outputs=self.outputs,
        )

    def explainer(self) -> TextExplainer:
        """Explains which tokens of both texts an answer comes from."""
        target = self.state["target"]
        return TextExplainer(
            sides=tuple(Side(side, f"{side}_mask", side) for side in SIDES),
            tokens=lambda encoded, row, side: self.tokenizer.tokens(
                texts_of(encoded.table.slice(row, 1), side.column)[0]
            ),
            kind=target["kind"],
            outputs=self.outputs,
            target=target["target"],
            labels=self.outcome.labels,
            unknown=self.tokenizer.unknown,
            joiner=text_inputs.joiner_of(self.state["text"]),
        )

    def _raw(self, model: nn.Module, batch: Batch) -> Tensor:
        """What the network says, [B, K]."""
        return model(batch["text_a"], batch["text_a_mask"], batch["text_b"], batch["text_b_mask"])

    def _shape(self) -> TextShape:
        return TextShape(len(self.tokenizer), longest=self.state["longest"], pad=PAD)


def _target(table: pa.Table) -> Target:
    """What is learned of pairs. Raises OptionError for another column, DataError where there is nothing."""
    asked, there = target_of(table), [name for name in TARGETS if name in table.column_names]
    if asked and asked not in there:
        raise OptionError(f"--target {asked}: expected label or score{did_you_mean(asked, there)}")
    found = target(table)
    if found is None:
        raise DataError("expected a column label or score to learn from, but neither holds anything; give one.")
    return found


def _sample(encoded: Encoded, row: int) -> Sample:
    said = [encoded.table.column(side)[row].as_py() or "" for side in SIDES]
    return Sample(caption=[encoded.source(row)], text="\n".join(said))


def _tiny(seed: int) -> Dataset:
    """Two sentences about things in rooms: the second follows from the first, contradicts it, or speaks of another."""
    draw = rng.generator(seed, "tiny pairs")
    things = ("lamp", "chair", "kettle", "radio", "clock", "mirror")
    rooms = ("kitchen", "hall", "attic", "garden")
    firsts, seconds, labels, scores = [], [], [], []
    for _ in range(360):
        thing, other = draw.choice(things, 2, replace=False)
        room, elsewhere = draw.choice(rooms, 2, replace=False)
        kind = int(draw.integers(3))
        firsts.append(f"The {thing} is in the {room}{draw.choice((' today', ' again', ''))}")
        seconds.append(
            (
                f"There is a {thing} in the {room}",
                f"There is no {thing} in the {room}",
                f"There is a {other} in the {elsewhere}",
            )[kind]
        )
        labels.append(("entailment", "contradiction", "neutral")[kind])
        scores.append((5.0, 3.5, 1.5)[kind])
    table = pa.table({"text_a": pa.array(firsts, pa.string()), "text_b": pa.array(seconds, pa.string())})
    table = with_origin(table, [f"tiny.tsv, line {row + 2}" for row in range(len(labels))])
    table = table.append_column("label", pa.array(labels, pa.string())).append_column("score", pa.array(scores))
    return Dataset("tiny", f"made up: {len(labels)} pairs, 3 classes", {"all": table})


TINY = Tiny(
    options={
        "epochs": 12,
        "batch_size": 16,
        "optimizer.learning_rate": 0.005,
        "network.width": 24,
        "network.hidden": 24,
        "network.blocks": 1,
    },
    make=_tiny,
    metric="accuracy",
    beats=0.8,
)
