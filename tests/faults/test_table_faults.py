"""Every planted fault of tables is found, said and refused as the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.harness import Case, assert_promises
from tests.faults.table_cases import TABLE_CASES


@pytest.mark.parametrize("case", TABLE_CASES, ids=lambda case: case.id)
def test_the_promises(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPEN_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    assert_promises(case, folder)


def test_no_case_stands_twice() -> None:
    names = [case.id for case in TABLE_CASES]
    assert len(set(names)) == len(names)
