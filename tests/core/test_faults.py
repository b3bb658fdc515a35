"""Faults grouped, said and refused."""

from __future__ import annotations

import random

import pytest

from deepen.core.errors import DataError
from deepen.core.faults import LEVELS, Fault, grouped, printable, refuse


def cut(number):
    return Fault("sample", "image-cut", f"{number}.jpg", "image is cut.", "train", number)


def test_groups_come_worst_first_then_largest_then_by_kind():
    faults = [
        Fault("note", "litter", "", "2 files ignored."),
        cut(1),
        Fault("warning", "b", "", "x."),
        Fault("warning", "a", "", "x."),
        Fault("sample", "image-empty", "0.jpg", "image is empty."),
        cut(2),
        Fault("error", "labels", "labels.csv", "no labels."),
    ]
    expected = [
        ("error", "labels", 1),
        ("sample", "image-cut", 2),
        ("sample", "image-empty", 1),
        ("warning", "a", 1),
        ("warning", "b", 1),
        ("note", "litter", 1),
    ]
    assert [(group.level, group.kind, len(group.faults)) for group in grouped(faults)] == expected
    random.Random(3).shuffle(faults)
    assert [(group.level, group.kind, len(group.faults)) for group in grouped(faults)] == expected


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (1, "1.jpg: image is cut."),
        (2, "1.jpg: image is cut. 1 more like this: 2.jpg"),
        (3, "1.jpg: image is cut. 2 more like this: 2.jpg, 3.jpg"),
        (4, "1.jpg: image is cut. 3 more like this: 2.jpg, 3.jpg, ..."),
    ],
)
def test_a_group_says_its_first_fault_its_count_and_the_next_places(count, sentence):
    (group,) = grouped(cut(number) for number in range(1, count + 1))
    assert group.sentence() == sentence


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat 猫 é.jpg", "cat 猫 é.jpg"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("🦊", "🦊"),
    ],
)
def test_nothing_in_a_name_can_forge_a_line_or_colour_a_terminal(text, shown):
    assert printable(text) == shown
    assert Fault("error", "k", text, text).sentence() == f"{shown}: {shown}"
    assert printable(text).isprintable()


def test_a_fault_without_a_place_is_its_message():
    assert Fault("note", "k", "", "fine.").sentence() == "fine."


def test_of_faults_without_places_a_group_says_the_messages():
    faults = [Fault("warning", "column-same", "", f"column {name} is the same in all rows.") for name in "abcd"]
    faults[2] = Fault("warning", "column-same", "c.csv", "column c is the same in all rows.")
    (two,), (four,) = grouped(faults[:2]), grouped(faults)
    first, second = (fault.message for fault in faults[:2])
    assert two.sentence() == f"{first} 1 more like this: {second}"
    assert four.sentence() == f"{first} 3 more like this: {second}, c.csv, ..."


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_errors_are_refused_always_and_bad_samples_unless_skipped(level, skip_bad):
    faults = [Fault(level, "k", "x", "message.")]
    if level == "error" or (level == "sample" and not skip_bad):
        with pytest.raises(DataError, match=r"^x: message\.") as caught:
            refuse(faults, skip_bad=skip_bad)
        assert caught.value.faults == tuple(faults)
        assert ("--skip-bad" in str(caught.value)) == (level == "sample")
    else:
        refuse(faults, skip_bad=skip_bad)
    refuse([], skip_bad=skip_bad)


def test_skipping_is_not_offered_where_it_would_not_help():
    with pytest.raises(DataError) as caught:
        refuse([cut(1), Fault("error", "k", "x", "message.")], skip_bad=False)
    assert "--skip-bad" not in str(caught.value) and str(caught.value).startswith("x: message.")
