"""Vectors of words from running text: near words mean like things, and directions stand for relations between them.

Evaluated on text by the loss of training, on judged word pairs by Spearman's correlation, on analogies by accuracy.
It answers one word a line with the nearest words, three words with the one that completes the analogy, any other line
with the words nearest to its mean.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.core import names, rng
from deepen.core import options as option_rules
from deepen.core.errors import OptionError
from deepen.core.faults import Fault
from deepen.core.figures import Figure
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.data.text_blocks import block_reader
from deepen.engine.asynchronous import READ, fit_blocks
from deepen.engine.events import Events
from deepen.engine.fit import Fitted
from deepen.engine.keeper import Elsewhere
from deepen.engine.options import WEIGHTING, FitOptions
from deepen.engine.task import Tiny
from deepen.engine.training import fresh
from deepen.explain.word_nearness import WordExplainer
from deepen.metrics.word_figures import analogy_figures, similarity_figures
from deepen.metrics.word_similarity import WordMetrics, analogies
from deepen.nn.shapes import TextShape
from deepen.ops import word2vec
from deepen.ops.losses import Loss
from deepen.parallel.ranks import Ranks
from deepen.prepare import text, word_queries
from deepen.prepare.corpus import lines_of
from deepen.prepare.corpus_stream import CorpusStream, block_ids, texts_of
from deepen.prepare.embeddings import starting_embedding
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.fields import Field
from deepen.prepare.ragged import Ragged
from deepen.prepare.subword_pieces import PieceTable
from deepen.prepare.text import UNKNOWN, Tokenizer
from deepen.prepare.text_options import TextOptions
from deepen.prepare.vector_files import write_vectors
from deepen.prepare.word_answers import Answering, WordAnswer, units
from deepen.prepare.word_maps import word_figures
from deepen.prepare.word_queries import PAIR, PLACES, QUESTION, Lexicon

CONTRACT = "word vectors"
WORDS = TextOptions(min_count=5)
NUM_SPECIALS = 1  # <unk> has a row that is never trained
LOOKED_AT = 50  # blocks by which the splitter is chosen
FILES = {
    "word2vec-text": "vectors.txt",
    "word2vec-binary": "vectors.bin",
    "glove": "vectors.glove.txt",
    "fasttext": "vectors.vec",
}


@dataclass(frozen=True)
class Options:
    """Running text in, a vector for each word out."""

    model: str = field(default="skip-gram", metadata={"help": "the method; `deepen list` names them"})
    width: int = field(
        default=100, metadata={"help": "numbers of a vector", "least": 1, "search": "50,100,200,300", "prepares": False}
    )
    text: TextOptions = WORDS
    embeddings: str = field(
        default="", metadata={"help": "begin with the vectors of a file or of another run", "prepares": False}
    )
    export: tuple[Literal["word2vec-text", "word2vec-binary", "glove", "fasttext"], ...] = field(
        default=(), metadata={"help": "write the vectors into the run folder in these formats too", "prepares": False}
    )


def schema(options: Options) -> Schema:
    """Reads plain text in blocks, packed text whole, and lists of word judgements."""
    return Schema(readers=("word_judgements", "text_stream"), inputs=(), target="", needs_target=False, is_corpus=True)


def unread(options: Options) -> tuple[str, ...]:
    """The engine's options that training without gradients on a tape does not follow, and weights of blocks of text."""
    known = option_rules.fields_of(FitOptions)
    own = tuple(name for name in known if not any(name == one or name.startswith(f"{one}.") for one in READ))
    return (*own, *WEIGHTING, *(["samples"] if options.model == "glove" else []))


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """The tokenizer with every word's count, from the training blocks one after another.

    Raises OptionError for vectors of a file where words have pieces, DataError for text of fewer than two words.
    """
    if options.embeddings and _has_pieces(options.model):
        raise OptionError(
            f"--embeddings {options.embeddings}: {options.model} makes vectors of n-grams, which a file of words does "
            "not hold; begin skip-gram, cbow or glove with them."
        )
    if "text" not in table.column_names and "path" not in table.column_names:
        raise OptionError(f"{dataset.name}: holds judgements of words to evaluate on; train on running text.")
    read = block_reader(table)
    chosen = options.text
    if chosen.level == "word" and chosen.splitter == "auto":
        looked = list(islice(texts_of(table.num_rows, read), LOOKED_AT))
        found = text.learn(looked, replace(chosen, min_count=1, max_vocabulary=None), own := [], specials=(UNKNOWN,))
        faults += [fault for fault in own if fault.kind == "text-splitter"]
        chosen = replace(chosen, splitter=found["splitter"])
    return {"text": text.learn(texts_of(table.num_rows, read), chosen, faults, specials=(UNKNOWN,))}


