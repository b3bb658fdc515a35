"""A tag for each token of a sentence: named entities, parts of speech.

Sentences come as lists of tokens, each of which keeps its tag; plain text, which can be answered and not learned, is
split by the rules of prepare/text_rules.py. Which scheme the tags are written in is found by looking (prepare/tags.py
states the rules and what a wrong tag comes to).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.compress.lesson_tags import TagLesson
from deepen.core import names, rng
from deepen.core.errors import OptionError
from deepen.core.faults import Fault
from deepen.core.figures import Figure, Sample
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import Target
from deepen.engine.task import Exported, Terms, Tiny
from deepen.explain import text_attention
from deepen.explain.text import TextExplainer
from deepen.explain.text_gates import Side
from deepen.metrics.tagging import Tagging
from deepen.metrics.tagging_figures import figures_of
from deepen.nn.contracts import CONTRACTS
from deepen.nn.crf import LinearChainCRF
from deepen.nn.shapes import TextShape
from deepen.ops.losses import IGNORED, Loss, cross_entropies, spread_over, weighted_sum
from deepen.prepare import tag_learn, tags, text, text_graph, text_inputs, text_order, word_characters
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.ragged import Ragged
from deepen.prepare.tag_answers import TaggedText, conll_text, tagged_text
from deepen.prepare.tag_learn import sentences_of, tokens_of
from deepen.prepare.text import TextOptions, Tokenizer

CONTRACT = "token tagger"
PAD = 0
TEXT = TextOptions(lower=True)
EMBEDDING = "embedding.weight"
CHARACTERS = "characters.embedding.weight"
LEAST = 1e-30  # a probability that stands for none, so that its logarithm is finite
FORMATS = {".conll": conll_text}  # of files of answers: by their ending, answers -> text
BETWEEN, BEHIND = -1, -2  # in spelled sentences: between two tokens, and behind the last


@dataclass(frozen=True)
class Options:
    """Sentences in, a tag for each token out."""

    model: str = field(default="bilstm-crf", metadata={"help": "the network; `deepen list` names them"})
    text: TextOptions = TEXT
    scheme: Literal["auto", "BIO", "IOB1", "BIOES", "plain"] = field(
        default="auto", metadata={"help": "how the tags mean entities; plain: they mean none; auto: by looking"}
    )
    learn_as: Literal["BIOES", "BIO"] = field(
        default="BIOES", metadata={"help": "the scheme in which entities are learned, whatever they are written in"}
    )
    characters: int = field(
        default=20,
        metadata={"help": "characters of a word that the network sees, of longer ones both ends", "least": 1},
    )
    embeddings: str | None = field(
        default=None,
        metadata={
            "help": "word vectors to begin with: a file (word2vec, GloVe, fastText .vec) or a run of word-vectors; "
            "--freeze embedding keeps them as they are"
        },
    )
    label_smoothing: float = field(
        default=0.0, metadata=spread_over("tags", "; of networks without a chain (CRF)", search=None)
    )
    word_dropout: float = field(
        default=1.0,
        metadata={
            "help": "a word seen n times is made unknown in training with probability a / (a + n), this being a",
            "least": 0.0,
            "search": "0..2",
            "prepares": False,
        },
    )


def schema(options: Options) -> Schema:
    """Reads columns of tokens and tags; to be answered, plain text too, each line a sentence."""
    return Schema(readers=("conll", "text_lines"), inputs=("tokens",), target="tags", is_category=False)


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """The scheme and the tags, words and characters, and each word's commonest tag."""
    if options.text.max_length is not None:
        raise OptionError(
            f"--text.max-length {options.text.max_length}: means nothing here, since every token gets a tag; leave it "
            "away."
        )
    rows = sentences_of(table, "train", [])
    learned = tag_learn.learn(rows, options.scheme, options.learn_as, faults)
    words = [sentence.tokens for sentence in rows]
    vocabulary = text.learn_tokens(words, options.text, faults)
    ids = text.encode_tokens(words, vocabulary, "train", [])
    return {
        **learned,
        "text": vocabulary,
        "characters": word_characters.learn(words),
        "baseline": tag_learn.commonest_tags(ids, rows, learned, vocabulary),
        "longest": int(ids.lengths.max()),
    }


