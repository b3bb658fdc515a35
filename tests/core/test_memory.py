"""How much memory may still be taken."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from deepen.core import memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_it_is_no_more_than_the_machine_has() -> None:
    total = int(Path("/proc/meminfo").read_text("ascii").split()[1]) * 1024
    free = memory.available_bytes()
    assert free is not None and 0 < free < total


def test_a_container_and_a_limit_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("3000017\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_bytes() == 1_999_983
    monkeypatch.setattr(resource, "getrlimit", lambda which: (7, 7))
    assert memory.available_bytes() == 0  # more is held already
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    assert memory.available_bytes() != 1_999_983
