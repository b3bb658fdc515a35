"""What an embedding table begins with: vectors of a file or of a run, found by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deepen.bundle.load import load_header, load_prepare, load_weights
from deepen.core.errors import OptionError, RunError
from deepen.core.units import plural
from deepen.prepare.text import Tokenizer
from deepen.prepare.vector_files import read_vectors

TENSOR = "vectors"  # of a run's weights, [V, D], a row for each id of its state's "text"
HASHED = ("ngrams.weight",)  # of a network, whose rows are found by the numbers of several tokens
TABLES = ("embedding.weight", "fixed_embedding.weight")  # of a network, for ids of a vocabulary


def starting_tables(
    source: Path | str | None, vocabulary: Sequence[str], network: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """A network's embedding tables by name, all with the vectors of `source`, and a sentence on them; else nothing.

    source   see `starting_embedding`; None where there are no vectors to begin with
    network  a freshly initialized network's state

    Raises OptionError if the widths differ, or no word is found.
    """
    if source is None:
        return {}, []
    vectors, note = starting_embedding(source, vocabulary, network[TABLES[0]])
    return {name: vectors for name in TABLES if name in network}, [note]


def rows_of_tokens(network: Mapping[str, Tensor], vocabulary: Sequence[str]) -> dict[str, Sequence[str] | None]:
    """The network's tables with a row for each token, by name, and the tokens. See `engine.task.NamedRows`."""
    rows = {name: vocabulary for name in TABLES if name in network and len(network[name]) == len(vocabulary)}
    return {**rows, **{name: None for name in HASHED if name in network}}


def starting_embedding(source: Path | str, vocabulary: Sequence[str], fresh: Tensor) -> tuple[Tensor, str]:
    """An embedding table whose known words have the vectors of `source`, and a sentence on how many those are.

    source      a file that `vector_files` reads, or the folder of a run that learned word vectors
    vocabulary  the words, in the order of the table's rows
    fresh       [V, D], the table as it was drawn
    returns     [V, D] in the dtype of `fresh`

    A word is looked for as it is written, then in lower case. The others keep their draw, scaled so that the numbers
    spread as those of the vectors found do (their root mean square), for words that are much louder or quieter than the
    rest would be told apart by that alone; rows of zeros, such as that of padding, stay zeros.
    Raises OptionError if the widths differ, or no word is found.
    """
    assert len(vocabulary) == len(fresh)
    wanted = {*vocabulary, *(word.lower() for word in vocabulary)}
    words, vectors = _read(Path(source), wanted)
    width = fresh.shape[1]
    if vectors.shape[1] != width:
        raise OptionError(
            f"--embeddings {source}: its vectors have {plural(vectors.shape[1], 'number')}, but the network's "
            f"embedding has {width}; give the network an embedding of {vectors.shape[1]}, or name other vectors."
        )
    places = {word: index for index, word in enumerate(words)}
    exact = [places.get(word, -1) for word in vocabulary]
    found = np.array(
        [at if at >= 0 else places.get(word.lower(), -1) for at, word in zip(exact, vocabulary, strict=True)]
    )
    is_found = found >= 0
    if not is_found.any():
        raise OptionError(
            f"--embeddings {source}: has a vector for none of the {len(vocabulary):,} words, such as "
            f"{vocabulary[-1]!r}; are they of the same language, and split alike?"
        )
    table = fresh.detach().to("cpu", torch.float32).clone()
    known = torch.from_numpy(vectors[found[is_found]])
    drawn = table[torch.from_numpy(~is_found)]
    drawn = drawn[drawn.ne(0).any(1)]
    if len(drawn):
        table *= known.square().mean().sqrt() / drawn.square().mean().sqrt()
    table[torch.from_numpy(is_found)] = known
    return table.to(fresh.dtype), _sentence(source, found, np.array(exact))


def _sentence(source: Path | str, found: np.ndarray, exact: np.ndarray) -> str:
    num_found, num_lowered = int((found >= 0).sum()), int((exact < 0).sum() - (found < 0).sum())
    lowered = f", {num_lowered:,} of them in lower case" if num_lowered else ""
    return (
        f"{source}: vectors for {num_found:,} of {len(found):,} words ({num_found / len(found):.1%}){lowered}"
        f"{'; the others begin at random.' if num_found < len(found) else '.'}"
    )


def _read(source: Path, wanted: set[str]) -> tuple[list[str], np.ndarray]:
    if not source.is_dir():
        words, vectors, _ = read_vectors(source, wanted)
        return words, vectors
    load_header(source)  # verifies what it lists
    state, weights = load_prepare(source).get("text"), load_weights(source)
    if not isinstance(state, dict) or TENSOR not in weights:
        raise RunError(
            f"{source}: is no run that learned word vectors; name one of word-vectors, or a file of vectors."
        )
    words, vectors = Tokenizer(state).vocabulary, weights[TENSOR].float().numpy()
    if len(words) != len(vectors):
        raise RunError(f"{source}: holds {len(vectors):,} vectors for {len(words):,} words; train it anew.")
    kept = [index for index, word in enumerate(words) if word in wanted]
    return [words[index] for index in kept], vectors[kept]
