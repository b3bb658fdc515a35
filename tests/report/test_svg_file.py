"""A file that stands alone: well-formed, every panel in it, names escaped."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from deepen.core.figures import Curves
from deepen.report import svg
from deepen.report.svg_file import document

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
