"""Stand-ins for the verbs, so that the command line is tested without training anything."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from deepen.core import names
from deepen.core.names import Named


@dataclass(frozen=True)
class TaskOptions:
    """The task"""

    model: str = field(default="lenet", metadata={"help": "the network"})
    augment: bool = field(default=True, metadata={"help": "vary the images"})


@dataclass(frozen=True)
class FitOptions:
    """Training"""

    epochs: int | None = field(default=None, metadata={"help": "passes over the data", "least": 1})
    batch_size: int = field(default=128, metadata={"help": "samples per update", "least": 1})


@dataclass(frozen=True)
class NetworkOptions:
    """The network's own"""

    width: int = field(default=7, metadata={"help": "maps of a layer", "least": 1})


@dataclass(frozen=True)
class Network:
    """Network"""

    network: NetworkOptions = field(default=NetworkOptions())


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Puts a verb in place: `calls = stub("train", result)`; the list holds (arguments, keywords) of its calls."""

    def put(verb: str, result: Any) -> list[Any]:
        calls: list[Any] = []

        def function(*arguments: Any, **keywords: Any) -> Any:
            calls.append((arguments, keywords))
            if isinstance(result, BaseException):
                raise result
            return result(*arguments, **keywords) if callable(result) else result

        module = ModuleType(f"deepen.verbs.{verb}")
        setattr(module, verb, function)
        monkeypatch.setitem(sys.modules, f"deepen.verbs.{verb}", module)
        return calls

    return put


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> str:
    """A task "image-classification" with the two groups of options above and the recipe {"batch_size": 64}."""
    options = ModuleType("deepen.verbs.options")
    options.groups = lambda name, model: (TaskOptions, FitOptions)  # type: ignore[attr-defined]
    options.network_group = lambda contract, model: Network  # type: ignore[attr-defined]
    options.task_module = lambda name: SimpleNamespace(Options=TaskOptions)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepen.verbs.options", options)
    network = ModuleType("deepen.models.stand_in")
    network.RECIPE = {"batch_size": 64}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepen.models.stand_in", network)
    named = Named("image-classification", "deepen.tasks.image_classification", "One class per image")
    monkeypatch.setattr(names, "tasks", lambda: {named.name: named})
    models = {
        name: Named(name, "deepen.models.stand_in", "A network", ("image classifier",)) for name in ("lenet", "mlp")
    }
    monkeypatch.setattr(names, "models", lambda: models)
    return named.name
