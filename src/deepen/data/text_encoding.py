"""The text of a file: its encoding found by looking, and said where it is not UTF-8.

UTF-8 and the encodings of byte-order marks are read as they are. A file that is not UTF-8 is taken for latin-1 (or for
cp1252, which is latin-1 with curly quotes and dashes) if everything speaks for it, as `single_byte` lists; else it is
refused with the line and the byte, since a wrong guess would spoil words without a word. `--encoding` always wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.text_file import encoding_of, file_bytes, marked, refusal

LARGEST_SHARE = 0.2  # of bytes above 127 among all but blanks
LEAST_PLAUSIBLE = 0.95
_ASCII = bytes(range(128))
_BLANK = b" \t\r\n\f\v"
_UTF_8 = re.compile(rb"[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}")
_CONTROLS = bytes([*range(7), *range(14, 27), *range(28, 32), 0x7F, 0x81, 0x8D, 0x8F, 0x90, 0x9D])
_LETTER = rb"A-Za-z\x8a\x8c\x8e\x9a\x9c\x9e\x9f\xc0-\xd6\xd8-\xf6\xf8-\xff"
_ODD = re.compile(
    rb"[\x80-\xff]{4,}"  # no Western word has four such letters in a row; Greek or Cyrillic words have no others
    rb"|[^\x00-\x7f\x82\x84\x85\x91-\x97\xa0\xab\xbb" + _LETTER + rb"][\x80-\xff]"  # a sign before a letter above 127
    rb"|[^\x00-\x7f\x80\x82-\x89\x8b\x91-\x99\x9b\xa0-\xbf\xd7\xf7][^\x00-\x7f\x85\x91-\x97\xa0\xab\xbb"
    + _LETTER
    + rb"]"  # or behind one
    rb"|(?<=[a-z])[\xa1-\xaa\xac-\xac\xae-\xb6\xb8-\xba\xbc-\xbf](?=[a-z])"  # or within a word
    rb"|(?<=[a-z\xdf-\xf6\xf8-\xfe])[\xc0-\xd6\xd8-\xde]"  # a capital within a word
    rb"|[\xc2\xc3](?![A-Za-z\xc0-\xff])"  # the first half of a letter in UTF-8, standing alone
    rb"|[\x9f\xff]"
)
_CP1252 = re.compile(rb"[\x80-\x9f]")
_MARK = "\ufeff"
_LINE_MARK = re.compile("\n\ufeff")


@dataclass
class Evidence:
    """How bytes that are not UTF-8 would read as latin-1; whole lines can be added one after another.

    high     bytes above 127
    dense    all bytes but blanks
    odd      bytes above 127 that make no sense where they stand
    never    whether there is a byte that such text does not have, or a letter written in UTF-8
    windows  whether there are bytes that only cp1252 uses
    """

    high: int = 0
    dense: int = 0
    odd: int = 0
    never: bool = False
    windows: bool = False

    def add(self, data: bytes) -> None:
        """Looks at further lines."""
        lines = b"\n".join(line for line in data.split(b"\n") if not line.isascii())  # the only ones worth a look
        high = lines.translate(None, _ASCII)
        self.high += len(high)
        self.dense += len(data.translate(None, _BLANK))
        self.odd += sum(len(match.translate(None, _ASCII)) for match in _ODD.findall(lines))
        self.never = self.never or len(data.translate(None, _CONTROLS)) < len(data) or bool(_UTF_8.search(lines))
        self.windows = self.windows or bool(_CP1252.search(high))

    def encoding(self) -> str:
        """ "latin-1" or "cp1252" if that is what it is, else ""."""
        few = self.high <= LARGEST_SHARE * self.dense
        plausible = self.odd <= (1 - LEAST_PLAUSIBLE) * self.high
        return ("cp1252" if self.windows else "latin-1") if few and plausible and not self.never else ""


def read_text(path: Path, asked: str, faults: list[Fault], *, place: str = "") -> str:
    """The text of a file (unpacked if it is a .gz), lines ended by a line feed alone; notes are added to `faults`.

    asked  the encoding stated by --encoding, or ""
    Raises DataError, with the line and the byte, where the bytes are in no encoding that is sure enough.
    """
    return decoded(file_bytes(path), asked, place or path.name, faults)


def decoded(data: bytes, asked: str, place: str, faults: list[Fault]) -> str:
    """The same for bytes that are there already."""
    text = None
    if not asked and not marked(data):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            guessed = single_byte(data)
            if guessed:
                faults.append(_said(guessed, data, error, place))
                text = data.decode(guessed)
    text = _strictly(data, asked, place) if text is None or text[:1000].count("\0") * 4 > len(text[:1000]) else text
    return plain(_without_marks(text, place, faults))


def single_byte(data: bytes) -> str:
    """ "latin-1" or "cp1252" if bytes that are not UTF-8 are almost certainly text in it, else "".

    At most one byte in five is above 127. No control characters, no byte that cp1252 leaves undefined, and nothing
    that is a letter in UTF-8. And of the bytes above 127 at most one in twenty is a sign within a word or beside
    another such letter, a capital behind a small letter, a y with two dots, or one of more than three in a row.
    What this cannot tell from latin-1 are its own siblings for Turkish and Hungarian, so what was found is always said.
    """
    evidence = Evidence()
    evidence.add(data)
    return evidence.encoding()


def plain(text: str) -> str:
    """The text with line feeds alone at its line ends, whatever system it was written on."""
    if "\r" not in text:
        return text
    text = text.replace("\r\n", "\n")
    return text if "\n" in text else text.replace("\r", "\n")


def lines_of(text: str) -> list[str]:
    """The lines without their ends; there is none behind the last line feed. Only line feeds end a line.

    >>> lines_of("one\\u2028more\\n\\ntwo\\n")
    ['one\\u2028more', '', 'two']
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _strictly(data: bytes, asked: str, place: str) -> str:
    """The text in the encoding asked for or marked; halves of surrogate pairs are refused too."""
    encoding = encoding_of(data, asked, place)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise undecodable(data, error, place) from error


