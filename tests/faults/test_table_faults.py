"""Every planted fault of tables is found, said and refused as the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.harness import Case, assert_promises, deepen
from tests.faults.table_cases import CLASSES, TABLE_CASES, TARGET, rows, text


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


@pytest.mark.parametrize(("row", "column", "cell"), [(8, 0, "inf"), (8, 3, ""), (8, 1, "Os\0lo")])
def test_skipping_equals_deleting(
    row: int, column: int, cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fitting = (*TARGET, "--epochs", "1", "--network.members", "2", "--network.width", "5")
    with_bad, without = rows(), rows()
    with_bad[row][column] = cell
    del without[row]
    weights = []
    for name, body, more in (("one", with_bad, ("--skip-bad",)), ("two", without, ())):
        (tmp_path / f"{name}.csv").write_text(text(body))
        done = deepen("train", CLASSES, f"{name}.csv", "--out", name, *fitting, *more)
        assert done.code == 0, done.err
        weights.append((tmp_path / name / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_predictions_need_no_target_and_other_columns_are_found_by_name(tmp_path: Path) -> None:
    """T29, T30."""
    (tmp_path / "flats.csv").write_text(text(rows()))
    trained = deepen("train", CLASSES, tmp_path / "flats.csv", *TARGET, "--out", tmp_path / "run", "--epochs", "1")
    assert trained.code == 0, trained.err
    new = [["3", "Kyiv", "70.5"], ["2", "Oslo", "30"]]
    (tmp_path / "new.csv").write_text(text(new, ["rooms", "city", "area"]))
    found = deepen("predict", tmp_path / "run", tmp_path / "new.csv", "--json")
    assert found.code == 0, found.err
    answers = found.found["answers"]
    assert [answer["source"] for answer in answers] == ["new.csv, row 2", "new.csv, row 3"]
    assert "'Kyiv'" in found.err and "unknown to training" in found.err
    (tmp_path / "less.csv").write_text(text([["3", "Oslo"]], ["rooms", "City"]))
    refused = deepen("predict", tmp_path / "run", tmp_path / "less.csv", "--json")
    assert refused.code == 2 and "less.csv: column 'area'" in refused.err and "missing" in refused.err
