"""Texts cleaned, normalized and split into words by stated rules.

Cleaning (of words found by rules or jieba; a corpus that was split before is taken as it is)
    control characters become blanks; byte-order marks, soft hyphens, zero-width blanks, direction marks and overrides
    are taken out, for nobody sees them; joiners stay, for they change what is seen; half a surrogate pair becomes
    U+FFFD.
Normalization
    NFC, NFKC or none (Unicode Standard Annex 15), and lower case where asked: normalized, lowered, normalized again.
Splitting by rules: at every place the first of these that fits, and as much of it as fits
    1. a special such as <unk>, whole
    2. an emoji: a flag, a keycap, or pictures held together by joiners, skin tones and variation selectors
    3. a number with points or commas inside: 3.14  1,000,000  12.05.2026
    4. one Han character
    5. a word: letters, digits and combining marks, with apostrophes and hyphens inside: don't  well-known  2nd
    6. any other character that is no blank, alone, with its combining marks

No rule looks beyond what it takes, so that a token standing alone is split into itself: splitting what was split and
joined by blanks changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Literal

Normalization = Literal["NFC", "NFKC", "none"]

# Han ideographs: unified, extension A, compatibility, and the planes 2 and 3; the marks for "ditto" and 0.
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_INVISIBLE = "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
_PICTURE = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_TONE, _FLAG_LETTER, _TAG = "[\U0001f3fb-\U0001f3ff]", "[\U0001f1e6-\U0001f1ff]", "[\U000e0020-\U000e007f]"
_CLEANED = re.compile(f"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff{_INVISIBLE}]")
_LOOKED_AT = 1_000_000  # characters by which the kind of a corpus is told
_COMMAS = 20  # commas that must have been seen before they say anything
_SPLIT_SHARE = 0.95  # of the commas that stand alone in a corpus that was split before
_HAN_SHARE = 0.3  # of the letters of a corpus that is called Chinese: names and figures are often Latin
_KANA_SHARE = 0.05  # of the letters above which it is Japanese


def cleaned(text: str) -> str:
    """The text without what nobody sees; see the head of this file."""
    return text if text.isascii() and text.isprintable() else _CLEANED.sub(_clean_character, text)


def normalized(text: str, form: Normalization, *, lower: bool = False) -> str:
    """The text in a normal form of Unicode, lowered where asked. Doing it again changes nothing.

    >>> normalized("E\u0301T\u0130", "NFC", lower=True)
    '\u00e9ti\u0307'
    """
    if text.isascii():
        return text.lower() if lower else text
    if not lower:
        return _normal(text, form)
    for _ in range(4):  # a few letters need a second round, none that Unicode has needs a fifth
        before, text = text, _normal(_normal(text, form).lower(), form)
        if text == before:
            break
    return text


def rules(specials: Sequence[str] = ()) -> Callable[[str], list[str]]:
    """The function that splits a cleaned, normalized text by the rules above.

    >>> rules(["<unk>"])("Don't pay $1,000.50 to <unk>!")
    ["Don't", 'pay', '$', '1,000.50', 'to', '<unk>', '!']
    """
    plain = r"[A-Za-z]+(?=[ \n])"  # rule 5 in its commonest form, which is found twice as fast this way
    return re.compile("|".join([*(re.escape(word) for word in specials), plain, _pattern()])).findall


def is_chinese(texts: Iterable[str]) -> bool:
    """Whether a good part of the letters are Han and hardly any kana, in the first texts up to a million characters."""
    num_han = num_kana = num_letters = 0
    for text in _sample(texts):
        num_letters += sum(map(str.isalpha, text))
        if not text.isascii():
            num_han += len(_HAN.findall(text))
            num_kana += len(_KANA.findall(text))
    return num_han > _HAN_SHARE * num_letters and num_kana <= _KANA_SHARE * num_letters


def is_split(texts: Iterable[str]) -> bool:
    """Whether somebody split the texts before: nearly all commas stand alone between blanks, none after a letter."""
    num_alone = num_after_letter = 0
    for text in _sample(texts):
        num_alone += text.count(" , ")
        num_after_letter += len(_COMMA_AFTER_LETTER.findall(text))
    return num_alone >= _COMMAS and num_alone >= _SPLIT_SHARE * (num_alone + num_after_letter)


def is_han(character: str) -> bool:
    """Whether it is a Han character."""
    return _HAN.match(character) is not None


def han_runs(text: str) -> list[str]:
    """The text cut where Han characters begin and end; every second part, from the second, is Han.

    >>> han_runs("体验2D巅峰")
    ['', '体验', '2D', '巅峰', '']
    """
    return _HAN_RUN.split(text)


_HAN = re.compile(f"[{HAN}]")
_KANA = re.compile("[\u3041-\u309f\u30a1-\u30fa\u30fd-\u30ff]")
_HAN_RUN = re.compile(f"([{HAN}]+)")
_COMMA_AFTER_LETTER = re.compile(r"[^\W\d_],")


@cache
def _pattern() -> str:
    marks = _marks()
    picture = f"{_PICTURE}\ufe0f?{_TONE}?{_TAG}*"
    word = f"[^\\W{HAN}][^\\W{HAN}]*"  # one letter or digit and more of them
    inner = f"(?:[^\\W{HAN}]|[{marks}])"
    return "|".join(
        [
            f"{_FLAG_LETTER}{{2}}",
            "[0-9#*]\ufe0f?\u20e3",
            f"{picture}(?:\u200d{picture})*",
            "[0-9]+(?:[.,][0-9]+)+",
            f"[{HAN}][{marks}]*",
            f"{word}{inner}*(?:['\u2019\u2010\u2011-]{inner}+)*",
            f"\\S[{marks}]*",
        ]
    )


@cache
def _marks() -> str:
    """Combining marks (general categories Mn, Mc, Me) and the two joiners, as ranges of a character class."""
    last = 0x20000  # beyond them only the variation selectors supplement
    codes = [code for code in range(0x300, last) if unicodedata.category(chr(code)).startswith("M")]
    codes = [0x200C, 0x200D, *codes]
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    spelled = "".join(chr(low) if low == high else f"{chr(low)}-{chr(high)}" for low, high in ranges)
    return f"{spelled}\U000e0100-\U000e01ef"


def _clean_character(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return " " if unicodedata.category(character) == "Cc" else ""


def _normal(text: str, form: Normalization) -> str:
    return text if form == "none" else unicodedata.normalize(form, text)


def _sample(texts: Iterable[str]) -> Iterable[str]:
    left = _LOOKED_AT
    for text in texts:
        yield text[:left]
        left -= len(text)
        if left <= 0:
            return
