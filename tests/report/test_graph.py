"""The picture of a network: well-formed, escaped, the same twice, with boxes that do not touch."""

from __future__ import annotations

import itertools
import random
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.models import googlenet, lenet, resnet
from deepen.nn.graph import Graph, Node, traced
from deepen.nn.shapes import ImageShape
from deepen.report import graph as pictures

SVG = "{http://www.w3.org/2000/svg}"


def graph_of(module, name, side=64):
    torch.manual_seed(0)
    return traced(module.build(name, ImageShape(3, side, side), 7), [torch.zeros(1, 3, side, side)])


GRAPHS = {"lenet": (lenet, 32), "resnet18": (resnet, 64), "googlenet": (googlenet, 64)}


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request):
    module, side = GRAPHS[request.param]
    return graph_of(module, request.param, side)


def boxes(element, x=0.0, y=0.0):
    """(left, top, right, bottom) of every box of a node, in the picture's own coordinates."""
    moved = re.fullmatch(r"translate\((\S+) (\S+)\)", element.get("transform", ""))
    if moved:
        x, y = x + float(moved[1]), y + float(moved[2])
    found = []
    for child in element:
        if child.tag == f"{SVG}rect" and not child.get("class", "").startswith("block"):
            left, top = x + float(child.get("x")), y + float(child.get("y"))
            found.append((left, top, left + float(child.get("width")), top + float(child.get("height"))))
        found += boxes(child, x, y)
    return found


def test_it_is_xml_of_its_stated_size_and_the_same_twice(graph):
    text = pictures.svg(graph, title="a network")
    root = ElementTree.fromstring(text)
    assert text == pictures.svg(graph, title="a network")
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert "prefers-color-scheme: dark" in text and "<script" not in text and "http" not in text.split(">", 1)[1]


def test_boxes_stand_inside_the_picture_and_apart(graph):
    root = ElementTree.fromstring(pictures.svg(graph, title="a network"))
    found = boxes(root)
    assert len(found) > 10
    width, height = float(root.get("width")), float(root.get("height"))
    assert all(a >= 0 and b >= 0 and c <= width and d <= height for a, b, c, d in found)
    for one, other in itertools.combinations(found, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] + 0.2 or other[3] <= one[1] + 0.2
        assert apart, (one, other)


def test_a_residual_connection_has_a_lane_of_its_own_colour():
    text = pictures.svg(graph_of(resnet, "resnet18"), title="x")
    assert text.count('class="skip"') >= 8
    assert 'class="skip"' not in pictures.svg(graph_of(lenet, "lenet", 32), title="x")


def test_equal_blocks_are_drawn_once_with_their_number():
    text = pictures.svg(graph_of(resnet, "resnet34"), title="x")
    assert re.findall(r"× (\d+)", text)[:2] and "× 3" in text and "× 5" in text


def test_names_are_escaped(tmp_path):
    net = nn.Sequential()
    net.add_module("<b>&", nn.Linear(3, 2))
    graph = traced(net, [torch.zeros(1, 3)])
    for name in ("x.svg", "x.html"):
        text = pictures.write(tmp_path / name, graph, title="<i>t", note="<u>n").read_text("utf-8")
        assert "<b>" not in text and "<i>" not in text and "<u>" not in text and "&lt;i&gt;t" in text
    assert "Content-Security-Policy" in text


def test_another_kind_of_file_is_refused():
    with pytest.raises(OptionError, match=r"--graph net\.png: expected a file name that ends in \.svg or \.html"):
        pictures.write("net.png", Graph((Node("", "input", "", (3,), 0, 0, ()),), ()), title="x")


def test_places_in_a_row_are_the_nearest_that_keep_order_and_distance():
    """Against every way to cut the row into groups that touch: the cheapest one that is in order."""
    draw = random.Random(7)
    for _ in range(50):
        row = [pictures._Place(draw.uniform(5, 40), 0, 0, 0, index, 0) for index in range(5)]
        wanted = [draw.uniform(-60, 60) for _ in row]
        pictures._set_apart(row, wanted)
        ours = sum((place.x - want) ** 2 for place, want in zip(row, wanted, strict=True))
        offsets = [0.0]
        for a, b in itertools.pairwise(row):
            offsets.append(offsets[-1] + (a.width + b.width) / 2 + pictures.COLUMN_GAP)
        best = float("inf")
        for cuts in itertools.product((False, True), repeat=4):
            groups = [[0]]
            for index, cut in enumerate(cuts, start=1):
                groups = [*groups, [index]] if cut else [*groups[:-1], [*groups[-1], index]]
            means = [sum(wanted[i] - offsets[i] for i in group) / len(group) for group in groups]
            if means == sorted(means):
                flat = [mean for mean, group in zip(means, groups, strict=True) for _ in group]
                cost = sum((m + o - want) ** 2 for m, o, want in zip(flat, offsets, wanted, strict=True))
                best = min(best, cost)
        assert abs(ours - best) < 1e-6 * max(1.0, best)
        assert all(
            b.x - a.x >= (a.width + b.width) / 2 + pictures.COLUMN_GAP - 1e-6 for a, b in itertools.pairwise(row)
        )
