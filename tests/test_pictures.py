"""The commands that make the pictures of `docs/` run, and between them they show every method that the code knows."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import attention_pictures, craft_images, craft_pictures, craft_regularization
from deepen.cli.main import main
from deepen.engine import optim_kinds, schedule
from deepen.engine.options import FitOptions
from deepen.models import mlp, wren
from deepen.tasks import image_classification

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHOWN = DOCS / "pictures"
GRAPH = "network-lenet.svg"
NO_REGULARIZERS = (
    "trunk_lr",
    "initialization_value",
)  # other numbers that are off unless they are given, and pretrain_*
OF_TEXTS = {"--word-dropout"}  # the pictures are of digits


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every picture, drawn after next to no training."""
    folder = tmp_path_factory.mktemp("pictures")
    craft_pictures.main(["--quick", "--out", str(folder)])
    craft_regularization.main(["--quick", "--out", str(folder)])
    craft_images.main(["--out", str(folder)])
    attention_pictures.main(["--quick", "--out", str(folder)])
    assert main(["show", "lenet", "--graph", str(folder / GRAPH)]) == 0
    return folder


def words(picture: Path) -> list[str]:
    """The texts in an SVG file."""
    root = ElementTree.parse(picture).getroot()
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def off_unless_given() -> Iterator[str]:
    """The numbers, as flags, that change what is learned and are off by default."""
    for options, prefix in (
        (FitOptions, ""),
        (image_classification.Options, ""),
        (mlp.Options, "network."),
        (wren.Options, "network."),
    ):
        for field in dataclasses.fields(options):
            is_off = field.type in ("float", "float | None") and not field.default
            if is_off and field.name not in NO_REGULARIZERS and not field.name.startswith("pretrain_"):
                yield f"--{prefix}{field.name.replace('_', '-')}"


def told_of(page: str) -> set[str]:
    """The options that head the rows of a page's tables."""
    return set(re.findall(r"^\| `(--[a-z0-9.-]+)", (DOCS / page).read_text("utf-8"), re.MULTILINE))


def test_the_commands_make_the_pictures_of_the_pages_and_no_others(quick: Path) -> None:
    linked = {
        link for page in DOCS.glob("*.md") for link in re.findall(r"\]\(pictures/([^)]+)\)", page.read_text("utf-8"))
    }
    assert linked == {path.name for path in SHOWN.iterdir()} == {path.name for path in quick.iterdir()}


@pytest.mark.parametrize("name", ["optimizers-quadratic.svg", "optimizers-rosenbrock.svg", "optimizers-digits.svg"])
def test_every_optimizer_is_drawn_and_sgd_three_times(name: str, quick: Path) -> None:
    for folder in (quick, SHOWN):
        found = set(words(folder / name))
        assert {kind for kind in optim_kinds.READS if kind != "sgd"} <= found
        assert {"sgd, no momentum", "sgd, momentum", "sgd, Nesterov"} <= found


def test_every_schedule_is_drawn(quick: Path) -> None:
    for folder in (quick, SHOWN):
        assert set(schedule.READS) <= set(words(folder / "schedules.svg"))


def test_every_regularizer_is_drawn_and_told_of(quick: Path) -> None:
    known = set(off_unless_given())
    assert len(known) > 10
    told = told_of("regularization.md")
    assert known <= told
    for folder in (quick, SHOWN):
        names = [*craft_pictures.PICTURES, *craft_regularization.PICTURES]
        drawn = {word for name in names for text in words(folder / name) for word in text.split()}
        assert told - OF_TEXTS <= drawn


def test_the_graph_is_what_the_command_draws(quick: Path) -> None:
    assert (SHOWN / GRAPH).read_bytes() == (quick / GRAPH).read_bytes()