def target(table: pa.Table) -> Target | None:
    """The tags, where there are any."""
    return Target("tags", "tags") if "tags" in table.column_names else None


class Task:
    """Token tagging with what it learned from the training table."""

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.state, self.network = options, state, network
        self.tokenizer = Tokenizer(state["text"])
        self.tags: list[str] = list(state["tags"])
        self.tag_set = tag_learn.tag_set(state)
        self.objective: tuple[str, str] = ("f1" if self.tag_set.has_entities else "accuracy", "max")
        self.evaluation_batch_size = text_inputs.rows_at_once(state["longest"])
        self._baseline = torch.tensor(state["baseline"], dtype=torch.int64)
        counts = torch.tensor(state["text"]["counts"], dtype=torch.float32)
        self._made_unknown = options.word_dropout / (options.word_dropout + counts).clamp(min=1e-9)
        self._allowed = torch.from_numpy(tags.allowed(self.tags, state["learned_as"]))
        self._chain = LinearChainCRF(len(self.tags), self._allowed)  # all its scores are 0: it allows, and no more

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """Ids and characters of each token, and tags as numbers (`truth`) where they are wanted."""
        ragged: dict[str, Ragged] = {}
        if split == "predict":
            words = tokens_of(table, self.state["text"])
            if "tokens" not in table.column_names:
                table = table.append_column("tokens", pa.array(words, pa.list_(pa.string())))
        else:
            sentences = sentences_of(table, split, faults)
            if len(sentences) < table.num_rows:
                table = table.take(pa.array([each.row for each in sentences], pa.int64()))
            words = [each.tokens for each in sentences]
            ragged["truth"] = tag_learn.encode(sentences, self.state, split, faults)
        ragged["ids"] = text.encode_tokens(words, self.state["text"], split, faults)
        ragged["characters"] = word_characters.encode(words, self.state["characters"], self.options.characters)
        return Encoded({}, table, ragged=ragged)

    def order(self, encoded: Encoded, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
        """Batches of sentences of like length."""
        lengths = encoded.ragged["ids"].lengths.cpu().numpy()
        return text_order.bucketed(lengths, num_batches, seed=seed, epoch=epoch)

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """`ids` [B, T], `mask` [B, T] bool, `characters` [B, T, C], and `truth` [B, T] where there is any.

        Where `draws` is given, rare words are made unknown; else there is `spelling` [B, L], the tokens themselves as
        code points. Counts tokens.
        """
        ids, mask = text_inputs.padded(encoded.ragged["ids"], rows, PAD)
        characters, _ = encoded.ragged["characters"].padded(rows, word_characters.PAD)
        tensors = {**encoded.take(rows), "mask": mask, "characters": characters}
        if "truth" in encoded.ragged:
            tensors["truth"], _ = encoded.ragged["truth"].padded(rows)
        if draws is None:
            column = encoded.table.column("tokens").take(pa.array(rows))
            tensors["spelling"] = spelled(column.to_pylist()).to(encoded.device)
        elif self.options.word_dropout:
            u = torch.from_numpy(rng.uniform(draws.seed, draws.epoch, rows, ids.shape[1], "word dropout"))
            is_gone = (u.to(ids.device) < self._made_unknown.to(ids.device)[ids]) & mask
            ids = torch.where(is_gone, self.tokenizer.unknown, ids)
        return Batch({**tensors, "ids": ids}, int(mask.sum()), rows)

    def build(self) -> nn.Module:
        """The network for this vocabulary and these tags; its chain allows what the scheme allows.

        Raises OptionError for label smoothing of a network with a chain.
        """
        named = names.model(self.options.model, CONTRACT)
        module = importlib.import_module(named.module)
        network = module.build(named.name, self._shape(), len(self.tags), self.network or module.Options())
        if network.crf is not None:
            if self.options.label_smoothing:
                raise OptionError(
                    f"--label-smoothing {self.options.label_smoothing:g}: {self.options.model} scores the tags of a "
                    "sentence as a chain (CRF), which has no softmax over the tags of a token to be spread over; take "
                    "--no-network.crf, or state 0."
                )
            network.crf.allowed = self._allowed.clone()
        return network

    def sample(self) -> list[Tensor]:
        """The longest sentence, its mask and its characters."""
        return CONTRACTS[CONTRACT].sample(self._shape())

    def starting_values(self, network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Word vectors from `--embeddings`."""
        if self.options.embeddings is None:
            return {}, []
        from deepen.prepare.embeddings import starting_embedding

        vectors, note = starting_embedding(self.options.embeddings, self.tokenizer.vocabulary, network[EMBEDDING])
        return {EMBEDDING: vectors}, [note]

    def row_names(self, network: Mapping[str, Tensor]) -> dict[str, Sequence[str] | None]:
        """The tokens of the embedding's rows, and the characters of theirs."""
        tables = ((EMBEDDING, self.tokenizer.vocabulary), (CHARACTERS, word_characters.names(self.state["characters"])))
        return {name: rows for name, rows in tables if name in network and len(network[name]) == len(rows)}

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """-ln of the probability of each sentence's tags, summed; a sentence's weight is that of all its tokens.

        With label smoothing the cross-entropy with the smoothed target of each token, instead.
        """
        nats = self._nats(model, self._emissions(model, batch), batch)
        return Loss(weighted_sum(nats, batch.tensors.get("weight")))

    def lesson(self, teacher: nn.Module, temperature: float) -> TagLesson:
        """Each tag's probability given the whole sentence."""
        return TagLesson(teacher, temperature, self._emissions, self._nats)

    def metrics(self) -> Tagging:
        """Exact entities and tokens."""
        return Tagging(self.tag_set)

    def score(self, model: nn.Module, batch: Batch, metrics: Tagging) -> None:
        """Adds the answers to a batch."""
        metrics.model = model
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[TaggedText]:
        """The tags of each sentence, and each tag's probability given the whole sentence."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    @property
    def terms(self) -> Terms:
        """The tags as they are learned, in the order of the outputs."""
        return Terms("tags", tuple(self.tags))

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """ln of each tag's probability at each token given the whole sentence, [B, K, T]."""
        emissions = self._emissions(model, batch)
        chain = _chain_of(model)
        if chain is None:
            return torch.log_softmax(emissions, 2).mT
        return chain.marginals(emissions, batch["mask"]).clamp(min=LEAST).log().mT

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """ln of the mean of the probabilities."""
        if len(outputs) == 1:
            return outputs[0]
        return torch.logsumexp(
            torch.stack([each + math.log(weight) for each, weight in zip(outputs, weights, strict=True)]), 0
        )

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Tagging) -> None:
        """Adds the tags that outputs [B, K, T] stand for."""
        mask, truth = batch["mask"], batch["truth"]
        known = truth < len(self.tags)
        nats = -outputs.gather(1, torch.where(known, truth, 0)[:, None])[:, 0].masked_fill(~mask, 0).double().sum(1)
        metrics.add(
            self._decoded(outputs, mask),
            truth,
            self._baseline.to(outputs.device)[batch["ids"]],
            batch["ids"] == self.tokenizer.unknown,
            mask,
            nats.masked_fill((~known & mask).any(1), torch.nan),
            batch.rows,
        )

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[TaggedText]:
        """The tagged sentences that outputs [B, K, T] stand for."""
        answers = self._decoded(outputs, batch["mask"])
        shares = outputs.gather(1, answers[:, None])[:, 0].exp().clamp(max=1).cpu().tolist()
        found = []
        for source, words, row, share in zip(
            sources, unspelled(batch["spelling"]), answers.cpu().tolist(), shares, strict=True
        ):
            own = [self.tags[k] for k in row[: len(words)]]
            found.append(tagged_text(source, words, own, share[: len(words)], self.state["scheme"]))
        return found

    def figures(self, metrics: Tagging, encoded: Encoded) -> list[Figure]:
        """By type or tag, confusion, known and unknown words beside the baseline, worst sentences, and attention."""
        column = encoded.table.column("tokens")
        drawn = figures_of(metrics, lambda row: _sample(encoded, row), lambda row: column[row].as_py())
        return [*drawn, *self._attention(metrics, encoded)]

    def exported(self, model: nn.Module) -> Exported:
        """Scores of tags from ids, mask and characters; the chain behind them is computed by whoever runs the graph."""
        sides = [("ids", "mask")]
        inputs = text_graph.examples(sides, len(self.tokenizer), self.state["longest"])
        spelled_out = (*inputs["ids"].shape, self.options.characters)
        letters = torch.arange(math.prod(spelled_out)) % word_characters.num_characters(self.state["characters"])
        chain = _chain_of(model)
        learned = {name: self.state[name] for name in ("tags", "scheme", "learned_as", "types", "baseline")}
        scores = ("transitions", "start", "end")
        return Exported(
            network=text_graph.TextGraph(model, _at_least_float32).eval(),
            inputs=inputs | {"characters": letters.view(spelled_out)},
            free=text_graph.free(sides) | {"characters": {0: "batch", 1: "ids_length"}},
            most=text_graph.most(sides, model),
            preparation={
                "kind": "tokens",
                **{name: self.state[name] for name in ("text", "characters", "longest")},
                "num_characters": self.options.characters,
                "pad": PAD,
            },
            answer={
                "kind": "tags",
                **learned,
                "unknown": self.tokenizer.unknown,
                "splitter": self.state["text"].get("splitter", "rules"),
                "chain": None if chain is None else {name: getattr(chain, name).tolist() for name in scores},
            },
            outputs=self._emissions,
        )

    def explainer(self) -> TextExplainer:
        """Explains which tokens a tag comes from, by the network's scores before its chain."""
        return TextExplainer(
            sides=[Side("ids", "mask", "tokens", ("characters",))],
            tokens=lambda encoded, row, side: encoded.table.column(side.column)[row].as_py(),
            kind="tags",
            outputs=self._emissions,
            target="tags",
            labels=self.tags,
            unknown=self.tokenizer.unknown,
            answers=lambda model, batch: self._decoded(self.outputs(model, batch), batch["mask"]),
        )

    def _attention(self, metrics: Tagging, encoded: Encoded) -> list[Figure]:
        """Where the network looks in the worst sentence, if it has attention."""
        worst = metrics.worst(1)
        if metrics.model is None or not worst:
            return []
        model, row = metrics.model, worst[0].row
        batch = self.batch(encoded, np.array([row]), None).to(next(model.parameters()).device)
        tokens = encoded.table.column("tokens")[row].as_py()
        about = f"the worst sentence, {encoded.source(row)}"
        return text_attention.of_one(model, lambda: self._emissions(model, batch), [tokens], " ", about=about)

    def _shape(self) -> TextShape:
        letters = word_characters.num_characters(self.state["characters"])
        return TextShape(len(self.tokenizer), longest=self.state["longest"], characters=letters, pad=PAD)

    def _emissions(self, model: nn.Module, batch: Batch) -> Tensor:
        """[B, T, K], float32 at least."""
        return _at_least_float32(model(batch["ids"], batch["mask"], batch["characters"]))

    def _nats(self, model: nn.Module, emissions: Tensor, batch: Batch) -> Tensor:
        """[B], smoothed where that is asked for; a tag that was never learned stands as the first."""
        mask = batch["mask"]
        truth = torch.where(batch["truth"] < len(self.tags), batch["truth"], 0)
        if (chain := _chain_of(model)) is not None:
            return chain.loss(emissions, truth, mask)
        wanted = truth.masked_fill(~mask, IGNORED)
        return cross_entropies(emissions.mT, wanted, label_smoothing=self.options.label_smoothing).sum(1)

    def _decoded(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """[B, T] int64: the most probable tags, where they mean entities among those that the scheme allows."""
        if not self.tag_set.has_entities:
            return outputs.argmax(1)
        return self._chain.to(outputs.device).decode(outputs.mT, mask)


def spelled(rows: Sequence[Sequence[str]]) -> Tensor:
    """Sentences as code points, [B, L] int64: BETWEEN after each token, BEHIND after the last of those.

    >>> spelled([["an", "a"], []]).tolist()
    [[97, 110, -1, 97, -1], [-2, -2, -2, -2, -2]]
    """
    spelled_rows = [[code for token in row for code in (*map(ord, token), BETWEEN)] for row in rows]
    found = torch.full((len(rows), max(map(len, spelled_rows), default=0)), BEHIND, dtype=torch.int64)
    for place, codes in enumerate(spelled_rows):
        found[place, : len(codes)] = torch.tensor(codes, dtype=torch.int64)
    return found


def unspelled(spelling: Tensor) -> list[list[str]]:
    """The sentences that `spelled` wrote."""
    sentences = []
    for codes in spelling.cpu().tolist():
        tokens: list[list[str]] = [[]]
        for code in codes:
            if code == BETWEEN:
                tokens.append([])
            elif code != BEHIND:
                tokens[-1].append(chr(code))
        sentences.append(["".join(token) for token in tokens[:-1]])
    return sentences


def _at_least_float32(found: Tensor) -> Tensor:
    return found.to(torch.promote_types(found.dtype, torch.float32))


def _chain_of(model: nn.Module) -> LinearChainCRF | None:
    return cast("LinearChainCRF | None", model.crf)


def _sample(encoded: Encoded, row: int) -> Sample:
    return Sample(caption=[encoded.source(row)], text=" ".join(encoded.table.column("tokens")[row].as_py()))


def _tiny(seed: int) -> Dataset:
    """People and towns: a town has the words of a person, and what stands before it tells which it is."""
    draw = rng.generator(seed, "tiny sentences")
    first = ("Ada", "Boris", "Chen", "Dora", "Emil", "Fay")
    last = ("Kettle", "Marsh", "North", "Ogden", "Park")
    things = ("rain", "tea", "a letter", "the old map", "two horses")
    rows: list[tuple[list[str], list[str]]] = []
    for _ in range(240):
        words: list[str] = []
        found: list[str] = []
        for part in draw.choice(("person", "town", "thing"), int(draw.integers(1, 4))):
            before, name = {
                "person": (
                    "met" if words else "",
                    [str(draw.choice(first)), *draw.choice(last, int(draw.integers(2)))],
                ),
                "town": ("in", [str(draw.choice(("New", "Port"))), str(draw.choice(last))][int(draw.integers(2)) :]),
                "thing": ("with", str(draw.choice(things)).split()),
            }[str(part)]
            words += [*filter(None, [before]), *map(str, name)]
            found += ["O"] * bool(before)
            found += ["O"] * len(name) if part == "thing" else [f"B-{part}", *[f"I-{part}"] * (len(name) - 1)]
        rows.append(([*words, "."], [*found, "O"]))
    texts = pa.list_(pa.string())
    table = pa.table(
        {"tokens": pa.array([row[0] for row in rows], texts), "tags": pa.array([r[1] for r in rows], texts)}
    )
    table = with_origin(table, [f"tiny.conll, sentence {row + 1}" for row in range(len(rows))])
    return Dataset("tiny", f"made up: {len(rows)} sentences, 2 types of entities", {"all": table})


TINY = Tiny(
    options={
        "epochs": 6,
        "batch_size": 16,
        "network.width": 16,
        "network.hidden": 16,
        "network.filters": 8,
        "network.dropout": 0.1,
        "optimizer.learning_rate": 0.02,
    },
    make=_tiny,
    metric="f1",
    beats=0.8,
)
