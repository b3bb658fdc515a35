"""The tables of n-gram models as buffers of a network, and networks of them that answer as neural ones do.

    V words, N the order, B batch, T places, n positions

A neural language model makes hidden states of ids, and its output layer makes probabilities of hidden states. Here the
hidden state of a place is what an n-gram model knows of the text before: the last N - 1 ids. So whatever scores,
generates or mixes with a neural model does with these. Nothing is learned by gradients; there are no parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core.errors import ShapeError
from deepen.ops.losses import IGNORED
from deepen.ops.ngram_scoring import LN10, Scorer, next_log10
from deepen.ops.ngram_trie import BackoffModel, Trie

UNKNOWN_PAST = -1
NO_END = -1


class BackoffTables(nn.Module):
    """A backoff model in buffers: `probability_1` .. `probability_N`, `backoff_1` .. , `words_2` .. and `starts_2` ..

    Fresh, it has one order and gives every word 1 / V. It is brought to any order and size by `set`, and by the state
    that is loaded into it.
    """

    def __init__(self, num_words: int) -> None:
        super().__init__()
        self.num_words = num_words
        self.closed: Tensor
        self.register_buffer("closed", torch.ones((), dtype=torch.bool))
        probability = torch.full((num_words + 1,), -float(np.log10(max(num_words, 1))))
        self.register_buffer("probability_1", probability)
        self._scorer: Scorer | None = None

    @property
    def order(self) -> int:
        """N"""
        return sum(name.startswith("probability_") for name in self._buffers)

    def set(self, model: BackoffModel) -> None:
        """Takes a model's tables."""
        assert model.num_words == self.num_words
        held: dict[str, np.ndarray] = {}
        for n in range(1, model.order + 1):
            held[f"probability_{n}"] = model.probabilities[n - 1]
            if n < model.order:
                held[f"backoff_{n}"] = model.backoffs[n - 1]
            if n > 1:
                held |= {f"words_{n}": model.trie.words[n - 2], f"starts_{n}": model.trie.starts[n - 2]}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in held.items()}
        self._replace({"closed": torch.tensor(model.is_closed), **tensors})

    def scorer(self) -> Scorer:
        """The model, ready for looking up. Raises ShapeError for tables that contradict one another."""
        if self._scorer is None:
            self._scorer = Scorer(self._model())
        return self._scorer

    def size_like(self, state: Mapping[str, Tensor]) -> None:
        """Tables of the order and the sizes of a state, empty."""
        wanted = set(self._names(sum(name.startswith("probability_") for name in state)))
        if set(state) != wanted or any(each.dim() > 1 for each in state.values()):
            raise ShapeError(f"these tables are of no n-gram model: {', '.join(sorted(state)[:8])}.")
        device = self.closed.device
        self._replace({name: torch.empty_like(state[name], device=device) for name in self._names_in_order(wanted)})

    def _model(self) -> BackoffModel:
        held = {name: each.cpu().numpy() for name, each in self._buffers.items() if each is not None}
        order = self.order
        trie = Trie(
            self.num_words,
            tuple(held[f"words_{n}"] for n in range(2, order + 1)),
            tuple(held[f"starts_{n}"] for n in range(2, order + 1)),
        )
        model = BackoffModel(
            trie,
            tuple(held[f"probability_{n}"] for n in range(1, order + 1)),
            tuple(held[f"backoff_{n}"] for n in range(1, order)),
            is_closed=bool(held["closed"]),
        )
        _require_consistent(model)
        return model

    def _replace(self, tensors: Mapping[str, Tensor]) -> None:
        for name in list(self._buffers):
            del self._buffers[name]
        for name, each in tensors.items():
            self.register_buffer(name, each)
        self._scorer = None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        own = {key.removeprefix(prefix): each for key, each in state_dict.items() if key.startswith(prefix)}
        if own:
            self.size_like(own)
        super()._load_from_state_dict(state_dict, prefix, *others)
        self._scorer = None

    def _apply(self, fn: Any, recurse: bool = True) -> BackoffTables:
        self._scorer = None
        return super()._apply(fn, recurse)

    @staticmethod
    def _names(order: int) -> list[str]:
        above = range(2, order + 1)
        names = [
            "closed",
            *(f"probability_{n}" for n in range(1, order + 1)),
            *(f"backoff_{n}" for n in range(1, order)),
        ]
        return [*names, *(f"words_{n}" for n in above), *(f"starts_{n}" for n in above)]

    def _names_in_order(self, names: set[str]) -> list[str]:
        return [name for name in self._names(len(names)) if name in names]


