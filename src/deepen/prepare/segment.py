"""Chinese text cut into words with jieba, if it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec

from deepen.core.errors import OptionError
from deepen.prepare import text_rules

_RUNS_KEPT = 1 << 17  # split runs that are remembered, since texts are split to learn from them and again to encode
_LONGEST_KEPT = 64  # characters


def is_installed() -> bool:
    """Whether jieba can be imported."""
    return find_spec("jieba") is not None


def version() -> str:
    """The version of jieba, whose dictionary decides where words end."""
    return str(_module().__version__)


def segmenter(specials: Sequence[str] = ()) -> Callable[[str], list[str]]:
    """The function that splits a text: runs of Han characters by jieba, all else by `text_rules.rules`.

    jieba looks for the most probable path through the words of its dictionary, and for words that are not in it with a
    hidden Markov model over characters. Raises OptionError if it is not installed.
    """
    rules, cut = text_rules.rules(specials), _tokenizer().lcut

    def split(text: str) -> list[str]:
        found: list[str] = []
        for index, part in enumerate(text_rules.han_runs(text)):
            if index % 2:
                found += _remembered(part) if len(part) <= _LONGEST_KEPT else cut(part)
            else:
                found += rules(part)
        return found

    return split


@lru_cache(_RUNS_KEPT)
def _remembered(run: str) -> tuple[str, ...]:
    return tuple(_tokenizer().lcut(run))


def _module():
    if not is_installed():
        raise OptionError(
            "--text.splitter jieba: jieba is not installed; pip install deepen[text], or pass --text.splitter rules."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about how it finds its own dictionary
        import jieba
    return jieba


@cache
def _tokenizer():
    """jieba with its own dictionary, without the cache that it would read from and write to a folder all can write."""
    tokenizer = _module().Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer
