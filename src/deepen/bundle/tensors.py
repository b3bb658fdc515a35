"""Named tensors to bytes and back: safetensors, with a seal, because the format itself notices no flipped bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

from deepen.core.errors import RunError
from deepen.core.jsontext import json_text, parse_json

SAME = "same"  # the entry of a note that says which names are further ones of a tensor: {"output.weight": "table"}
KEY = "deepen"  # the one entry of __metadata__: with two, the format's writer would order them by chance
SEAL_BYTES = 64


def encode(tensors: Mapping[str, Tensor], note: Mapping[str, object]) -> bytes:
    """The tensors as a safetensors file, `note` (JSON) in its metadata. Equal arguments give equal bytes.

    A tensor with several names, such as a tied table, is written once, under the first of them.
    Raises MemoryError also where the format's writer, which is written in Rust, panics for want of memory.
    """
    written, same = _separate(tensors)
    said = {**note, SAME: same} if same else dict(note)
    try:
        return safetensors_torch.save(written, metadata={KEY: json_text(said)})
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # derives from BaseException alone and cannot be imported
            raise MemoryError(f"writing tensors: {error}") from None
        raise


def decode(content: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The tensors and the note of `encode`. Raises RunError, naming the path, for anything that is not safetensors."""
    try:
        tensors = safetensors_torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError, MemoryError) as error:
        raise RunError(f"{path}: not a whole safetensors file ({_reason(error)}); restore it from a copy.") from None
    ordered = {name: tensors[name] for name in header if name in tensors}  # the format's reader orders them by chance
    note = _note(header, path)
    same = note.pop(SAME, {})
    if not isinstance(same, dict) or not all(
        str(kept) in ordered and name not in ordered for name, kept in same.items()
    ):
        raise RunError(f"{path}: its metadata gives further names to tensors that it does not hold; restore it.")
    return ordered | {name: ordered[str(kept)].clone() for name, kept in same.items()}, note


def sealed(tensors: Mapping[str, Tensor]) -> bytes:
    """The tensors as a safetensors file that holds its own SHA-256, taken with 64 zeros in the place of the seal."""
    content = encode(tensors, {"sha256": "0" * SEAL_BYTES})
    start = content.index(b"0" * SEAL_BYTES)
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[start + SEAL_BYTES :]


def unsealed(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of `sealed`. Raises RunError if a single bit of the file is not as it was written."""
    tensors, note = decode(content, path)
    seal = str(note.get("sha256", "")).encode()
    start = content.find(seal) if len(seal) == SEAL_BYTES else -1
    if start < 0:
        raise RunError(f"{path}: has no seal of ours in its metadata; was it written by something else?")
    hashed = hashlib.sha256(content[:start])
    hashed.update(b"0" * SEAL_BYTES)
    hashed.update(memoryview(content)[start + SEAL_BYTES :])
    if hashed.hexdigest().encode() != seal:
        raise RunError(f"{path}: damaged: its content does not match its sha256; restore it from a copy.")
    return tensors


def match(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, place: str = "weights") -> None:
    """Raises RunError, listing the first five of each, if names or shapes differ or a kind of number does not fit."""
    wrong = [
        ("missing", [name for name in expected if name not in state]),
        ("unexpected", [name for name in state if name not in expected]),
        (
            "of another shape",
            [_shapes(name, state[name], expected[name]) for name in expected if _differ(name, state, expected)],
        ),
        (
            "of another kind of number",
            [_kinds(name, state[name], expected[name]) for name in expected if _unlike(name, state, expected)],
        ),
    ]
    said = [
        f"{len(names)} {what} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
        for what, names in wrong
        if names
    ]
    if said:
        raise RunError(f"{place}: these weights are of another network: {'; '.join(said)}.")


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold a NaN or an infinity, in order."""
    return [name for name, t in state.items() if t.is_floating_point() and not _is_finite(t)]


def _is_finite(tensor: Tensor) -> bool:
    if tensor.itemsize == 1:  # the small floats know few operations
        tensor = tensor.float()
    return bool(torch.isfinite(tensor).all())


def _separate(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """On the CPU, contiguous, and no two sharing memory; and the further names of those that are one tensor."""
    found: dict[str, Tensor] = {}
    same: dict[str, str] = {}
    first: dict[object, str] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        layout = (tensor.device, tensor.dtype, tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
        if tensor.numel() and (known := first.setdefault(layout, name)) != name:
            same[name] = known
            continue
        plain = tensor.detach().to("cpu").contiguous()
        place = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if place in seen else plain
        seen.add(place)
    return found, same


def _note(header: dict[str, dict[str, str]], path: Path) -> dict[str, object]:
    text = header.get("__metadata__", {}).get(KEY, "{}")
    note = parse_json(text.encode(), place=f"{path}, metadata", error=RunError)
    if not isinstance(note, dict):
        raise RunError(f"{path}: its metadata is not ours.")
    return note


def _reason(error: Exception) -> str:
    text = str(error).split("\n")[0]
    return (
        text.removeprefix("Error while deserializing").removeprefix(" header").removeprefix(": ")[:120] or "unreadable"
    )


def _differ(name: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    return name in state and state[name].shape != expected[name].shape


def _unlike(name: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    if name not in state:
        return False
    return state[name].is_floating_point() != expected[name].is_floating_point() or (
        state[name].is_complex() != expected[name].is_complex()
    )


def _shapes(name: str, came: Tensor, wanted: Tensor) -> str:
    return f"{name} {tuple(came.shape)} for {tuple(wanted.shape)}"


def _kinds(name: str, came: Tensor, wanted: Tensor) -> str:
    return f"{name} {came.dtype} for {wanted.dtype}".replace("torch.", "")
