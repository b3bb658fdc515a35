"""K09, K30, S30: the program as a process of its own, in an environment that lacks or plants things."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import deepen as package

SOURCE = str(Path(package.__file__).parents[1])
WORDS = ("train", "tabular-classification", "tiny", "--steps", "30", "--out", "run")
MODULES = ("json.py", "torch.py", "random.py", "numpy.py", "resource.py", "tiny.py", "pickle.py")


def started(folder: Path, script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What a shell line makes of `$DEEPEN`, the program with modules found nowhere but where it was installed."""
    program = f"{sys.executable} -P -m deepen"
    return subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=folder,
        env={"PYTHONPATH": SOURCE, "DEEPEN": program, "DEEPEN_CACHE": "off", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def status(folder: Path) -> str:
    return json.loads((folder / "run" / "run.json").read_text("utf-8"))["status"]


def test_nothing_is_needed_from_the_environment(tmp_path: Path) -> None:
    """K30, S30: no HOME, TERM, PATH, stdin or UTF-8, 20 columns, and modules of ours planted beside the data."""
    for name in MODULES:
        (tmp_path / name).write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    words = [word if word != "tiny" else "täble.csv" for word in WORDS]
    rows = [f"{row % 13},{'猫犬'[row % 2]}" for row in range(60)]
    (tmp_path / "täble.csv").write_text("\n".join(["größe,label", *rows]) + "\n", "utf-8")
    script = f"exec $DEEPEN {' '.join(words)} --target label --devices 2 --threads 1 <&-"
    done = started(tmp_path, script, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "COLUMNS": "20"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "run" and "Traceback" not in done.stderr
    assert not (tmp_path / "marker").exists(), "a file beside the data was run"
    assert status(tmp_path) == "done"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("redirection", "code"),
    [("> /dev/full", 1), ("2> /dev/full", 0), (">&- 2>&-", 0)],
    ids=["stdout", "stderr", "closed"],
)
def test_where_nothing_can_be_said_the_run_is_made_all_the_same(redirection: str, code: int, tmp_path: Path) -> None:
    """K09, K30: a full disk behind the output ends no training, and says so where it can."""
    done = started(tmp_path, f"exec $DEEPEN {' '.join(WORDS)} {redirection}", {})
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code:
        assert done.stderr.splitlines()[-1].startswith("deepen: standard output: cannot be written")
    assert status(tmp_path) == "done"
