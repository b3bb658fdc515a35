"""Which of a set of classes a text belongs to, or which of a set of labels apply to it.

A column `label` gives one class of each text; a column `labels`, a list, any number of labels. Texts become ids of
words, characters, bytes or subwords (prepare/text.py states the rules); batches hold texts of like length.
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
from deepen.core.errors import OptionError
from deepen.core.faults import Fault
from deepen.core.figures import Figure, Sample
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import Target
from deepen.engine.task import Exported, Terms, Tiny
from deepen.explain.text import TextExplainer
from deepen.explain.text_gates import Side
from deepen.nn.contracts import CONTRACTS
from deepen.nn.shapes import TextShape
from deepen.ops.losses import Loss, spread_over
from deepen.prepare import outcomes, text, text_graph, text_inputs, text_order
from deepen.prepare.embeddings import rows_of_tokens, starting_tables
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.text import TextOptions, Tokenizer
from deepen.prepare.text_inputs import texts_of
from deepen.prepare.text_options import EMBEDDINGS, WORD_DROPOUT

CONTRACT = "text classifier"
PAD = 0
MOST_TOKENS = 1000
TEXT = TextOptions(max_length=MOST_TOKENS)


@dataclass(frozen=True)
class Options:
    """Texts in, classes or labels out."""

    model: str = field(default="textcnn", metadata={"help": "the network; `deepen list` names them"})
    text: TextOptions = TEXT
    embeddings: str | None = field(default=None, metadata=EMBEDDINGS)
    label_smoothing: float = field(default=0.0, metadata=spread_over("classes"))
    word_dropout: float = field(default=0.0, metadata=WORD_DROPOUT)
    threshold: float | None = field(
        default=None,
        metadata={
            "help": "probability from which on each of several labels is answered; default: by label the one with the "
            "largest F1 on validation",
            "above": 0.0,
            "below": 1.0,
        },
    )
    top: int = field(default=5, metadata={"help": "classes listed in an answer", "least": 1})


def schema(options: Options) -> Schema:
    """Reads folders of texts, lines with a label, and tables with a column of texts."""
    return Schema(
        readers=("text_folder", "labelled_lines", "text_table", "text_lines"), inputs=("text",), target="label"
    )


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """The classes or labels, the vocabulary, and how long the longest text is."""
    if "label" not in table.column_names:
        given, threshold = dataset.labels, options.threshold
        learned_target = outcomes.learn_label_set(table, "labels", given, faults, threshold=threshold)
    elif options.threshold is None:
        learned_target = outcomes.learn_class(table, "label", dataset.labels, faults)
    else:
        raise OptionError(
            f"--threshold {options.threshold:g}: means nothing where a text has one class; it is for a column `labels` "
            "of lists. Leave it out."
        )
    texts = texts_of(table, "text")
    learned = text.learn(texts, options.text, faults)
    if "label" in table.column_names:
        labels = table.column("label").cast(pa.string()).to_pylist()
        text_inputs.warn_of_named_classes(texts, labels, faults)
    longest = int(text.encode(texts, learned, "train", []).lengths.max())
    return {"target": learned_target, "text": learned, "longest": longest}


def target(table: pa.Table) -> Target | None:
    """The class or the labels of a text, whichever the table has."""
    if "label" in table.column_names:
        return Target("label", "class")
    return Target("labels", "label set") if "labels" in table.column_names else None


def files(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizer of subwords in the form that other tools read."""
    return {"tokenizer.json": state["text"]["tokenizer"]} if "tokenizer" in state["text"] else {}


