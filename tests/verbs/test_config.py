"""Options from a file: what is wrong with one is said with the file's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepen.core.errors import OptionError
from deepen.verbs.options import resolved

TASK = "image-classification"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": "resnet81"}, "model resnet81: no such model; did you mean resnet"),
        ({"model": "tabm"}, "model tabm: this network is not an image classifier"),
        ({"epochs": -3}, "epochs"),
        ({"epoch": 3}, "epoch: no such option; did you mean epochs?"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(content: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    path.write_text(json.dumps(content))
    with pytest.raises(OptionError) as caught:
        resolved(TASK, {}, path)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)


def test_a_name_given_beside_the_file_wins(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    path.write_text(json.dumps({"model": "resnet81", "epochs": 3}))
    assert resolved(TASK, {"model": "lenet"}, path).task.model == "lenet"
