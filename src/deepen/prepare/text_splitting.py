"""One text to its tokens, and which way of splitting suits the texts.

A word is found by rules, at blanks, or by a Chinese dictionary; a character is a code point of the normalized text; a
byte is one of its UTF-8. Subwords have a tokenizer of their own (`subword`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from deepen.core.faults import Fault
from deepen.prepare import segment, text_rules
from deepen.prepare.text_rules import Normalization

NUM_BYTES = 256
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(NUM_BYTES))


class Splitter:
    """Texts to tokens, as a state of `text.learn` says (levels word, character and byte)."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.level: str = state["level"]
        self._form: Normalization = state["normalize"]
        self._lower: bool = state["lower"]
        self._cleans = state.get("splitter") in ("rules", "jieba")
        self._split = _function(state) if self.level == "word" else list

    def normalized(self, text: str) -> str:
        """The text as it is before it is split."""
        text = text_rules.cleaned(text) if self._cleans else text
        return text_rules.normalized(text, self._form, lower=self._lower)

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text; at level byte each is written like <0xE4>."""
        if self.level == "byte":
            return [BYTES[byte] for byte in utf8(self.normalized(text))]
        return self._split(self.normalized(text))

    def bytes_of(self, text: str) -> np.ndarray:
        """The bytes of the normalized text, [n] uint8."""
        return np.frombuffer(utf8(self.normalized(text)), np.uint8)


def chosen(texts: Iterable[str], splitter: str, faults: list[Fault]) -> dict[str, Any]:
    """What a state has for the splitter asked for, or for the one that looking at the texts suggests (and a note)."""
    if splitter == "auto":
        splitter, why = _looked_at(texts)
        if why:
            faults.append(Fault("note", "text-splitter", "", f"{why}; --text.splitter chooses otherwise."))
    return {"splitter": splitter, "jieba": segment.version()} if splitter == "jieba" else {"splitter": splitter}


def utf8(text: str) -> bytes:
    """The bytes of a text, halves of surrogate pairs too."""
    return text.encode("utf-8", "surrogatepass")


def _looked_at(texts: Iterable[str]) -> tuple[str, str]:
    if text_rules.is_chinese(texts):
        if segment.is_installed():
            return "jieba", "the texts are Chinese: words are found with jieba"
        return "rules", (
            "the texts are Chinese: every Han character is a token, since jieba is not installed "
            "(pip install deepen[text])"
        )
    if text_rules.is_split(texts):
        return "whitespace", "the texts were split before (commas stand alone): words end at blanks"
    return "rules", ""


def _function(state: dict[str, Any]) -> Callable[[str], list[str]]:
    if state["splitter"] == "whitespace":
        return str.split
    specials = state["specials"]
    return segment.segmenter(specials) if state["splitter"] == "jieba" else text_rules.rules(specials)
