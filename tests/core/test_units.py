"""Durations and sizes, read and written."""

from __future__ import annotations

import pytest

from deepen.core import units
from deepen.core.errors import OptionError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1 h 30 m", 5400),
        ("2d", 172_800),
        ("250ms", 0.25),
        ("1m5ms", 60.005),
        (" 7s ", 7),
    ],
)
def test_durations_are_read(text, value):
    assert units.seconds(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 minutes", "-5m", "0s", "0m0s", "1h-5m", "1e3s", "10x", "nan", "5m;id"]
)
def test_what_is_no_duration_is_refused_by_its_option(text):
    with pytest.raises(OptionError, match="--patience-time: expected a duration such as 90s") as caught:
        units.seconds(text, name="--patience-time")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.97, "10 s"),
        (12.4, "12 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3599.7, "1 h 0 min"),
        (4320, "1 h 12 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations_are_written(value, text):
    assert units.duration(value) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (812, "812 bytes"),
        (1000, "1.0 kB"),
        (31_204, "31.2 kB"),
        (999_949, "999.9 kB"),
        (999_960, "1.0 MB"),
        (1_234_567, "1.2 MB"),
        (78e9, "78.0 GB"),
        (4e12, "4000.0 GB"),
    ],
)
def test_sizes_are_written(num_bytes, text):
    assert units.size(num_bytes) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((1, "image"), "1 image"),
        ((3204, "image"), "3,204 images"),
        ((2, "class", "classes"), "2 classes"),
        ((0, "row"), "0 rows"),
    ],
)
def test_plurals(given, text):
    assert units.plural(*given) == text