class Task:
    """Word vectors with the vocabulary of the training text."""

    objective: tuple[str, str] = ("loss", "min")
    evaluation_batch_size = 64
    instead_of_features = "makes vectors of words, not of samples"

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.state, self.network = options, state, network
        self.tokenizer = Tokenizer(state["text"])
        self._sections: list[str] = []
        self._answered: Tensor | None = None  # the vectors that were scored last, for the report

    @property
    def fits_itself(self) -> bool:
        """Always: the tables are trained by compiled code, many small updates a second."""
        return True

    @cached_property
    def lexicon(self) -> Lexicon:
        """Words and their pieces."""
        module, model = self._module()
        pieces = module.piece_options(model, self._network)
        table = PieceTable.of(self.tokenizer.vocabulary, pieces, without=NUM_SPECIALS) if pieces else None
        return Lexicon(self.tokenizer, table, NUM_SPECIALS)

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """Judgements, lines to answer, or blocks of text, which stay where they are until they are read."""
        if "first" in table.column_names:
            for name in dict.fromkeys(table.column("section").to_pylist()):
                if name not in self._sections:
                    self._sections.append(name)
            numbers = {name: index for index, name in enumerate(self._sections)}
            return word_queries.encode_judged(table, numbers, self.lexicon)
        if split == "predict":
            lines, sources, table = _lines(table)
            words = [self.tokenizer.tokens(line) for line in lines]
            return word_queries.encode_lines(words, sources, self.lexicon, table)
        return Encoded({}, table)

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Of queries: `rows0` ... [B, P] and what each counts, `weights0` ..., `ids` [B, 4], `kind` [B], and of judged
        ones `score` and `section` [B]. Of text: `words` [B, T], `line` [B, T], the line of each, and `length` [B].
        """
        if "kind" not in encoded.tensors:
            return self._blocks(encoded, rows)
        tensors = encoded.take(rows)
        for at in range(PLACES):
            tensors[f"rows{at}"] = encoded.ragged[f"rows{at}"].padded(rows)[0]
            tensors[f"weights{at}"] = encoded.ragged[f"weights{at}"].padded(rows)[0]
        return Batch(tensors, len(rows), rows)

    def build(self) -> nn.Module:
        """The tables, drawn."""
        module, model = self._module()
        pieces = self.lexicon.pieces
        shape = TextShape(len(self.tokenizer), characters=len(pieces.buckets) if pieces else 0, pad=-1)
        network = module.build(model, shape, self.options.width, self._network)
        if pieces is not None:
            network.set_pieces(pieces.rows, pieces.starts)
        return network

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The summed loss of blocks of text, without a gradient: training goes its own way."""
        return Loss(self._losses(model, batch)[0].sum())

    def metrics(self) -> WordMetrics:
        """Loss, similarity and analogies, as far as there are any."""
        return WordMetrics(self._sections)

    def fit(
        self,
        train: Encoded,
        val: Encoded | None,
        options: FitOptions,
        *,
        folder: Path | None,
        elsewhere: Elsewhere | None,
        resume: bool,
        device: torch.device,
        ranks: Ranks,
        events: Events,
    ) -> Fitted:
        """The tables trained block by block (see `engine/asynchronous.py`), on the CPU whatever the device."""
        if options.schedule.kind == "plateau":
            raise OptionError("--schedule.kind plateau: these rates follow progress alone; choose another kind.")
        network = fresh(self, options)
        begins = bool(self.options.embeddings) and not resume and ranks.rank == 0
        if begins:
            self._begin(network, events)
        stream = CorpusStream(len(train), block_reader(train.table), self.tokenizer, first=NUM_SPECIALS)
        module, name = self._module()
        work = module.work(name, network, self._network, self.lexicon, stream, options.seed)
        if not word2vec.is_compiled():
            events.message(
                "numba is not installed, so training takes a hundred times as long: pip install deepen[fast]"
            )
        fitted = fit_blocks(
            self,
            work,
            val,
            options,
            folder=folder,
            elsewhere=elsewhere,
            resume=resume,
            begun_elsewhere=begins,
            ranks=ranks,
            events=events,
        )
        if fitted.folder is not None:
            self.export(fitted.model, fitted.folder)
        return fitted

    def export(self, model: nn.Module, folder: Path) -> None:
        """Writes the vectors in the formats that the options name."""
        for kind in self.options.export:
            words = self.tokenizer.vocabulary[NUM_SPECIALS:]
            write_vectors(folder / FILES[kind], words, _vectors(model)[NUM_SPECIALS:].numpy(), kind)

    @property
    def instead_of_export(self) -> str:
        """Where the vectors can be had as a file."""
        why = "a table of words and vectors needs no graph"
        if self.options.export:
            return f"{why}; take {' or '.join(FILES[kind] for kind in self.options.export)} in its folder."
        return f"{why}; train with --export fasttext, which writes {FILES['fasttext']} into the run's folder."

    def score(self, model: nn.Module, batch: Batch, metrics: WordMetrics) -> None:
        """Adds a batch of text, of judged pairs or of analogies."""
        self._answered = _vectors(model)
        if "kind" not in batch.tensors:
            losses, counts = self._losses(model, batch)
            metrics.add_texts(losses, counts, batch.rows)
            return
        kinds, found = batch["kind"].cpu(), self._answering(model).places(batch)
        for kind, add in ((PAIR, self._add_pairs), (QUESTION, self._add_analogies)):
            own = torch.nonzero(kinds == kind).squeeze(1)
            if len(own):
                add(model, batch, own, [place[own] for place in found], metrics)

    def fields(self) -> list[Field]:
        """A line of words."""
        return [Field("text", "line")]

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[WordAnswer]:
        """The nearest words of each line."""
        return self._answering(model).answers(batch, sources)

    def features(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean vector of each line's words, [B, D]."""
        return self._answering(model).means(batch)

    def figures(self, metrics: WordMetrics, encoded: Encoded) -> list[Figure]:
        """Agreement with people where there are judgements; the nearest words of common ones, and a map of them."""
        words, counts, vectors = self.tokenizer.vocabulary, self.tokenizer.counts, self._answered
        maps = [] if vectors is None else word_figures(words, counts, vectors, first=NUM_SPECIALS)
        return [*similarity_figures(metrics), *analogy_figures(metrics), *maps]

    def explainer(self) -> WordExplainer:
        """Explains what leads to the nearest word."""
        return WordExplainer(
            self.lexicon,
            self._answering,
            lambda encoded, rows: self.batch(encoded, rows, None),
            self._line,
        )

    def _module(self) -> tuple[Any, str]:
        named = names.model(self.options.model, CONTRACT)
        return importlib.import_module(named.module), named.name

    @property
    def _network(self) -> Any:
        return self.network or self._module()[0].Options()

    def _begin(self, network: nn.Module, events: Events) -> None:
        """Puts the vectors of a file or run into the tables."""
        drawn = network.vectors
        assert isinstance(drawn, Tensor)
        found, note = starting_embedding(self.options.embeddings, self.tokenizer.vocabulary, drawn.detach())
        events.message(note)
        network.begin(found)  # type: ignore[operator]

    def _blocks(self, encoded: Encoded, rows: np.ndarray) -> Batch:
        read = block_reader(encoded.table)
        found = [block_ids(read(int(row)), self.tokenizer, first=NUM_SPECIALS) for row in rows]
        words, lengths = Ragged.of([ids for ids, _ in found]).padded(np.arange(len(rows)))
        lines = [np.repeat(np.arange(len(starts) - 1), np.diff(starts)) for _, starts in found]
        line, _ = Ragged.of(lines).padded(np.arange(len(rows)))
        return Batch({"words": words, "line": line, "length": lengths}, int(lengths.sum()), rows)

    def _losses(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of each block, as training measures it, with draws of its own place; and how much it counts."""
        words, line, lengths = (batch[name].cpu().numpy() for name in ("words", "line", "length"))
        module, name = self._module()
        measure = module.measure(name, model, self._network, self.lexicon)
        losses, counts = [], []
        for at, row in enumerate(batch.rows):
            own = line[at, : lengths[at]]
            starts = np.concatenate([[0], np.cumsum(np.bincount(own))]).astype(np.int64)
            loss, count = measure(words[at, : lengths[at]].astype(np.int32), starts, rng.key(0, "held out", int(row)))
            losses.append(loss)
            counts.append(count)
        return torch.tensor(losses, dtype=torch.float64), torch.tensor(counts)

    def _answering(self, model: nn.Module) -> Answering:
        rows = model.rows()  # type: ignore[operator]
        return Answering(self.tokenizer.vocabulary, _vectors(model), rows)

    def _line(self, encoded: Encoded, row: int) -> str:
        """The first line of a text that has words, or the line itself."""
        lines = lines_of(block_reader(encoded.table)(row))
        return next((line for line in lines if len(self.tokenizer.tokens(line)) > 1), lines[0] if lines else "")

    def _add_pairs(
        self, model: nn.Module, batch: Batch, own: Tensor, places: list[Tensor], metrics: WordMetrics
    ) -> None:
        known = places[0].any(dim=1) & places[1].any(dim=1)
        cosines = (places[0] * places[1]).sum(dim=1)
        score, section = batch["score"].cpu()[own], batch["section"].cpu()[own]
        metrics.add_pairs(cosines, score, section, known, batch.rows[own.numpy()])

    def _add_analogies(
        self, model: nn.Module, batch: Batch, own: Tensor, places: list[Tensor], metrics: WordMetrics
    ) -> None:
        ids = batch["ids"].cpu()[own]
        known = (ids >= 0).all(dim=1)
        added, multiplied = analogies(units(_vectors(model)), places[0], places[1], places[2], ids[:, :3])
        truth = ids[:, 3]
        section = batch["section"].cpu()[own]
        metrics.add_analogies(added == truth, multiplied == truth, section, known, batch.rows[own.numpy()])


def _has_pieces(model: str) -> bool:
    module = importlib.import_module(names.model(model, CONTRACT).module)
    return module.piece_options(model, module.Options()) is not None


def _lines(table: pa.Table) -> tuple[list[str], list[str], pa.Table]:
    """Every line that is not blank, its source, and the table with one row for each."""
    read, sources = block_reader(table), table.column("source").to_pylist()
    lines, named, rows = [], [], []
    for row, source in enumerate(sources):
        own = lines_of(read(row))
        place, _, number = source.rpartition(", line ")
        for at, line in enumerate(own):
            if line.strip() or len(own) == 1:
                lines.append(line)
                is_counted = len(own) > 1 and number.isdigit()
                named.append(f"{place}, line {int(number) + at}" if is_counted else source)
                rows.append(row)
    return lines, named, table.take(pa.array(rows, pa.int64()))


def _vectors(model: nn.Module) -> Tensor:
    """The word vectors, [V, D]; zeros for <unk>."""
    vectors = model.vectors
    assert isinstance(vectors, Tensor)
    vectors = vectors.detach().cpu().clone()
    vectors[:NUM_SPECIALS] = 0
    return vectors


def _tiny(seed: int) -> Dataset:
    """Six kinds of words; a line is about one of them, with small words between."""
    draw = rng.generator(seed, "tiny topics")
    kinds = [
        [f"{kind}{number}" for number in range(8)] for kind in ("fruit", "metal", "river", "music", "tool", "cloud")
    ]
    lines = []
    for _ in range(480):
        words = kinds[int(draw.integers(len(kinds)))]
        line = [str(words[int(draw.integers(len(words)))]) for _ in range(9)]
        line[int(draw.integers(9))] = str(draw.choice(["the", "of", "and"]))
        lines.append(" ".join(line))
    table = pa.table({"text": pa.array(lines, pa.string())})
    table = with_origin(table, [f"tiny.txt, line {number}" for number in range(1, len(lines) + 1)])
    return Dataset("tiny", f"made up: {len(lines)} lines on 6 topics", {"all": table})


TINY = Tiny(
    options={
        "width": 17,
        "network.sample": 0.0,
        "optimizer.learning_rate": 0.1,
        "epochs": 20,
        "batch_size": 32,
        "threads": 1,
    },
    make=_tiny,
    metric="loss",
    beats=2.6,
)
