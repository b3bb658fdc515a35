"""The engines that run exported files: what they may not bring along."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_openvino_comes_without_what_could_report_its_use() -> None:
    pytest.importorskip("openvino")
    words = "; ".join(
        (
            "import sys",
            "from deepen.runtime import engines",
            "engines._openvino().Core()",
            "print([m for m in sys.modules if m.startswith('openvino_telemetry') and sys.modules[m] is not None])",
        )
    )
    found = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
