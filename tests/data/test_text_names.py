"""Which files hold data and which split each is."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.data.text_names import by_split, head_lines, may_hold_data, split_of


def files(*names: str) -> list[Path]:
    return [Path("d") / name for name in names]


def found(*names: str, **more: bool) -> tuple[dict[str, list[str]], list[Fault]]:
    faults: list[Fault] = []
    splits = by_split(files(*names), Path("d"), faults, **more)
    return {split: [file.name for file in same] for split, same in splits.items()}, faults


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train_5500.label", "train"),
        ("wnut17train.conll", "train"),
        ("emerging.dev.conll", "val"),
        ("emerging.test.annotated", "test"),
        ("en_ewt-ud-dev.noemail.conllu", "val"),
        ("SICK_trial.txt", "val"),
        ("SICK_test_annotated.txt", "test"),
        ("eng.testa", "val"),
        ("eng.testb", "test"),
        ("multinli_1.0_dev_matched.jsonl", "val"),
        ("multinli_1.0_dev_mismatched.jsonl", "test"),
        ("TREC_10.label", None),
        ("train_test_all.txt", None),
        ("contest.txt", None),
        ("mismatched.txt", None),
    ],
)
def test_the_split_of_a_name(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_splits_come_in_their_order_and_one_file_is_all() -> None:
    assert found("b.test.x", "b.dev.x", "b.train.x")[0] == {
        "train": ["b.train.x"],
        "val": ["b.dev.x"],
        "test": ["b.test.x"],
    }
    assert found("test.csv")[0] == {"all": ["test.csv"]}


def test_of_a_pair_the_other_file_is_tested_on() -> None:
    splits, faults = found("TREC_10.label", "train_5500.label", pair=True)
    assert splits == {"train": ["train_5500.label"], "test": ["TREC_10.label"]}
    assert faults[0].level == "note" and "train_5500.label" in faults[0].message
    with_other_ending, faults = found("notes.txt", "train_5500.label", pair=True)
    assert with_other_ending == {"train": ["train_5500.label"]}
    assert faults[0].kind == "split-unnamed" and faults[0].level == "warning"


def test_without_a_file_to_train_on_the_one_to_validate_is_taken_and_said() -> None:
    splits, faults = found("dev.txt", "test.txt")
    assert splits == {"train": ["dev.txt"], "test": ["test.txt"]}
    assert [(fault.level, fault.place) for fault in faults] == [("warning", "dev.txt")]


def test_parts_of_one_file_are_one_split_and_other_doubles_are_refused() -> None:
    parts = ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test.parquet")
    assert found(*parts)[0]["train"] == list(parts[:2])
    with pytest.raises(DataError, match=r"train_a.txt and train_b.txt both look like the train split"):
        found("train_a.txt", "train_b.txt", "test.txt")
    assert found("train_a.txt", "train_b.txt", "test.txt", many=True)[0]["train"] == ["train_a.txt", "train_b.txt"]
    with pytest.raises(DataError, match=r"2 files of data here \(a.txt, b.txt\)"):
        found("a.txt", "b.txt")


@pytest.mark.parametrize("name", ["README", "readme.txt", "LICENSE.txt", "classes.txt", ".DS_Store", "a.txt~", "x.md"])
def test_texts_about_the_data_are_no_data(name: str) -> None:
    assert not may_hold_data(name) and may_hold_data("a.txt") and may_hold_data("reader.txt")


def test_the_first_lines_are_looked_at_without_raising(tmp_path: Path) -> None:
    assert head_lines(tmp_path / "gone.txt") == []
    (tmp_path / "binary").write_bytes(b"ab\0cd\n")
    assert head_lines(tmp_path / "binary") == []
    (tmp_path / "wide.txt").write_text("one\n\ntwo\n", "utf-16")
    assert head_lines(tmp_path / "wide.txt") == ["one", "two"]
    (tmp_path / "cut.txt.gz").write_bytes(b"\x1f\x8b\x08\0cut")
    assert head_lines(tmp_path / "cut.txt.gz") == []
