"""An .onnx file of ours: what it says of itself, and what is refused before an engine sees a byte of it.

Beside the graph the file holds two entries in `metadata_props`: `deepen`, a JSON object that says how inputs are made
and outputs are read, and last of all `deepen.sha256`, the digest of every byte before it.

    format_version  of that object
    opset           of the graph's operators
    task, model     their names
    options         every option of the run, by dotted name
    schema          which columns and which layouts of data are read (data/dataset.Schema)
    reading         how they are read (data/read.ReadOptions)
    preparation     `kind` and what learned rules make the graph's inputs (runtime/prepare_KIND.py)
    sizes           by the name of a free dimension its least and its largest size, null where there is none
    answer          `kind` and what turns the graph's outputs into answers (runtime/answer_KIND.py)
    run             the run it came from: name, weights_sha256, metrics
    checked         what re-scoring it found when it was written, and `engines`: those that answered rightly
    versions        of python, torch, deepen, onnx and onnxruntime

Refused: files without these entries, of a newer format, changed since, with tensors outside of the file, operators of
other domains, functions of their own, loops, tensors that claim more than they hold, and more of anything than a
network has.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepen.core.errors import RunError
from deepen.core.files import read_bytes
from deepen.core.jsontext import finite, json_text, parse_json
from deepen.core.names import nearest
from deepen.core.units import size as in_words
from deepen.runtime.protobuf import WireError, bytes_field, fields, text_field, varints

FORMAT_VERSION = 1
ENDING = ".onnx"
DESCRIPTION = "deepen"
SEAL = "deepen.sha256"
MAX_BYTES = (1 << 31) - 1  # a message cannot be larger
MAX_DESCRIPTION_BYTES = 256_000_000
MOST_NODES = 100_000
MOST_DEPTH = 8
MOST_DIMENSIONS = 16
MOST_OPSET = 100
STANDARD = ("", "ai.onnx")
LOOPS = ("Loop", "Scan")
SEAL_BYTES = 2 + 2 + len(SEAL) + 2 + 64

# Numbers of fields, from onnx.proto (https://github.com/onnx/onnx, the file format's own definition).
MODEL_GRAPH, MODEL_OPSETS, MODEL_METADATA, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 8, 14, 20, 25
GRAPH_NODE, GRAPH_TENSOR, GRAPH_SPARSE = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS, ATTRIBUTE_SPARSE = 5, 6, 10, 11, (22, 23)
TENSOR_DIMENSIONS, TENSOR_NAME, TENSOR_EXTERNAL, TENSOR_LOCATION = 1, 8, 13, 14
TENSOR_DATA = (4, 5, 6, 7, 9, 10, 11)

FIELDS: dict[str, type | tuple[type, ...]] = {
    "format_version": int,
    "opset": int,
    "task": str,
    "model": str,
    "options": dict,
    "schema": dict,
    "reading": dict,
    "preparation": dict,
    "sizes": dict,
    "answer": dict,
    "run": dict,
    "checked": dict,
    "versions": dict,
}
_KIND = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True)
class OnnxFile:
    """A file that was read, verified and found harmless."""

    path: Path
    content: bytes
    description: dict[str, Any]


def read(path: str | Path) -> OnnxFile:
    """The file, after every check. Raises RunError, one sentence."""
    path = Path(path)
    if not path.exists():
        raise RunError(f"{path}: no such file{_nearest(path)}")
    content = read_bytes(path, max_bytes=MAX_BYTES, error=RunError)
    metadata = _metadata(path, content)
    if DESCRIPTION not in metadata:
        raise RunError(
            f"{path}: holds nothing of deepen, so that it is not known how its inputs are made; "
            "`deepen export` writes files that say so."
        )
    _check_seal(path, content)
    description = _described(path, metadata[DESCRIPTION])
    return OnnxFile(path, content, description)


def sealed(graph: bytes, description: Mapping[str, Any]) -> bytes:
    """The bytes of a file: a serialized ONNX model, our description behind it, and the digest of both at the end.

    Appended fields join those that a message has, so that this is an ONNX model like any other.
    """
    body = graph + _entry(DESCRIPTION, json_text(finite(dict(description))))
    return body + _entry(SEAL, hashlib.sha256(body).hexdigest())


def refuse_harm(path: str | Path, content: bytes) -> None:
    """Raises RunError for a model that is no model, or that holds what `read` refuses."""
    _metadata(Path(path), content)


def _metadata(path: Path, content: bytes) -> dict[str, bytes]:
    """The entries beside the graph, after the graph was looked through."""
    try:
        return _looked_through(path, memoryview(content))
    except WireError as error:
        raise RunError(f"{path}: damaged, or no ONNX file: {error}; write it anew with `deepen export`.") from None


def _looked_through(path: Path, model: memoryview) -> dict[str, bytes]:
    metadata: dict[str, bytes] = {}
    budget = [MOST_NODES]
    for number, value in fields(model):
        if number in (MODEL_FUNCTIONS, MODEL_TRAINING):
            raise _refused(path, "functions or training of its own", "only plain graphs are run")
        if number == MODEL_OPSETS:
            _check_opset(path, _bytes(value))
        elif number == MODEL_GRAPH:
            _check_graph(path, _bytes(value), budget, 0)
        elif number == MODEL_METADATA:
            entry = {key: bytes(_bytes(part)) for key, part in fields(_bytes(value))}
            name = entry.get(1, b"").decode("utf-8", "replace")
            if name in metadata and name in (DESCRIPTION, SEAL):
                raise _refused(path, f"the entry {name!r} twice", "which of them holds is not known")
            metadata[name] = entry.get(2, b"")
    return metadata


def _check_opset(path: Path, opset: memoryview) -> None:
    found = dict(fields(opset))
    domain = bytes(_bytes(found.get(1, memoryview(b"")))).decode("utf-8", "replace")
    if domain not in STANDARD:
        raise _refused(path, f"operators of the domain {domain[:80]!r}", "only ONNX's own are run")
    version = found.get(2, 0)
    if not isinstance(version, int) or not 0 < version < MOST_OPSET:
        raise _refused(path, "an operator set of no version", "it says not what its operators mean")


def _check_graph(path: Path, graph: memoryview, budget: list[int], depth: int) -> None:
    if depth > MOST_DEPTH:
        raise _refused(path, f"graphs within graphs, more than {MOST_DEPTH} deep", "no network of ours has that")
    for number, value in fields(graph):
        if number == GRAPH_NODE:
            budget[0] -= 1
            if budget[0] < 0:
                raise _refused(path, f"more than {MOST_NODES:,} operators", "no network of ours has that many")
            _check_node(path, _bytes(value), budget, depth)
        elif number == GRAPH_TENSOR:
            _check_tensor(path, _bytes(value))
        elif number == GRAPH_SPARSE:
            raise _refused(path, "sparse tensors", "no network of ours has them")


def _check_node(path: Path, node: memoryview, budget: list[int], depth: int) -> None:
    for number, value in fields(node):
        if number == NODE_DOMAIN and bytes(_bytes(value)).decode("utf-8", "replace") not in STANDARD:
            domain = bytes(_bytes(value)).decode("utf-8", "replace")
            raise _refused(path, f"an operator of the domain {domain[:80]!r}", "only ONNX's own are run")
        if number == NODE_OPERATOR and bytes(_bytes(value)).decode("utf-8", "replace") in LOOPS:
            raise _refused(path, "a loop", "it may never end")
        if number == NODE_ATTRIBUTE:
            _check_attribute(path, _bytes(value), budget, depth)


def _check_attribute(path: Path, attribute: memoryview, budget: list[int], depth: int) -> None:
    for number, value in fields(attribute):
        if isinstance(value, int):
            continue
        if number in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
            _check_tensor(path, value)
        elif number in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
            _check_graph(path, value, budget, depth + 1)
        elif number in ATTRIBUTE_SPARSE:
            raise _refused(path, "sparse tensors", "no network of ours has them")


def _check_tensor(path: Path, tensor: memoryview) -> None:
    dimensions: list[int] = []
    held = 0
    name = ""
    for number, value in fields(tensor):
        if number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value != 0):
            raise _refused(path, "tensors that lie in another file", "an export of ours holds all of them itself")
        if number == TENSOR_DIMENSIONS:
            dimensions += _integers(value)
        elif number == TENSOR_NAME:
            name = bytes(_bytes(value)).decode("utf-8", "replace")
        elif number in TENSOR_DATA:
            held += len(value) if isinstance(value, memoryview) else 1
    if len(dimensions) > MOST_DIMENSIONS or any(size < 0 or size >= 1 << 40 for size in dimensions):
        raise _refused(path, f"a tensor {name[:80]!r} of an impossible shape", "write it anew")
    if math.prod(dimensions) > 2 * held:  # the smallest elements take half a byte
        claim = f"a tensor {name[:80]!r} that claims {math.prod(dimensions):,} elements in {held:,} bytes"
        raise _refused(path, claim, "write it anew")


def _check_seal(path: Path, content: bytes) -> None:
    body = content[:-SEAL_BYTES]
    if content[-SEAL_BYTES:] != _entry(SEAL, hashlib.sha256(body).hexdigest()):
        raise RunError(
            f"{path}: damaged or edited: its content does not match the sha256 at its end; "
            "write it anew with `deepen export`."
        )


def _described(path: Path, text: bytes) -> dict[str, Any]:
    if len(text) > MAX_DESCRIPTION_BYTES:
        raise RunError(f"{path}: describes itself in {in_words(len(text))}; write it anew with `deepen export`.")
    value = parse_json(text, place=f"{path}, its entry {DESCRIPTION!r}", error=RunError)
    if not isinstance(value, dict) or not isinstance(value.get("format_version"), int):
        raise RunError(f"{path}: expected a description with its format_version; write it anew with `deepen export`.")
    if value["format_version"] > FORMAT_VERSION:
        raise RunError(
            f"{path}: format version {value['format_version']}, but this deepen reads up to {FORMAT_VERSION}; "
            "use a newer deepen."
        )
    for name, kind in FIELDS.items():
        if not isinstance(value.get(name), kind):
            raise RunError(f"{path}: its field {name!r} is missing or of the wrong type; write it anew.")
    for name in ("preparation", "answer"):
        if not _KIND.fullmatch(str(value[name].get("kind"))):
            raise RunError(f"{path}: its field {name!r} has no kind; write it anew with `deepen export`.")
    return value


def _refused(path: Path, what: str, why: str) -> RunError:
    return RunError(f"{path}: holds {what}, which is refused: {why}.")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise WireError("a field is a number where a text or a message is due")
    return value


def _integers(value: int | memoryview) -> Iterator[int]:
    """One integer or a packed row of them, signed."""
    for each in [value] if isinstance(value, int) else varints(value):
        yield each - (1 << 64) if each >> 63 else each


def _entry(key: str, value: str) -> bytes:
    return bytes_field(MODEL_METADATA, text_field(1, key) + text_field(2, value))


def _nearest(path: Path) -> str:
    try:
        near = nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return f"; its folder {path.parent} does not exist either."
    return f"; did you mean {path.parent / near}?" if near else "; `deepen export` writes one."
