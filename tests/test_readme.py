"""The READMEs' commands are run, in their order, and both READMEs carry the same ones and name what there is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepen.cli.main import main
from deepen.core import names

ROOT = Path(__file__).resolve().parents[1]
READMES = ("README.md", "README.zh-CN.md")


def blocks(readme: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / readme).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_both_readmes_carry_the_same_code() -> None:
    for language in ("sh", "python", "text"):
        assert blocks(READMES[0], language) == blocks(READMES[1], language)
        assert blocks(READMES[0], language)


@pytest.mark.parametrize("readme", READMES)
def test_the_tables_name_every_task_and_model(readme: str) -> None:
    text = (ROOT / readme).read_text("utf-8")
    missing = [name for name in (*names.tasks(), *names.models()) if f"`{name}`" not in text]
    assert not missing


@pytest.mark.parametrize("readme", READMES)
def test_every_room_is_there(readme: str) -> None:
    text = (ROOT / readme).read_text("utf-8")
    rooms = {path.name for path in (ROOT / "src" / "deepen").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"`{room}`" not in text and f"/{room}`" not in text} == set()


def test_every_task_has_a_page() -> None:
    assert {name for name in names.tasks() if not (ROOT / "docs" / f"{name}.md").exists()} == set()


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch, capsys) -> None:
    """In this process, since importing torch takes longer than most of them; one also as a user runs it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    commands, programs = parts(READMES[0])
    run(commands, programs, READMES[0], capsys)
    assert (tmp_path / "runs" / "answers.csv").is_file()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-m", *next(each for each in commands if each[1] == "evaluate")]
    found = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0 and found.stdout, f"{shlex.join(program[1:])}\n{found.stdout}\n{found.stderr}"


PAGES = [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh") or blocks(page, "python")])
def test_the_commands_of_a_page_run(tmp_path: Path, page: str, monkeypatch, capsys) -> None:
    """All in this process."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    run(*parts(page), page, capsys)


def parts(page: str) -> tuple[list[list[str]], list[str]]:
    """A page's command lines as words, and its blocks of Python."""
    commands = [shlex.split(line) for block in blocks(page, "sh") for line in block.splitlines()]
    return commands, blocks(page, "python")


def run(commands: list[list[str]], programs: list[str], page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs the commands, then the blocks of Python, in this process and the folder that it is in."""
    for program, *words in commands:
        assert program == "deepen"
        code = main(words)
        said = capsys.readouterr()
        assert code == 0, f"{shlex.join(words)}\n{said.out}\n{said.err}"
        assert said.out or "--out" in words
    for number, block in enumerate(programs):
        exec(compile(block, f"{page}, Python block {number + 1}", "exec"), {"__name__": "page"})
