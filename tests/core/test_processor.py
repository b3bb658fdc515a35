"""Processors that cut sums of 8-bit products are told from those that do not."""

from __future__ import annotations

import builtins
import io
import platform

import pytest

from deepen.core import processor

MILAN = "processor\t: 0\nmodel name\t: AMD EPYC 7763\nflags\t\t: fpu sse2 avx2 fma\n\nprocessor\t: 1\nflags\t: none\n"
GENOA = "flags\t\t: fpu avx2 avx512f avx512_vnni\n"
ALDER = "flags\t\t: fpu avx2 avx_vnni\n"


@pytest.mark.parametrize(
    ("machine", "told", "right"),
    [
        ("x86_64", MILAN, False),
        ("x86_64", GENOA, True),
        ("AMD64", ALDER, True),
        ("AMD64", None, False),  # nobody says
        ("aarch64", "Features\t: fp asimd\n", True),
        ("arm64", None, True),
    ],
)
def test_who_adds_products_without_cutting_them(monkeypatch, machine, told, right):
    _says(monkeypatch, machine, told)
    assert processor.adds_whole_products() is right


def test_the_name_is_the_first_processors(monkeypatch):
    _says(monkeypatch, "x86_64", MILAN)
    assert processor.name() == "AMD EPYC 7763"
    _says(monkeypatch, "x86_64", None)
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert processor.name() == "unknown"


def _says(monkeypatch, machine, told):
    def opened(*given, **named):
        if told is None:
            raise FileNotFoundError(given[0])
        return io.StringIO(told)

    processor.adds_whole_products.cache_clear()
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(builtins, "open", opened)


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    processor.adds_whole_products.cache_clear()
