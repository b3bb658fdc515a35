"""Weights from elsewhere, for `--weights`: tensors by name, and no code is ever run from a file."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from deepen.bundle.load import MAX_WEIGHTS_BYTES, nearest_path
from deepen.bundle.tensors import decode, not_finite, unsealed
from deepen.core import files
from deepen.core.errors import RunError


def load_state_dict(path: Path | str, *, notes: list[str] | None = None) -> dict[str, Tensor]:
    """Named tensors from a safetensors file or a PyTorch `state_dict`, for `--weights`. Runs no code from the file.

    A dictionary that holds the tensors under "state_dict", "model" or the like is opened, and "module." in front of
    every name (as DataParallel leaves it) is dropped. Raises RunError, a sentence, for every other file.
    """
    path = Path(path)
    if not path.exists():
        raise RunError(f"{path}: no such file of weights{nearest_path(path)}")
    content = files.read_bytes(path, max_bytes=MAX_WEIGHTS_BYTES, error=RunError)
    state = _tensors(content, path)
    if not state:
        raise RunError(f"{path}: expected named tensors, but holds none.")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for name, tensor in state.items():
        if tensor.numel() * tensor.element_size() > max(len(content), 1):
            raise RunError(
                f"{path}: {name} claims {tensor.numel():,} elements, more than the {len(content):,} bytes "
                "of the file can hold."
            )
    broken = not_finite(state)
    if broken and notes is not None:
        notes.append(f"{path}: {len(broken)} tensors hold NaN or infinities, the first is {broken[0]}.")
    return state


def _tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    if content[:2] == b"PK" or content[:1] == b"\x80":
        return _torch_tensors(content, path)
    if content[8:9] == b"{":
        tensors, note = decode(content, path)
        return unsealed(content, path) if "sha256" in note else tensors
    raise RunError(
        f"{path}: expected a safetensors file or a PyTorch state_dict (zip or pickle), but begins with {content[:8]!r}."
    )


def _torch_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    if content[:2] == b"PK":
        _check_zip(content, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle's dialects: what is refused, we say ourselves
            value = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can make the reader fail in any way; whatever it is, it is refused
        raise RunError(
            f"{path}: refused: expected tensors by name and nothing else, but {_reason(error)}; "
            "save it anew as safetensors, or with torch.save(model.state_dict(), ...)."
        ) from None
    return _only_tensors(value, path)


def _only_tensors(value: object, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model_state_dict", "model", "module"):
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping):
        raise RunError(f"{path}: expected tensors by name, but holds a {type(value).__name__}.")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise RunError(f"{path}: expected tensors by name, but {name!r} is a {type(tensor).__name__}.")
        if tensor.is_sparse or tensor.is_quantized or tensor.is_meta:
            raise RunError(f"{path}: {name} is sparse, quantized or empty; plain tensors are expected.")
    return {name: tensor.detach() for name, tensor in value.items()}


def _check_zip(content: bytes, path: Path) -> None:
    """Refuses flipped bits, by the archive's own sums, and compressed members, which PyTorch never writes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise RunError(
                        f"{path}: {member.filename[:80]!r} in it is compressed, as PyTorch never does; refused."
                    )
            bad = archive.testzip()
    # NotImplementedError is what zipfile raises for a way of packing, or a version, that it does not know
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise RunError(f"{path}: damaged: not a whole archive ({str(error)[:80]}); fetch it again.") from None
    if bad is not None:
        raise RunError(f"{path}: damaged: {bad!r} in it does not match its check sum; fetch it again.")


def _reason(error: Exception) -> str:
    refused = re.search(r"(?:GLOBAL|global)\s+['`\"]?(\w+(?:\.\w+)+|\w+ \w+)", str(error))
    return f"it asks for {refused[1]}" if refused else "it holds something else or is cut"
