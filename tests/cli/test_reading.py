"""A run folder, or the sentence that says what else it is; and the options of reading data for a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepen.cli.reading import run_folder, using_groups
from deepen.core.errors import RunError
from deepen.core.options import fields_of


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    run = tmp_path / "digits-lenet"
    for folder in (run, tmp_path / "plain"):
        folder.mkdir()
    (run / "run.json").write_text("{}")
    (tmp_path / "file").write_text("")
    assert run_folder(str(run)) == str(run)
    expected = {
        "digits-lent": f"no such run folder; did you mean {run}?",
        "plain": "expected a run folder, but there is no run.json in it; `deepen train` makes one.",
        "file": "expected a run folder, but is a file; name the folder that `deepen train` printed.",
        "qqqqqqqq": "no such run folder; `deepen train` makes one and prints its path.",
        "none/deeper": "no such run folder; `deepen train` makes one and prints its path.",
    }
    for name, sentence in expected.items():
        with pytest.raises(RunError) as caught:
            run_folder(str(tmp_path / name))
        assert str(caught.value) == f"{tmp_path / name}: {sentence}"


def test_reading_has_a_target_option() -> None:
    assert "target" in fields_of(*using_groups())
