"""Files whose names are classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepen.data.text_class_files import classes_of


def found(names: str) -> dict[str, dict[str, str]]:
    splits = classes_of([Path(name) for name in names.split()])
    return {split: {label: file.name for label, file in files.items()} for split, files in splits.items()}


def test_what_differs_in_the_names_is_the_class() -> None:
    assert found("rt-polarity.pos rt-polarity.neg") == {"all": {"pos": "rt-polarity.pos", "neg": "rt-polarity.neg"}}
    assert set(found("pos.txt neg.txt")["all"]) == {"pos", "neg"}
    assert set(found("quote.tok.gt9.5000 plot.tok.gt9.5000")["all"]) == {"quote", "plot"}


def test_splits_are_no_part_of_it() -> None:
    splits = found("train.pos train.neg test.pos test.neg")
    assert list(splits) == ["train", "test"]
    assert splits["test"] == {"pos": "test.pos", "neg": "test.neg"}


@pytest.mark.parametrize(
    "names",
    [
        "a.txt",
        "dev.txt test.txt",
        "wiki.train.tokens wiki.test.tokens",
        "train_5500.label TREC_10.label",
        "pos.txt train.txt",
    ],
)
def test_other_names_are_no_classes(names: str) -> None:
    assert found(names) == {}