class NGramNetwork(nn.Module):
    """ids [B, T] int64, state ([B, N - 1],) -> hidden [B, T, N - 1] int64 and the state: the last ids at each place.

    -1 stands where nothing is known of the text before, and the number V where a context begins. `end` is the id after
    which contexts begin anew, or -1. Its output layer `output_layer` makes probabilities of the hidden states.
    """

    window = None  # its state holds all that it knows

    def __init__(self, output_layer: CountedOutput, context: int) -> None:
        super().__init__()
        self.output_layer = output_layer
        self.context: Tensor
        self.register_buffer("context", torch.full((max(context, 1),), UNKNOWN_PAST))

    @property
    def width(self) -> int:
        """N - 1, at least 1."""
        return len(self.context)

    def forward(self, ids: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        (before,) = state if state is not None else self.initial_state(len(ids), ids.device)
        shown = ids.masked_fill(ids == self.output_layer.end, self.output_layer.num_words)
        whole = torch.cat([before, shown], 1)
        hidden = whole.unfold(1, self.width, 1)[:, 1:]
        return hidden, (whole[:, -self.width :],)

    def initial_state(self, batch_size: int, device: torch.device) -> tuple[Tensor, ...]:
        """Nothing is known."""
        return (torch.full((batch_size, self.width), UNKNOWN_PAST, device=device),)

    def set_context(self, length: int) -> None:
        """How many ids a hidden state holds."""
        self.context = torch.full((max(length, 1),), UNKNOWN_PAST)

    def size_like(self, state: Mapping[str, Tensor]) -> None:
        """A context of the length of a state's."""
        if "context" in state:
            self.context = torch.empty_like(state["context"], device=self.context.device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        self.size_like({"context": state_dict[f"{prefix}context"]} if f"{prefix}context" in state_dict else {})
        super()._load_from_state_dict(state_dict, prefix, *others)


class CountedOutput(nn.Module):
    """Probabilities of words from the last ids: hidden [n, N - 1] int64 -> [n, V], by the tables of an n-gram model.

    With classes p(w | h) = p(c(w) | c(h)) p(w | c(w)) from the tables over the classes (Brown et al. 1992), and, where
    `share` is above 0, share * that of the words' own tables + (1 - share) * that of the classes.
    """

    def __init__(self, num_words: int, num_classes: int = 0) -> None:
        super().__init__()
        self.num_words = num_words
        self.end: Tensor
        self.share: Tensor
        self.register_buffer("end", torch.tensor(NO_END))
        self.tables = BackoffTables(num_words)
        self.classes = ClassTables(num_words, num_classes) if num_classes else None
        self.register_buffer("share", torch.tensor(0.0 if num_classes else 1.0, dtype=torch.float64))

    @torch.no_grad()
    def target_log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """[n] float64 ln p of each target, 0 where it is -100; places in a row are looked up as one text."""
        wanted = (targets != IGNORED).cpu().numpy()
        contexts, words = hidden.cpu().numpy()[wanted], targets.cpu().numpy()[wanted]
        text, places = as_text(contexts, words, int(self.end), self.num_words)
        found = np.zeros(len(wanted))
        found[wanted] = self.log_probabilities_of(text)[places]
        return torch.from_numpy(found).to(hidden.device)

    def log_probabilities_of(self, text: np.ndarray) -> np.ndarray:
        """[n] float64 ln p of each word of a marked text (ops/ngram_counts.py), 0 at beginnings and where it is -1."""
        share = float(self.share)
        own = self.tables.scorer().log10(text) * LN10 if share > 0 else None
        if self.classes is None or share == 1:
            assert own is not None
            return own
        by_class = self.classes.log10(text) * LN10
        if own is None:
            return by_class
        is_word = (text >= 0) & (text < self.num_words)
        both = np.logaddexp(own + np.log(share), by_class + np.log1p(-share))
        return np.where(is_word, both, 0.0)

    @torch.no_grad()
    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """[n, V] float64"""
        rows = [self.next_log_probabilities(context) for context in hidden.cpu().numpy()]
        found = np.stack(rows) if rows else np.zeros((0, self.num_words))
        return torch.from_numpy(found).to(hidden.device)

    forward = log_probabilities

    def next_log_probabilities(self, context: Sequence[int] | np.ndarray) -> np.ndarray:
        """[V] float64 ln p of every word after a context, the last id last; `end` in it begins a new context."""
        ids = np.asarray(context, np.int64)
        ids = np.where((ids == int(self.end)) & (ids >= 0), self.num_words, ids)
        share = float(self.share)
        own = next_log10(self.tables.scorer().model, ids) * LN10 if share > 0 else None
        if self.classes is None or share == 1:
            assert own is not None
            return own
        by_class = self.classes.next_log10(ids) * LN10
        return by_class if own is None else np.logaddexp(own + np.log(share), by_class + np.log1p(-share))

    def loss_sum(self, hidden: Tensor, targets: Tensor, rows_of: Tensor, num_rows: int | None = None) -> Tensor:
        """The summed cross-entropy in nats. Nothing of it can be learned by gradients."""
        return -self.target_log_probabilities(hidden, targets).sum()


class ClassTables(nn.Module):
    """p(w | h) = p(c(w) | c(h)) p(w | c(w)): which class each word is of, its share of it, and the classes' n-grams."""

    def __init__(self, num_words: int, num_classes: int) -> None:
        super().__init__()
        self.class_of: Tensor
        self.within: Tensor
        self.register_buffer("class_of", torch.arange(num_words) % num_classes)
        self.register_buffer("within", torch.zeros(num_words, dtype=torch.float64))
        self.tables = BackoffTables(num_classes)

    def set(self, class_of: np.ndarray, within: np.ndarray, model: BackoffModel) -> None:
        """Takes classes [V], log10 p(w | class) [V] and a model over the classes."""
        self.class_of = torch.from_numpy(class_of.astype(np.int64))
        self.within = torch.from_numpy(within)
        self._set_number(model.num_words)
        self.tables.set(model)

    def size_like(self, state: Mapping[str, Tensor]) -> None:
        """As many classes as a state has."""
        held = state.get("tables.probability_1")
        if held is not None:
            self._set_number(len(held) - 1)

    def log10(self, text: np.ndarray) -> np.ndarray:
        """[n] float64 of a marked text of words."""
        is_word = (text >= 0) & (text < len(self._of()))
        within = self.within.cpu().numpy()
        return self.tables.scorer().log10(self.by_class(text)) + np.where(is_word, within[text * is_word], 0.0)

    def next_log10(self, context: np.ndarray) -> np.ndarray:
        """[V] float64"""
        of_class = next_log10(self.tables.scorer().model, self.by_class(context))
        return of_class[self._of()] + self.within.cpu().numpy()

    def by_class(self, text: np.ndarray) -> np.ndarray:
        """A marked text of words as one of classes, int64."""
        text = np.asarray(text, np.int64)
        numbers = np.append(self._of(), [self.tables.num_words, UNKNOWN_PAST])  # the last one is what -1 finds
        return numbers[text]

    def _of(self) -> np.ndarray:
        return self.class_of.cpu().numpy()

    def _set_number(self, num_classes: int) -> None:
        if num_classes != self.tables.num_words:
            device = self.class_of.device
            self.tables = BackoffTables(num_classes).to(device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        self.size_like({key.removeprefix(prefix): t for key, t in state_dict.items() if key.startswith(prefix)})
        super()._load_from_state_dict(state_dict, prefix, *others)


def as_text(contexts: np.ndarray, words: np.ndarray, end: int, beginning: int) -> tuple[np.ndarray, np.ndarray]:
    """One marked text in which each word stands behind its context, and where: [m] and [n] int64.

    contexts   [n, C] ids before each word, -1 in front where less is known, `beginning` where a context begins
    words      [n] int64
    end        the id after which contexts begin anew, or -1
    beginning  V

    A context that is the one before with its word at the end is not written again.
    """
    count, width = contexts.shape
    shown = np.where(words == end, beginning, words)
    follows = np.zeros(count, bool)
    if count > 1:
        follows[1:] = (contexts[1:, :-1] == contexts[:-1, 1:]).all(1) & (contexts[1:, -1] == shown[:-1])
    begins_anew = np.zeros(count, bool)
    begins_anew[1:] = follows[1:] & (shown[:-1] == beginning)
    before = np.where(follows, begins_anew, width + 1)  # ids written in front of the word
    places = np.cumsum(before + 1) - 1
    text = np.full(int(places[-1]) + 1 if count else 0, UNKNOWN_PAST, np.int64)
    text[places] = words
    text[places[begins_anew] - 1] = beginning
    fresh = np.flatnonzero(~follows)
    text[(places[fresh] - width)[:, None] + np.arange(width)] = contexts[fresh]
    return text, places


def _require_consistent(model: BackoffModel) -> None:
    """Raises ShapeError where looking up would leave the arrays."""
    sizes = [len(model.probabilities[0])]
    fits = sizes[0] == model.num_words + 1
    for n in range(2, model.order + 1):
        words, starts = model.trie.words[n - 2], model.trie.starts[n - 2]
        fits &= len(starts) == sizes[-1] + 1 and len(model.probabilities[n - 1]) == len(words)
        fits &= len(model.backoffs[n - 2]) == sizes[-1]
        fits = bool(fits) and starts[0] == 0 and starts[-1] == len(words) and bool((np.diff(starts) >= 0).all())
        fits = fits and (len(words) == 0 or (words.min() >= 0 and words.max() < model.num_words))
        sizes.append(len(words))
    if not fits:
        raise ShapeError(
            f"these tables contradict one another: {model.num_words:,} words and {', '.join(f'{n:,}' for n in sizes)} "
            "n-grams; restore the run from a copy."
        )
