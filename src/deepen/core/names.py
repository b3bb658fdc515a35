"""What exists, found by looking: the folder is the registry, and names are read without importing anything.

`tasks/x_y.py` is the task "x-y"; a file in `models/` adds the names that are the keys of its `SIZES`. Both are read
from the source text, so listing and a misspelt name answer before torch could even be imported.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deepen.core.errors import OptionError

PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Named:
    """A task or model: its name, the module that holds it, one line about it, and the contracts it meets."""

    name: str
    module: str
    summary: str
    contracts: tuple[str, ...] = ()


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None if none is near.

    >>> nearest("restnet18", ["resnet18", "lenet"])
    'resnet18'
    """
    folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold(), sorted(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a near name exists, else the list of what there is."""
    known = sorted(known)
    near = nearest(word, known)
    if near is not None:
        return f"; did you mean {near}?"
    return f"; there is: {', '.join(known)}." if known else "."


@cache
def tasks() -> dict[str, Named]:
    """Every task by name, from the files in `tasks/`."""
    found = {}
    for path in _files("tasks"):
        name = path.stem.replace("_", "-")
        found[name] = Named(name, f"deepen.tasks.{path.stem}", _summary(ast.parse(path.read_text("utf-8"))))
    return found


@cache
def models() -> dict[str, Named]:
    """Every model by name, from the keys of `SIZES` in the files in `models/`.

    `CONTRACTS` there says which tasks' networks they are: a tuple for all of a file's names, or a dict by name.
    """
    found = {}
    for path in _files("models"):
        tree = ast.parse(path.read_text("utf-8"))
        contracts = _literal(tree, "CONTRACTS")
        for name in _size_names(tree):
            own = contracts[name] if isinstance(contracts, dict) else contracts or ()
            assert isinstance(own, tuple)
            found[name] = Named(name, f"deepen.models.{path.stem}", _summary(tree), own)
    return found


def task(name: str) -> Named:
    """The task of this name. Raises OptionError with the nearest one if there is none."""
    if name not in tasks():
        raise OptionError(f"{name!r}: no such task{did_you_mean(name, tasks())}")
    return tasks()[name]


def model(name: str, contract: str) -> Named:
    """The model of this name that meets the contract. Raises OptionError with the nearest one if there is none."""
    fitting = {known: named for known, named in models().items() if contract in named.contracts}
    if name in fitting:
        return fitting[name]
    if name in models():
        raise OptionError(
            f"--model {name}: this network is not {_article(contract)}; such are: {', '.join(sorted(fitting))}."
        )
    raise OptionError(f"--model {name}: no such model{did_you_mean(name, fitting)}")


def _files(room: str) -> list[Path]:
    return sorted(path for path in (PACKAGE / room).glob("*.py") if not path.stem.startswith("_"))


def _summary(tree: ast.Module) -> str:
    return (ast.get_docstring(tree) or "").split("\n", 1)[0].rstrip(".")


def _assigned(tree: ast.Module, name: str) -> ast.expr | None:
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node.value
    return None


def _literal(tree: ast.Module, name: str) -> object:
    value = _assigned(tree, name)
    return None if value is None else ast.literal_eval(value)


def _size_names(tree: ast.Module) -> list[str]:
    sizes = _assigned(tree, "SIZES")
    assert isinstance(sizes, ast.Dict), "a model file names its networks as the keys of a dict called SIZES"
    return [ast.literal_eval(key) for key in sizes.keys if key is not None]


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
