"""Names that suggest groups, and names that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepen.core.errors import DataError
from deepen.data.dataset import Schema
from deepen.data.name_groups import NAME_PREFIX, prefix
from deepen.data.read import ReadOptions, read
from deepen.data.split import split
from tests.faults.label_cases import people
from tests.faults.pictures import digits

SCHEMA = Schema(("mnist_idx", "image_folder"), ("image",), "label")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("anna_01.jpg", "anna"),
        ("deep/down/anna-b 7.png", "anna-b"),
        ("s07-3.png", "s07"),
        ("subject12.png", "subject"),
        ("0001.png", None),
        ("IMG_0001.JPG", None),
        ("train 12.png", None),
        ("IMG_20300102_0304.jpg", None),
        ("anna.jpg", None),
    ],
)
def test_the_prefix_is_what_stands_before_the_last_number(name: str, wanted: str | None) -> None:
    assert prefix(name) == wanted


def test_grouping_by_prefix_keeps_each_group_on_one_side(tmp_path: Path) -> None:
    dataset = read(people(tmp_path), SCHEMA, ReadOptions(group=NAME_PREFIX))
    tables = split(dataset, Schema(("image_folder",), ("image",), "label", NAME_PREFIX), seed=0, faults=[]).tables
    groups = [set(table.column(NAME_PREFIX).to_pylist()) for table in tables.values()]
    assert len(set.union(*groups)) == 8 == sum(map(len, groups)) and all(groups)


def test_arrays_have_no_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--group name-prefix: there is no such column"):
        read(digits(tmp_path / "digits"), SCHEMA, ReadOptions(group=NAME_PREFIX))
