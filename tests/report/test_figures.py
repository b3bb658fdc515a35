from __future__ import annotations

from html.parser import HTMLParser

import pytest

from deepen.core.figures import Bars, Curves, Figure, Gallery, MarkedText, Matrix, Points, Rows, Sample
from deepen.report.figures import draw, matrix, table
from tests.report.contents import HOSTILE, figures, png

ALLOWED = {
    *("figure", "figcaption", "h3", "p", "table", "caption", "thead", "tbody", "tr", "th", "td", "bdi", "span", "div"),
    *("ul", "li", "img", "blockquote", "svg", "line", "text", "polyline", "circle", "title", "rect", "g"),
}


class Tags(HTMLParser):
    """Every tag and attribute of a piece of HTML, and whether tags are closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("figure", figures(HOSTILE), ids=lambda figure: type(figure).__name__)
def test_no_name_becomes_markup(figure: Figure):
    found = Tags(draw(figure))
    assert found.tags <= ALLOWED
    assert found.open == []
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("href", "style", "srcset")]
    assert all(
        value and value.startswith("data:image/png;base64,") for name, value in found.attributes if name == "src"
    )


def test_what_is_no_png_is_never_shown_as_a_picture():
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    assert "<img" not in draw(Gallery("t", [Sample(["x"], png=svg)]))


def test_pictures_have_their_caption_as_words():
    drawn = draw(Gallery("t", [Sample(["truth: 3", 'answer: "8"'], png=png())]))
    assert 'alt="truth: 3, answer: &#34;8&#34;"' in drawn
    assert 'class="pixels"' in drawn
    assert 'class="pixels"' not in draw(Gallery("t", [Sample(["x"], png=png(65, 65))]))


def test_numbers_stand_right_and_whole_columns_have_no_decimals():
    drawn = table(Rows("t", ["name", "share", "count", "epoch"], [["a", 0.5, 1234, 1.0], ["b", "\N{EN DASH}", 7, 2.0]]))
    assert '<td class="number">0.5000</td><td class="number">1,234</td><td class="number">1</td>' in drawn
    assert '<th scope="row"><bdi>a</bdi></th>' in drawn
    assert "<caption>t</caption>" in drawn


def test_an_empty_table_is_a_table():
    assert "<tbody></tbody>" in table(Rows("t", ["a", "b"], []))


def test_a_matrix_names_rows_and_columns_and_marks_right_and_wrong():
    drawn = matrix(Matrix("t", ["cat", "dog"], ["cat", "dog"], [[9, 1], [0, 10]]))
    assert drawn.count('scope="row"') == 2 == drawn.count('scope="col"')
    assert '<td class="h8">9</td><td class="m3">1</td>' in drawn
    assert '<td class="zero">0</td><td class="h8">10</td>' in drawn


def test_large_matrices_are_heat_maps():
    names = [str(i) for i in range(23)]
    figure = Matrix("t", names, names, [[1.0] * 23] * 23)
    assert 'class="heat"' in draw(figure)
    assert 'class="heat"' not in draw(Matrix("t", names[:20], names[:20], [[1.0] * 20] * 20))


def test_bars_start_at_zero_to_both_sides():
    drawn = draw(Bars("t", ["up", "down"], [3.0, -1.0], "gain"))
    assert '<rect x="25.00%" width="75.00%"' in drawn
    assert '<rect x="0.00%" width="25.00%"' in drawn


def test_a_legend_only_where_there_are_two_lines():
    assert "legend" not in draw(Curves("t", "x", "y", {"a": [(0, 1)]}))
    assert draw(Curves("t", "x", "y", {"a": [(0, 1)], "b": [(0, 2)]})).count('class="swatch"') == 2


def test_groups_of_points_have_a_legend_and_plain_points_none():
    grouped = draw(Points("t", "x", "y", [(0, 1), (1, 2)], groups=["<b>", "a"]))
    assert grouped.count('class="mark"') == 2 and "&lt;b&gt;" in grouped
    assert Tags(grouped).tags <= ALLOWED
    assert "legend" not in draw(Points("t", "x", "y", [(0, 1)]))


def test_parts_of_a_text_are_coloured_by_their_weights_and_say_them():
    parts = ["not", "<b>good</b>", "\n", "at", "all", ""]
    drawn = draw(MarkedText("t", parts, [-1.0, 0.81, 0.2, 0.1, float("nan"), 0.3]))
    assert '<span class="h5" title="-1.0000"><bdi>not</bdi></span> <span class="m4" title="0.8100">' in drawn
    assert "<bdi>&lt;b&gt;good&lt;/b&gt;</bdi>" in drawn and 'class="m1" title="0.2000"><bdi>\\n</bdi>' in drawn
    assert drawn.count('class="none"') == 2 and "<bdi>\xa0</bdi>" in drawn
    together = draw(MarkedText("t", list("你好"), [1.0, -0.5], joiner=""))
    assert "</span><span" in together and 'class="h2"' in together and 'class="wide markedtext"' in together
