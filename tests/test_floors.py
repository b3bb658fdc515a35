"""Every import, those inside functions too, leads down the staircase."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "deepen"
FLOORS = {
    "core": 0,
    **dict.fromkeys(("ops", "metrics", "parallel", "bundle"), 1),
    **dict.fromkeys(("nn", "prepare", "data"), 2),
    **dict.fromkeys(("models", "runtime"), 3),
    "engine": 4,
    **dict.fromkeys(("explain", "compress"), 5),
    "tasks": 6,
    **dict.fromkeys(("report", "export", "serve"), 7),
    "verbs": 8,
    "cli": 9,
}
LONELY = ("tasks", "models")  # inside these, no file imports a sibling
WITHOUT_TORCH = ("core", "runtime")
FILES = sorted(SOURCE.rglob("*.py"))


def imports(tree: ast.AST, module: str) -> list[tuple[int, str]]:
    """(line, full name) of everything imported anywhere in a file, relative imports resolved."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            whole = ".".join([*above, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{whole}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and _name(node.func).endswith("import_module") and node.args:
            found += [(node.lineno, _text(node.args[0]))]
    return found


def _name(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def _text(node: ast.expr) -> str:
    """A name that is put together while running, as far as its beginning is written down."""
    if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
        return str(node.values[0].value)
    return str(node.value) if isinstance(node, ast.Constant) else ""


def faults(path: Path, text: str) -> list[str]:
    place = path.relative_to(SOURCE)
    room = place.parts[0] if len(place.parts) > 1 else ""
    module = ".".join(["deepen", *place.with_suffix("").parts])
    found = []
    for line, name in imports(ast.parse(text), module):
        parts = name.split(".")
        if room in WITHOUT_TORCH and parts[0] in ("torch", "safetensors"):
            found.append(f"{place}:{line} imports {name}; {room} imports without torch")
        if parts[0] != "deepen" or len(parts) < 2 or parts[1] not in FLOORS or not room:
            continue
        other = parts[1]
        if other == room and room in LONELY and len(parts) > 2 and parts[2] != path.stem:
            found.append(f"{place}:{line} imports its sibling {name}")
        if other != room and FLOORS[other] >= FLOORS[room]:
            found.append(f"{place}:{line} imports {name}, from floor {FLOORS[other]} to {FLOORS[room]}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_lower_floors(path):
    assert not faults(path, path.read_text("utf-8"))


def test_every_room_has_a_floor():
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms <= set(FLOORS), rooms - set(FLOORS)


@pytest.mark.parametrize(
    ("place", "text", "words"),
    [
        ("ops/x.py", "def f():\n    from deepen.engine.fit import fit", "floor 4 to 1"),
        ("ops/x.py", "import deepen.metrics.rank", "floor 1 to 1"),
        ("data/x.py", "from deepen import prepare", "floor 2 to 2"),
        ("data/x.py", "from ..prepare import image", "floor 2 to 2"),
        ("tasks/x.py", "from deepen.tasks.y import Options", "its sibling"),
        ("models/x.py", "from . import resnet", "its sibling"),
        ("core/x.py", "import torch.nn", "without torch"),
        ("engine/x.py", "import importlib\nimportlib.import_module(f'deepen.tasks.{n}')", "floor 6 to 4"),
    ],
)
def test_planted_imports_are_found(place, text, words):
    (fault,) = faults(SOURCE / place, text)
    assert words in fault


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("tasks/x.py", "from deepen.engine.task import Tiny\nfrom deepen.core import rng"),
        ("bundle/x.py", "from deepen.bundle import header\nimport torch"),
        ("data/x.py", "import importlib\nimportlib.import_module(f'deepen.data.readers.{n}')"),
    ],
)
def test_allowed_imports_pass(place, text):
    assert not faults(SOURCE / place, text)
