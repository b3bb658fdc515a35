"""Messages between the server and its workers: a JSON header and some bytes beside it, each whole or not at all.

4 bytes   length of the header, big-endian
4 bytes   length of everything behind it
header    JSON; its key "blobs" holds the lengths of the byte strings
blobs     one after the other
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import IO, Any

HEAD = struct.Struct(">II")


def packed(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """A message as bytes."""
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}, ensure_ascii=False).encode()
    return b"".join((HEAD.pack(len(text), sum(map(len, blobs))), text, *blobs))


def lengths(head: bytes) -> tuple[int, int]:
    """The lengths of the header and of what follows it, from the first 8 bytes."""
    return HEAD.unpack(head)


def unpacked(header: bytes, rest: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The header and the byte strings of a message."""
    found = json.loads(header)
    blobs, start = [], 0
    for length in found.pop("blobs"):
        blobs.append(rest[start : start + length])
        start += length
    return found, blobs


def read(file: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """The next message of a blocking file; None where it ends, be it in the middle of a message."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    size, beside = lengths(head)
    header, rest = file.read(size), file.read(beside)
    if len(header) < size or len(rest) < beside:
        return None
    return unpacked(header, rest)
