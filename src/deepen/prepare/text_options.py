"""How texts become tokens: the options of every text task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# What tasks say of options that several of them have
EMBEDDINGS: Mapping[str, Any] = {
    "help": "word vectors to begin with: a file (word2vec, GloVe, fastText .vec) or a run of word-vectors; "
    "--freeze embedding keeps them as they are"
}
WORD_DROPOUT: Mapping[str, Any] = {
    "help": "share of the tokens that are made unknown in training",
    "least": 0.0,
    "below": 1.0,
    "search": "0..0.3",
    "prepares": False,
}


@dataclass(frozen=True)
class TextOptions:
    """How texts become tokens."""

    level: Literal["word", "character", "byte", "subword"] = field(default="word", metadata={"help": "what a token is"})
    splitter: Literal["auto", "rules", "whitespace", "jieba"] = field(
        default="auto",
        metadata={"help": "how words are found; auto: whitespace if split before, jieba if Chinese, else rules"},
    )
    lower: bool = field(default=False, metadata={"help": "lower case"})
    normalize: Literal["auto", "NFC", "NFKC", "none"] = field(
        default="auto", metadata={"help": "Unicode's normal form; auto: none for bytes, else NFC"}
    )
    max_vocabulary: int | None = field(
        default=None,
        metadata={"help": "most tokens kept beside the specials; none: all words, 8,000 subwords", "least": 1},
    )
    min_count: int = field(default=1, metadata={"help": "rarer tokens count as unknown", "least": 1})
    subword: Literal["bpe", "wordpiece", "unigram"] = field(
        default="bpe", metadata={"help": "how subwords are learned"}
    )
    byte_fallback: bool | None = field(
        default=None,
        metadata={"help": "unknown characters become bytes instead of <unk>; none: yes for bpe and unigram"},
    )
    max_length: int | None = field(
        default=None, metadata={"help": "tokens kept of one text, the rest is cut; none: all", "least": 1}
    )