def undecodable(data: bytes, error: UnicodeDecodeError, place: str, *, lines: int = 0, offset: int = 0) -> DataError:
    """The refusal of bytes that are not in their encoding: `lines` and `offset` stand before them in the file."""
    line = lines + data[: error.start].count(b"\n") + 1
    message = (
        f"byte {offset + error.start + 1:,} (0x{data[error.start]:02x}) is not {error.encoding}; save the file as "
        "UTF-8 or pass its --encoding, such as latin-1 or gb18030."
    )
    return refusal("encoding", f"{place}, line {line:,}", message)


def _said(encoding: str, data: bytes, error: UnicodeDecodeError, place: str) -> Fault:
    line = data[: error.start].count(b"\n") + 1
    return found_encoding(encoding, data[error.start], line, place)


def found_encoding(encoding: str, byte: int, line: int, place: str) -> Fault:
    """The note that a file is not UTF-8 and was read as something else."""
    message = f"read as {encoding}: byte 0x{byte:02x} in line {line:,} is not UTF-8; --encoding takes another."
    return Fault("note", "encoding-found", place, message)


def _without_marks(text: str, place: str, faults: list[Fault]) -> str:
    """The text without byte-order marks at the start of a line: those come from joined files (warning).

    Within a line the same character is a blank without width; it is kept, since it may stand for a token of its own.
    """
    text = text.removeprefix(_MARK)
    if _MARK not in text:
        return text
    marks = [match.start() for match in _LINE_MARK.finditer(text)]
    if marks:
        line = text[: marks[0]].count("\n") + 2
        count = plural(len(marks), "byte-order mark")
        message = f"{count} within the file, removed; were files joined to make this one?"
        faults.append(Fault("warning", "mark-within", f"{place}, line {line:,}", message))
        text = _LINE_MARK.sub("\n", text)
    if _MARK in text:
        line = text[: text.index(_MARK)].count("\n") + 1
        message = f"{plural(text.count(_MARK), 'blank')} without width (U+FEFF) within lines, kept."
        faults.append(Fault("note", "mark-in-line", f"{place}, line {line:,}", message))
    return text


def without_marks(text: str) -> str:
    """The text without byte-order marks at the start of a line, and nothing said."""
    return _without_marks(text, "", [])
