"""A file that stands alone: well-formed, every panel in it, names escaped."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from deepen.core.figures import Curves
from deepen.report import svg
from deepen.report.svg_file import GAP, LEGEND_NAME, document

WIDE = 6.5  # pixels of a letter of 11 in DejaVu Sans, the widest of the usual fonts
SPACE = "{http://www.w3.org/2000/svg}"


def figure(title, names):
    return Curves(title, "x", "y", {name: [(0.0, 1.0), (1.0, 2.0), (2.0, 0.5)] for name in names})


def test_every_panel_has_its_title_lines_and_legend():
    figures = [figure("one", ["a"]), figure("two", ["a", "b", "c", "d"]), figure("three", ["a", "b"])]
    root = ElementTree.fromstring(document(figures, columns=2))
    titles = [e.text for e in root.iter(f"{SPACE}text") if e.get("class") == "title"]
    assert titles == ["one", "two", "three"]
    assert sum("line" in e.get("class", "").split() for e in root.iter(f"{SPACE}polyline")) == 7
    inner = [e for e in root.iter(f"{SPACE}svg") if e is not root]
    assert [(e.get("width"), e.get("height")) for e in inner] == [(str(svg.WIDTH), str(svg.HEIGHT))] * 3
    legend = [e.text for e in root.iter(f"{SPACE}text") if e.text in "abcd"]
    assert sorted(legend) == sorted("abcd" + "ab")
    assert float(root.get("height")) > 2 * svg.HEIGHT


def test_names_are_escaped():
    text = document([figure("<script>&", ["<b>", "c&d"])])
    ElementTree.fromstring(text)
    assert "<script>" not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize("letters", [7, 13, 14, 22, 23, 49])
def test_a_legend_has_room_for_its_longest_name(letters):
    """Names stand whole, and none runs into the one beside it."""
    names = ["a" * letters, "b" * letters, "c" * letters]
    root = ElementTree.fromstring(document([figure("one", names)]))
    entries = [e for e in root.iter(f"{SPACE}g") if (e.findtext(f"{SPACE}text") or "") in names]
    places = [tuple(float(n) for n in e.get("transform")[10:-1].split()) for e in entries]
    assert len(set(places)) == len(names)
    for x, y in places:
        right = min([other for other, level in places if level == y and other > x], default=svg.WIDTH + GAP)
        assert x + LEGEND_NAME + letters * WIDE <= right
