"""What exists, found by looking, without importing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deepen.core import names
from deepen.core.errors import OptionError

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("restnet18", ["resnet18", "resnet34", "lenet"], "resnet18"),
        ("RESNET18", ["resnet18", "lenet"], "resnet18"),
        ("resnet-18", ["resnet18", "lenet"], "resnet18"),
        ("image-clasification", ["image-classification", "tabular-classification"], "image-classification"),
        ("ctas", ["cats", "dogs"], "cats"),
        ("zebra", ["cats", "dogs"], None),
        ("x", [], None),
        ("", ["cats"], None),
        ("lr", ["lr"], "lr"),
    ],
)
def test_the_nearest_word(word, known, near):
    assert names.nearest(word, known) == near


def test_the_nearest_does_not_depend_on_the_order():
    known = ["resnet18", "resnet50", "resnet10", "renset1"]
    assert len({names.nearest("resnet1", order) for order in (known, known[::-1], sorted(known))}) == 1


def test_what_is_said_where_a_word_is_unknown():
    assert names.did_you_mean("restnet18", ["resnet18"]) == "; did you mean resnet18?"
    assert names.did_you_mean("zebra", ["dogs", "cats"]) == "; there is: cats, dogs."
    assert names.did_you_mean("zebra", []) == "."


def test_every_task_and_model_has_a_file_and_a_line_about_it():
    for kind, found in (("tasks", names.tasks()), ("models", names.models())):
        assert found
        for name, named in found.items():
            assert named.name == name and named.summary and "\n" not in named.summary
            assert (SOURCE / (named.module.replace(".", "/") + ".py")).is_file() and f".{kind}." in named.module
    assert all(named.contracts for named in names.models().values())


def test_listing_imports_neither_torch_nor_the_files_listed():
    code = (
        "import sys; from deepen.core import names; names.tasks(); names.models(); "
        "sys.exit('torch' in sys.modules or any('deepen.models.' in m or 'deepen.tasks.' in m for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}).returncode == 0


def test_a_misspelt_task_or_model_is_refused_with_the_nearest():
    task = sorted(names.tasks())[0]
    assert names.task(task).name == task
    with pytest.raises(OptionError, match=f"no such task; did you mean {task}"):
        names.task(task[:-2])
    with pytest.raises(OptionError, match=r"'os\.system': no such task"):
        names.task("os.system")


def test_a_model_must_meet_the_contract():
    model = next(iter(names.models().values()))
    assert names.model(model.name, model.contracts[0]) == model
    with pytest.raises(OptionError, match=rf"--model {model.name}: this network is not a weather forecast"):
        names.model(model.name, "weather forecast")
    with pytest.raises(OptionError, match=rf"--model {model.name}x: no such model; did you mean {model.name}"):
        names.model(f"{model.name}x", model.contracts[0])
