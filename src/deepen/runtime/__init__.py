"""Answers from an exported file alone: nothing here, and nothing it imports, imports torch.

>>> from deepen.runtime import load
>>> program = load("photos.onnx")  # doctest: +SKIP
>>> list(program.predict("cat.jpg"))  # doctest: +SKIP
"""

from __future__ import annotations

from deepen.runtime.program import Program, load

__all__ = ["Program", "load"]
