"""The explanation's folder and page."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from deepen.core.errors import FileError
from deepen.core.figures import Bars, Curves, Gallery, Sample
from deepen.report.explanation import (
    Explained,
    ExplanationContent,
    files_of,
    is_explanation,
    render,
    standalone,
    write_explanation,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR\x00\x00\x00\x07\x00\x00\x00\x05\x08\x02"
NASTY = '<script>alert("1")</script>'


def content(**changes):
    curve = Curves(
        "Partial dependence on a/b", "a/b", "probability", {"yes": [(0, 1), (1, 2)]}, behind=[[(0, 0), (1, 5)]]
    )
    fields = {
        "title": f"run {NASTY}",
        "task": "image-classification",
        "model": "lenet",
        "what": "Over 5 samples.",
        "methods": {"grad-cam": "where the last maps speak"},
        "notes": [f"see {NASTY}"],
        "figures": [curve, Gallery("Filters of conv1", [Sample(["conv1"], PNG)])],
        "samples": [
            Explained(
                NASTY, Sample(["truth: x"], PNG), [Sample(["Grad-CAM of x"], PNG), Bars("Why", ["a"], [1.0], "share")]
            ),
            Explained(
                "b.png", Sample(["truth: y"], PNG), [Sample(["Grad-CAM of x"], PNG), Sample(["Grad-CAM of x"], PNG)]
            ),
        ],
        "numbers": {"split": "test"},
        "values": b"tensors",
    }
    return ExplanationContent(**{**fields, **changes})


def test_the_page_escapes_loads_nothing_and_shows_everything():
    page = render(content())
    assert NASTY not in page and page.count("&lt;script&gt;") >= 4
    assert "http" not in page.split("</style>")[1] and "<script" not in page
    assert page.count('<img src="data:image/png;base64,') == 6 and page.count('class="behind"') == 1
    assert "where the last maps speak" in page and page == render(content())
    for tag in ("section", "div", "figure", "ul", "dl", "table", "main"):
        assert len(re.findall(rf"<{tag}\b", page)) == page.count(f"</{tag}>"), tag


def test_the_style_is_allowed_by_its_own_hash():
    import base64
    import hashlib

    page = render(content())
    style = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.replace("&#39;", "'")


def test_every_picture_and_chart_is_a_file_with_a_name_of_its_own():
    found = files_of(content())
    assert sorted(found) == [
        "001-grad-cam-of-x.png",
        "001-sample.png",
        "002-grad-cam-of-x-2.png",
        "002-grad-cam-of-x.png",
        "002-sample.png",
        "filters-of-conv1.png",
        "partial-dependence-on-a-b.svg",
    ]
    assert all(value == PNG for name, value in found.items() if name.endswith(".png"))


def test_a_chart_alone_is_a_whole_svg_file():
    curve = content().figures[0]
    root = ElementTree.fromstring(standalone(curve))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    lines = [each.get("class") for each in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert lines == ["behind", "line s0"]
    assert "prefers-color-scheme" in root[0].text


def test_the_folder_is_written_whole_and_over_one_of_ours_alone(tmp_path):
    place = tmp_path / "explanation"
    page = write_explanation(place, content())
    assert page.read_text() == render(content()) and is_explanation(place)
    assert json.loads((place / "explanation.json").read_text()) == {"format": "deepen explanation 1", "split": "test"}
    assert (place / "values.safetensors").read_bytes() == b"tensors" and len(list((place / "pictures").iterdir())) == 7
    write_explanation(place, content(samples=(), figures=(), values=b""))
    assert sorted(each.name for each in place.iterdir()) == ["explanation.html", "explanation.json"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").write_text("x")
    with pytest.raises(FileError, match=r"photo\.jpg"):
        write_explanation(tmp_path / "other", content())
