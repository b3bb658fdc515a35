"""Encodings: what is taken for latin-1 and what is refused, with the line and the byte."""

from __future__ import annotations

import pytest

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data.text_encoding import Evidence, decoded, lines_of, plain, single_byte

ENGLISH = "plain words of a longer text without any accent, so that few bytes are above 127 ; " * 3
WESTERN = {
    "French": "L’été dernier, « l’œuvre » — à 5 € — naïve… Où ça ? L'ÉTÉ « été » coûta 3½ £.",
    "German": "Über die Straße: größte Äpfel, ÖPNV müßig",
    "Spanish": "¿Qué pasó? ¡Año nuevo! el niño (años)",
    "Portuguese": "não, ações à noite; você É ótimo. continuação 'ação'",
    "Icelandic": "Það er ekki hægt að þýða þetta; ísl. sögð",
    "Swedish": "Åsa åt räksmörgås på Öland 25 °C",
}
OTHERS = [
    ("Привет, мир", "cp1251"),
    ("Привет, мир", "koi8-r"),
    ("Ελλάδα και", "iso8859-7"),
    ("שלום לכם", "iso8859-8"),
    ("ภาษาไทย", "tis-620"),
    ("Zażółć gęślą jaźń, łódź, się", "iso8859-2"),
    ("中文 的 字典", "gbk"),
    ("中文字典的", "big5"),
    ("これは日本語です", "shift-jis"),
    ("한국어 입니다", "euc-kr"),
]
DAMAGED = [  # X01: what stands in a text that is else UTF-8, and which of its bytes cannot be decoded
    (b"hello \xff there", 6),
    (b"hello \xc0\xaf there", 6),
    (b"hello \xed\xa0\x80 there", 6),
    ("caf\u00e9 ".encode() + b"caf\xe9", 9),
    (b"hello \xe4\xb8", 6),
    (b"caf\xc3", 3),
    (b"it\xe2\x80", 2),
    (b"the \xf0\x9f\x98", 4),
]


@pytest.mark.parametrize("text", WESTERN.values(), ids=WESTERN)
def test_western_texts_of_one_byte_a_letter_are_read_and_said(text: str) -> None:
    text = ENGLISH + "\n" + text + "\n"
    encoding = "cp1252" if any(letter in text for letter in "’—…œ€") else "latin-1"
    faults: list[Fault] = []
    assert decoded(text.encode(encoding), "", "a.txt", faults) == text
    assert [fault.level for fault in faults] == ["note"]
    byte = next(byte for byte in text.encode(encoding) if byte > 127)
    assert f"a.txt: read as {encoding}: byte 0x{byte:02x} in line 2 is not UTF-8" in faults[0].sentence()
    assert "--encoding" in faults[0].sentence()


@pytest.mark.parametrize(("text", "encoding"), OTHERS)
def test_other_encodings_are_refused_not_guessed(text: str, encoding: str) -> None:
    data = (ENGLISH + "\n" + text + "\n").encode(encoding)
    assert single_byte(data) == ""
    with pytest.raises(DataError, match=r"a.txt, line 2: byte [\d,]+ \(0x[0-9a-f]+\) is not utf-8; .*--encoding"):
        decoded(data, "", "a.txt", [])
    assert decoded(data, encoding, "a.txt", []) == ENGLISH + "\n" + text + "\n"


@pytest.mark.parametrize(("damage", "place"), DAMAGED)
def test_damaged_utf_8_is_refused_with_line_and_byte(damage: bytes, place: int) -> None:
    first = ENGLISH.encode() + b"\n"
    match = rf"a.txt, line 2: byte {len(first) + place + 1:,} \(0x{damage[place]:02x}\) is not utf-8"
    with pytest.raises(DataError, match=match):
        decoded(first + damage + b"\n", "", "a.txt", [])


def test_marks_at_the_start_of_lines_are_removed_and_said_only_within() -> None:
    faults: list[Fault] = []
    assert decoded("\ufeffhi\nyou\n".encode(), "", "a.txt", faults) == "hi\nyou\n" and not faults
    text = decoded("\ufeffhi\n\ufeffyou \ufeff too\n".encode(), "", "a.txt", faults)
    assert text == "hi\nyou \ufeff too\n"
    assert [(f.level, f.kind, f.place) for f in faults] == [
        ("warning", "mark-within", "a.txt, line 2"),
        ("note", "mark-in-line", "a.txt, line 2"),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_marked_encodings_are_read(encoding: str) -> None:
    assert decoded("größe\n中文\n".encode(encoding), "", "a.txt", []) == "größe\n中文\n"


def test_unmarked_utf_16_is_refused_with_its_name() -> None:
    with pytest.raises(DataError, match="utf-16-le"):
        decoded("plain text\n".encode("utf-16-le"), "", "a.txt", [])


def test_line_ends_of_any_system_become_line_feeds_and_nothing_else_ends_a_line() -> None:
    assert plain("a\r\nb\r\n") == plain("a\rb\r") == "a\nb\n"
    assert lines_of("a\x85b\u2028c\x0bd\n\ne") == ["a\x85b\u2028c\x0bd", "", "e"]
    assert lines_of("") == []


def test_evidence_of_lines_adds_up() -> None:
    data = (ENGLISH + "\nL'été à Óbidos\n").encode("latin-1") * 7
    whole, parts = Evidence(), Evidence()
    whole.add(data)
    for line in data.splitlines(keepends=True):
        parts.add(line)
    assert whole == parts and whole.high == 4 * 7
