"""The wire format of Protocol Buffers, as far as reading a file that may be hostile needs it.

A message is a row of fields, each a key (number << 3 | kind) and a value: kind 0 a variable-length integer, 1 eight
bytes, 2 a length and that many bytes, 5 four bytes. Source: protobuf.dev, Encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

MOST_VARINT_BYTES = 10
FIXED = {1: 8, 5: 4}


class WireError(ValueError):
    """Bytes that are no message."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field in order: an integer, or bytes without a copy. Raises WireError."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field has the number 0")
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in FIXED:
            size = FIXED[kind]
        else:
            raise WireError(f"a field is of kind {kind}")
        if size > len(message) - place:
            raise WireError(f"a field claims {size:,} bytes where {len(message) - place:,} are left")
        yield number, message[place : place + size]
        place += size


def text_field(number: int, text: str) -> bytes:
    """A field of kind 2 that holds a text."""
    content = text.encode()
    return _key(number) + varint(len(content)) + content


def bytes_field(number: int, content: bytes) -> bytes:
    """A field of kind 2 that holds bytes, such as a message."""
    return _key(number) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A variable-length integer: seven bits a byte, the lowest first.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(packed: memoryview) -> Iterator[int]:
    """The integers of a packed field."""
    place = 0
    while place < len(packed):
        value, place = _varint(packed, place)
        yield value


def _key(number: int) -> bytes:
    return varint(number << 3 | 2)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(place, min(place + MOST_VARINT_BYTES, len(message))):
        byte = message[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, index + 1
        shift += 7
    raise WireError("a number does not end")
