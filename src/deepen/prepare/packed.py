"""Arrays of numbers as text, for what preparing learned when it is too much for lists in JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np


def packed(array: np.ndarray) -> dict[str, Any]:
    """{"shape", "float32"}: the numbers as float32, little-endian, in base64; JSON-able, 5.3 bytes a number."""
    data = np.asarray(array, dtype="<f4")
    return {"shape": list(data.shape), "float32": base64.b64encode(data.tobytes()).decode("ascii")}


def unpacked(state: Mapping[str, Any]) -> np.ndarray:
    """The array, float32. Raises ValueError, as numpy does, if the text is not that of its shape."""
    data = np.frombuffer(base64.b64decode(state["float32"], validate=True), dtype="<f4")
    return data.reshape(state["shape"]).astype(np.float32)