class Task:
    """Text classification with what it learned from the training table."""

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.state, self.network = options, state, network
        self.outcome = outcomes.outcome_of(state["target"], top=options.top)
        self.labels = self.outcome.labels
        self.tokenizer = Tokenizer(state["text"])
        self.objective: tuple[str, str] = self.outcome.objective
        self.evaluation_batch_size = text_inputs.rows_at_once(state["longest"])

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """Ids of each text, and targets (`truth`) where they are wanted."""
        tensors: dict[str, Tensor] = {}
        if split != "predict":
            tensors, rows = self.outcome.encode(table, split, faults)
            table = table if len(rows) == table.num_rows else table.take(pa.array(rows))
        ids = text.encode(texts_of(table, "text"), self.state["text"], split, faults)
        text_inputs.say_longer(ids, self.state["longest"], split, faults)
        return Encoded(tensors, table, ragged={"ids": ids})

    def order(self, encoded: Encoded, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
        """Batches of texts of like length."""
        lengths = encoded.ragged["ids"].lengths.cpu().numpy()
        return text_order.bucketed(lengths, num_batches, seed=seed, epoch=epoch)

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """`ids` [B, T] int64 and `mask` [B, T] bool, and `truth` where there is any."""
        ids, mask = text_inputs.padded(encoded.ragged["ids"], rows, PAD)
        share, unknown = self.options.word_dropout, self.tokenizer.unknown
        ids = text_inputs.with_dropped_words(ids, mask, rows, draws, share=share, unknown=unknown, use="word dropout")
        return Batch({**encoded.take(rows), "ids": ids, "mask": mask}, len(rows), rows)

    def build(self) -> nn.Module:
        """The network for this vocabulary and these classes."""
        named = names.model(self.options.model, CONTRACT)
        module = importlib.import_module(named.module)
        return module.build(named.name, self._shape(), self.outcome.num_outputs, self.network or module.Options())

    def sample(self) -> list[Tensor]:
        """The longest text and its mask."""
        return CONTRACTS[CONTRACT].sample(self._shape())

    def starting_values(self, network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Word vectors from `--embeddings`; of two tables both."""
        return starting_tables(self.options.embeddings, self.tokenizer.vocabulary, network)

    def row_names(self, network: Mapping[str, Tensor]) -> dict[str, Sequence[str] | None]:
        """The tokens of the embedding's rows."""
        return rows_of_tokens(network, self.tokenizer.vocabulary)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy of classes, binary cross-entropy of labels."""
        raw = model(batch["ids"], batch["mask"])
        return Loss(self.outcome.loss_sum(raw, batch.tensors, label_smoothing=self.options.label_smoothing))

    def metrics(self) -> Any:
        """Accuracy of classes, F1 of labels, and their company."""
        return self.outcome.metrics()

    def score(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        """Adds a batch's logits."""
        metrics.model = model
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """The most probable classes, or the labels, of each text."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    @property
    def terms(self) -> Terms:
        """The classes or labels, in the order of the logits."""
        return Terms(self.state["target"]["target"], self.outcome.labels)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits [B, K]."""
        return self.outcome.outputs(model(batch["ids"], batch["mask"]))

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Logits of the mean of the probabilities."""
        return self.outcome.combine(outputs, weights)

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Any) -> None:
        """Adds logits [B, K]."""
        self.outcome.score(outputs, batch.tensors, batch.rows, metrics)

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """The answers that logits [B, K] stand for."""
        return self.outcome.answers(outputs, sources)

    def decide(self, metrics: Any) -> None:
        """Settles by the validation samples, once training has ended, from which probability on labels are answered.

        The task's state, the answers and these metrics go by it from now on. Of classes there is nothing to settle.
        """
        if isinstance(self.outcome, outcomes.LabelSetOutcome) and self.options.threshold is None:
            self.outcome.decide(metrics)

    def figures(self, metrics: Any, encoded: Encoded) -> list[Figure]:
        """Figures by class or label, and the worst mistakes with their texts and attention."""
        drawn = self.outcome.figures(metrics, lambda row: _sample(encoded, row))
        return [*drawn, *self.explainer().attention_of_worst(metrics, encoded, self.batch)]

    def exported(self, model: nn.Module) -> Exported:
        """Logits from ids and mask."""
        sides = [("ids", "mask")]
        preparation = {
            "kind": "text",
            "text": self.state["text"],
            "longest": self.state["longest"],
            "pad": PAD,
            "sides": [{"column": "text", "ids": "ids", "mask": "mask"}],
        }
        return Exported(
            network=text_graph.TextGraph(model, self.outcome.outputs).eval(),
            inputs=text_graph.examples(sides, len(self.tokenizer), self.state["longest"]),
            free=text_graph.free(sides),
            most=text_graph.most(sides, model),
            preparation=preparation,
            answer=outcomes.exported_answer(self.state["target"], top=self.options.top),
            outputs=self.outputs,
        )

    def explainer(self) -> TextExplainer:
        """Explains which tokens an answer comes from."""
        target = self.state["target"]
        return TextExplainer(
            sides=(Side("ids", "mask", "text"),),
            tokens=lambda encoded, row, side: self.tokenizer.tokens(texts_of(encoded.table.slice(row, 1), "text")[0]),
            kind=target["kind"],
            outputs=self.outputs,
            target=target["target"],
            labels=self.outcome.labels,
            unknown=self.tokenizer.unknown,
            joiner=text_inputs.joiner_of(self.state["text"]),
            thresholds=target.get("thresholds", ()),
        )

    def _shape(self) -> TextShape:
        return TextShape(len(self.tokenizer), longest=self.state["longest"], pad=PAD)


def _sample(encoded: Encoded, row: int) -> Sample:
    return Sample(caption=[encoded.source(row)], text=encoded.table.column("text")[row].as_py() or "")


def _tiny(seed: int) -> Dataset:
    """Orders and complaints: a text is a complaint if something in it is broken, and is not called whole again."""
    draw = rng.generator(seed, "tiny texts")
    things = ("lamp", "chair", "kettle", "radio", "clock", "mirror", "table", "bicycle")
    faults = ("broken", "torn", "cracked", "silent", "bent")
    praise = ("lovely", "sturdy", "bright", "quiet", "light")
    texts, labels = [], []
    for _ in range(240):
        thing, other = draw.choice(things, 2, replace=False)
        is_bad = bool(draw.random() < 0.5)
        word = draw.choice(faults if is_bad else praise)
        start = draw.choice(("The", "My new", "This", "Our"))
        tail = draw.choice(("", f" and I also have a {other}", " since Monday", f", unlike the {other}"))
        texts.append(f"{start} {thing} is {word}{tail}.")
        labels.append("complaint" if is_bad else "praise")
    table = pa.table({"text": pa.array(texts, pa.string())})
    table = with_origin(table, [f"tiny.txt, line {row + 1}" for row in range(len(texts))])
    table = table.append_column("label", pa.array(labels, pa.string()))
    return Dataset("tiny", f"made up: {len(texts)} texts, 2 classes", {"all": table})


TINY = Tiny(
    options={
        "epochs": 8,
        "batch_size": 16,
        "optimizer.learning_rate": 0.01,
        "network.width": 16,
        "network.filters": 8,
    },
    make=_tiny,
    metric="accuracy",
    beats=0.85,
)
