"""What comes next in a text: how probable it is, and new text that goes on from a beginning.

Text is read as one stream of tokens, in windows of `sequence_length`, by one of two ways (Zhang et al., Dive into Deep
Learning, section 9.3): windows in random order, each from the beginning of a state, or windows that follow one another
from step to step, each with the state in which the one before ended, cut from its graph. In evaluation every token is
predicted exactly once, after at least `context` tokens of what stands before it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.compress.lesson_next_token import NextTokenLesson
from deepen.core import names, rng
from deepen.core.errors import OptionError
from deepen.core.faults import Fault
from deepen.core.figures import Figure
from deepen.core.options import fields_of
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.engine.at_once import made_at_once
from deepen.engine.carry import Carried
from deepen.engine.events import Events
from deepen.engine.fit import Fitted
from deepen.engine.options import WEIGHTING, FitOptions
from deepen.engine.task import Exported, Terms, Tiny
from deepen.explain import language_texts
from deepen.explain.language import LanguageExplainer, token_names
from deepen.metrics.perplexity import Perplexity
from deepen.nn import next_token
from deepen.nn.language_graph import LanguageGraph
from deepen.nn.language_network import featured, with_output_layer
from deepen.nn.next_token import State
from deepen.nn.output_layers import OutputOptions
from deepen.nn.shapes import TextShape
from deepen.nn.shortlist_tail import rare_pairs
from deepen.nn.sketch import sketched
from deepen.ops.decoding_options import DecodingOptions
from deepen.ops.losses import Loss, spread_over
from deepen.prepare import corpus, corpus_batches, language_rows
from deepen.prepare.embeddings import starting_embedding
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.language import Words
from deepen.prepare.line_answers import LineAnswer, line_answers
from deepen.prepare.text import TextOptions

CONTRACT = "language model"
READ_BY_COUNTING = {"seed", "device", "devices", "threads", "timeout", "fallback_dir", "checkpoint_every"}
FURTHER = ("tail", "ngram_features", "feature_table", "embeddings", "label_smoothing")
EMBEDDING = "embedding.weight"
BY_TOKEN = ("linear.weight", "linear.bias")  # of an output layer, where these have a row for each token
TEXT = TextOptions()
OUTPUT = OutputOptions()
STRETCH = 2048  # tokens that are scored as one row
CONTEXT = 512  # tokens of warm-up: what is further away hardly moves a recurrent state (Khandelwal et al. 2018)


@dataclass(frozen=True)
class Options:
    """Text in, the probability of each next token out."""

    model: str = field(
        default="lstm", metadata={"help": "the network or n-gram model; `deepen list` names them", "prepares": True}
    )
    text: TextOptions = TEXT
    eos: bool | None = field(
        default=None,
        metadata={"help": "whether each line ends with a token <eos>; default: of words and subwords, else as written"},
    )
    sequence_length: int = field(
        default=35,
        metadata={
            "help": "tokens of a window; gradients go no further back",
            "least": 1,
            "search": "20,35,70,140",
            "of_network": True,
        },
    )
    reading: Literal["auto", "sequential", "random"] = field(
        default="auto",
        metadata={
            "help": "windows that follow one another, each with the state of the one before, or at random from no "
            "state; auto: sequential where the network has one",
            "prepares": False,
        },
    )
    width: int = field(
        default=256,
        metadata={
            "help": "numbers that the output layer reads, and in the vector of a token unless it has its own size",
            "least": 2,
            "search": "200,400,650",
            "prepares": False,
        },
    )
    tied: bool | None = field(
        default=None,
        metadata={
            "help": "the vectors of the tokens are the weights of the output layer too; default: where it has such",
            "prepares": False,
        },
    )
    output: OutputOptions = OUTPUT
    tail: Literal["bigram", "unigram"] = field(
        default="bigram",
        metadata={
            "help": "output kind shortlist: counts that say which rare word it is, of pairs of words or of single ones"
        },
    )
    ngram_features: int = field(
        default=0,
        metadata={
            "help": "longest context, in tokens, with weights of its own that are added to the scores; 0: none",
            "least": 0,
            "most": 8,
            "prepares": False,
        },
    )
    feature_table: int = field(
        default=2**22, metadata={"help": "how many such weights there are; contexts share them", "least": 1}
    )
    embeddings: str | None = field(
        default=None,
        metadata={
            "help": "vectors to begin with: a file (word2vec, GloVe, fastText .vec) or a run of word-vectors; "
            "--freeze embedding keeps them as they are",
            "prepares": False,
        },
    )
    label_smoothing: float = field(
        default=0.0, metadata=spread_over("words", "; of output kind full, then the default", search=None)
    )
    context: int | None = field(
        default=None,
        metadata={
            "help": "tokens read before each scored one in evaluation; default: 512, of a network with a window half",
            "least": 1,
            "of_network": True,
        },
    )


def schema(options: Options) -> Schema:
    """Reads text files, as one stream."""
    return Schema(readers=("text_lines",), inputs=("text",), target="", needs_target=False, is_corpus=True)


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """The tokenizer, and how often each token is predicted in training.

    Raises DataError for text in which no token occurs twice.
    """
    state, ids = language_rows.learn(table, options.text, options.eos, faults)
    if _pairs(options):
        state["pairs"] = rare_pairs(ids, state["counts"], options.output.shortlist)
    return state


def files(state: dict[str, Any]) -> dict[str, Any]:
    """tokenizer.json, where the tokens are subwords."""
    return {"tokenizer.json": state["text"]["tokenizer"]} if "tokenizer" in state["text"] else {}


def unread(options: Options) -> tuple[str, ...]:
    """Weights, which windows of a stream have not; of a model that counts, all that is about learning by gradients."""
    if not getattr(_module(options), "COUNTED", False):
        return WEIGHTING
    of_fit = {name.split(".")[0] for name in fields_of(FitOptions)} - READ_BY_COUNTING
    groups = {name.split(".")[0] for name in fields_of(FitOptions) if "." in name}
    own = ("sequence_length", "reading", "width", "tied", "output.", *FURTHER)
    return (*(f"{name}." if name in groups else name for name in sorted(of_fit)), *own, *WEIGHTING)


class Task:
    """Language modeling with what it learned from the training text."""

    objective: tuple[str, str] = ("perplexity", "min")
    evaluation_batch_size = 64

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.state, self.network = options, state, network
        self.words = Words(state)
        self.counts: list[int] = state["counts"]

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """The stream, and its windows (training), stretches (evaluation) or lines (answers) as rows.

        Raises DataError for a training text of less than two windows.
        """
        window = None if self.fits_itself else self.options.sequence_length
        lengths = {"window": window, "stretch": STRETCH, "context": self.context}
        found = language_rows.read(table, self.words, split, faults, **lengths)
        return corpus_batches.encoded_rows(found.stream, found.rows, found.parts, keeps_sources=split != "train")

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Ids [B, L] and the targets [B, L] behind each; in training L is the sequence length.

        Without draws also the `first` place that is scored and the `length` of what counts, [B] each. With them, all
        windows of an epoch are moved by one offset.
        """
        if draws is not None:
            return corpus_batches.training_batch(encoded, rows, self.options.sequence_length, draws)
        return corpus_batches.scored_batch(encoded, rows)

    def order(self, encoded: Encoded, num_batches: int, *, seed: int, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch: windows that follow one another from batch to batch, or in random order."""
        if self.is_sequential:
            return corpus.lanes(len(encoded), num_batches)
        return corpus.shuffled(len(encoded), num_batches, seed=seed, epoch=epoch)

    @cached_property
    def carried(self) -> Carried | None:
        """The states that go from window to window, where they are read one after the other."""
        if not self.is_sequential:
            return None
        state = cast(Any, self._sketch).initial_state(1, torch.device("meta"))
        return Carried({str(index): tuple(each.shape[1:]) for index, each in enumerate(state)})

    @cached_property
    def is_sequential(self) -> bool:
        """Whether windows are read one after the other. Raises OptionError where the network keeps no state."""
        window = next_token.window_of(self._sketch)
        if self.options.reading == "sequential" and window is not None:
            raise OptionError(
                f"--reading sequential: {self.options.model} sees a window of {window} tokens and keeps no state for "
                "the next one; use --reading random."
            )
        return self.options.reading == "sequential" or (self.options.reading == "auto" and window is None)

    @cached_property
    def context(self) -> int:
        """Tokens that are read before each scored one, fewer only at the beginning."""
        if self.options.context is not None:
            return self.options.context
        window = next_token.window_of(self._sketch)
        return CONTEXT if window is None else max(1, window // 2)

    def build(self) -> nn.Module:
        """The network with its output layer."""
        network = self._network()
        if self.fits_itself:  # what counts brings its own
            return network
        options = self.options
        return with_output_layer(
            network,
            options.width,
            self.counts,
            options.output,
            tied=options.tied,
            feature_order=options.ngram_features,
            feature_table=options.feature_table,
            label_smoothing=options.label_smoothing,
            pairs=self.state.get("pairs"),
        )

    def starting_values(self, network: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Vectors of tokens from `--embeddings`."""
        if self.options.embeddings is None:
            return {}, []
        own = next(each for name, each in network.items() if name.endswith(EMBEDDING))
        vectors, note = starting_embedding(self.options.embeddings, self.words.tokenizer.vocabulary, own)
        return {name: vectors for name, each in network.items() if _is_one(each, own)}, [note]

    def row_names(self, network: Mapping[str, Tensor]) -> dict[str, Sequence[str] | None]:
        """The tokens of the embedding's and the output layer's rows; None where rows follow frequency."""
        words, outputs = self.words.tokenizer.vocabulary, [name for name in network if "output_layer." in name]
        by_token = [name for name in network if name.endswith(EMBEDDING)]
        by_token += [name for name in outputs if name.endswith(BY_TOKEN)]
        rows = {name: words for name in by_token if len(network[name]) == len(words)}
        return {**dict.fromkeys(outputs), **rows}

    @property
    def fits_itself(self) -> bool:
        """Whether the model counts, and learns nothing by gradients."""
        return bool(getattr(_module(self.options), "COUNTED", False))

    def fit(self, train: Encoded, val: Encoded | None, options: FitOptions, **ways: Any) -> Fitted:
        """The model that has counted the training text.

        ways  folder, elsewhere, resume, device, ranks and events, as `engine.task.FittingItself` has them
        """
        ids = [None if each is None else corpus_batches.stream_of(each)[1:].cpu().numpy() for each in (train, val)]

        def counted() -> tuple[nn.Module, list[str]]:
            model, vocabulary = self.build(), self.words.tokenizer.vocabulary
            given = {"end": self.words.end, "vocabulary": vocabulary, "progress": _progress(ways["events"])}
            return model, _module(self.options).fit_counts(model, *ids, self.network, **given)

        return made_at_once(cast(Any, self), counted, train, val, **ways)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The summed loss of the output layer, for most of them the cross-entropy in nats."""
        ids, targets = batch["ids"], batch["targets"]
        state: State | None = None
        if self.carried is not None:
            before = self.carried.before(batch.rows, ids.device)
            state = tuple(before[name] for name in sorted(before, key=int))
        hidden, state = model(ids, state)
        if self.carried is not None:
            self.carried.after(batch.rows, {str(index): each for index, each in enumerate(state or ())})
        rows_of = torch.arange(len(ids), device=ids.device).repeat_interleave(ids.shape[1])
        layer = next_token.output_layer_of(model)
        return Loss(layer.loss_sum(hidden.flatten(0, 1), targets.flatten(), rows_of, len(ids)))

    def lesson(self, teacher: nn.Module, temperature: float) -> NextTokenLesson:
        """The distributions of each next token, with the states of windows that follow one another."""
        sketch = self._sketch if self.is_sequential else None
        return NextTokenLesson(teacher, temperature, sketch, label_smoothing=self.options.label_smoothing)

    def metrics(self) -> Perplexity:
        """Perplexity and its company."""
        return Perplexity(self.words.tokenizer.level, self._most_scored)

    def score(self, model: nn.Module, batch: Batch, metrics: Perplexity) -> None:
        """Adds what a batch's tokens cost."""
        metrics.model = model
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[LineAnswer]:
        """How probable each line is."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    @property
    def terms(self) -> Terms:
        """The vocabulary: models of the same tokens can be mixed."""
        return Terms("text", (self.words.tokenizer.fingerprint,), basis="tokenizer")

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """ln p of each scored token [B, S], NaN behind a row's last."""
        tensors = (batch[name] for name in ("ids", "targets", "first", "length"))
        return -next_token.surprise(model, *tensors, context=self.context)

    def features(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean over a row's scored tokens of what the output layer reads, [B, D].

        Raises OptionError for a model that counts.
        """
        if self.fits_itself:
            raise OptionError(f"--features: {self.options.model} counts and has no hidden states; name another run.")
        tensors = (batch[name] for name in ("ids", "first", "length"))
        return next_token.mean_hidden(model, *tensors, context=self.context)

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """ln of the weighted mean of the probabilities: linear interpolation."""
        logs = torch.stack([each + math.log(weight) for each, weight in zip(outputs, weights, strict=True)])
        return torch.logsumexp(logs, 0)

    def target_log_probabilities(self, outputs: Tensor, batch: Batch) -> Tensor:
        """ln p of each scored token of a batch [n], row by row, so that weights of a mixture can be learned."""
        return outputs[~outputs.isnan()]

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Perplexity) -> None:
        """Adds ln p [B, S]."""
        targets = corpus_batches.scored_targets(batch, outputs.shape[1])
        metrics.add(-outputs, targets == self.words.tokenizer.unknown, batch.rows)

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[LineAnswer]:
        """The answers by ln p [B, S]."""
        return list(line_answers(self.words, outputs, batch, sources))

    def figures(self, metrics: Perplexity, encoded: Encoded) -> list[Figure]:
        """What was counted, where the model is surprised, and texts that it makes up."""
        return language_texts.figures(self.words, self.counts, metrics, encoded)

    def exported(self, model: nn.Module) -> Exported:
        """ln p of given next tokens, and of a recurrent network the state behind them.

        Raises OptionError for a model that counts.
        """
        if self.fits_itself:
            raise OptionError(
                f"--model {self.options.model}: counts n-grams and has no network that could be exported; train "
                "ngram with --network.arpa-out FILE, which writes them as ARPA for other tools."
            )
        graph = LanguageGraph(model).eval()
        preparation = {"text": self.state["text"], "has_ends": self.words.has_ends, "context": self.context}
        cuts = {"sequence_length": self.options.sequence_length, "stretch": STRETCH}
        return Exported(
            network=graph,
            inputs=graph.examples(),
            free=graph.free(),
            most=graph.most(),
            preparation={"kind": "stream", **preparation, **cuts, **graph.description()},
            answer={"kind": "lines", "of_preparation": ["text", "has_ends"], "stretch": self._most_scored},
            outputs=self.outputs,
        )

    def explainer(self) -> LanguageExplainer:
        """Where the model is surprised, and what each next token goes by."""
        words = self.words
        hidden = words.tokenizer.unknown if words.tokenizer.unknown >= 0 else words.start
        joiner = " " if words.tokenizer.level == "word" else ""
        names = token_names(words.tokenizer.vocabulary)
        return LanguageExplainer(outputs=self.outputs, token=names, hidden=hidden, joiner=joiner)

    def generate(self, model: nn.Module, prompt: str, options: DecodingOptions) -> Iterator[str]:
        """What goes on from a prompt, as explain/language_texts.continued gives it."""
        return language_texts.continued(self.words, model, prompt, options)

    @property
    def _most_scored(self) -> int:
        """The most tokens that are scored of one row."""
        return max(STRETCH, 3 * self.options.sequence_length)

    @cached_property
    def _sketch(self) -> nn.Module:
        """The network without memory, to ask it what it is like."""
        with sketched():
            order = self.options.ngram_features or ("pairs" in self.state)
            return featured(self._network(), len(self.counts), int(order))

    def _network(self) -> nn.Module:
        module = _module(self.options)
        shape = TextShape(len(self.words.tokenizer), longest=self.options.sequence_length, pad=-1)
        return module.build(self.options.model, shape, self.options.width, self.network or module.Options())


def _pairs(options: Options) -> bool:
    """Whether pairs of words are counted for a tail. Raises OptionError for a tail of no shortlist."""
    if options.tail != "bigram" and options.output.kind != "shortlist":
        raise OptionError(f"--tail {options.tail}: is about --output.kind shortlist alone; leave it out.")
    return options.output.kind == "shortlist" and options.tail == "bigram"


def _module(options: Options) -> Any:
    """The file of the model."""
    return importlib.import_module(names.model(options.model, CONTRACT).module)


def _is_one(tensor: Tensor, other: Tensor) -> bool:
    """Whether two entries of a network's state are the same weights."""
    return tensor.shape == other.shape and tensor.data_ptr() == other.data_ptr()


def _progress(events: Events) -> Callable[[int, int], None]:
    return lambda done, whole: events.step(done, done / max(1, whole), None)


def _tiny(seed: int) -> Dataset:
    """Sentences of a small grammar, in which a word decides what comes two words later."""
    draw = rng.generator(seed, "tiny text")
    people, places = ("anna", "ben", "carla", "david"), ("garden", "kitchen", "station")
    doings = {"waters": "flowers", "cooks": "soup", "meets": "friends", "reads": "letters"}
    lines = []
    for _ in range(400):
        person, place = people[draw.integers(4)], places[draw.integers(3)]
        doing = list(doings)[draw.integers(4)]
        lines.append(f"{person} {doing} the {doings[doing]} in the {place}\n")
    table = pa.table({"text": lines, "place": pa.array(range(len(lines)), pa.int64())})
    table = with_origin(table, [f"tiny.txt, line {row + 1}" for row in range(len(lines))])
    return Dataset("tiny", f"made up: {len(lines)} lines of a small grammar", {"all": table})


TINY = Tiny(
    options={
        "epochs": 10,
        "batch_size": 8,
        "sequence_length": 11,
        "width": 32,
        "network.hidden_size": 32,
        "optimizer.learning_rate": 0.01,
    },
    make=_tiny,
    metric="perplexity",
    beats=2.0,
)
