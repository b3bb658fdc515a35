"""Every planted fault is found, said and refused as the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepen.data.dataset import Schema
from deepen.data.read import read
from tests.faults.cases import CASES
from tests.faults.harness import Case, assert_promises

SCHEMA = Schema(("mnist_idx", "cifar_binary", "npz", "image_manifest", "image_folder"), ("image",), "label")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_promises(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPEN_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    assert_promises(case, folder)


@pytest.mark.parametrize("case", [case for case in CASES if case.twin], ids=lambda case: case.id)
def test_the_same_table_as_the_clean_twin(case: Case, tmp_path: Path) -> None:
    tables = []
    for name, build in (("broken", case.build), ("clean", case.twin)):
        assert build is not None
        (tmp_path / name).mkdir()
        dataset = read(build(tmp_path / name), SCHEMA)
        tables.append({split: sorted(rows(table)) for split, table in dataset.tables.items()})
    assert tables[0] == tables[1]


def test_no_case_stands_twice() -> None:
    names = [case.id for case in CASES]
    assert len(set(names)) == len(names)


def rows(table) -> list[tuple[str, str]]:
    return list(zip(table.column("key").to_pylist(), table.column("label").to_pylist(), strict=True))
