"""Every planted fault of texts is found, said and refused as the catalogue says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deepen.data.dataset import Schema
from deepen.data.read import ReadOptions, read
from tests.faults import harness
from tests.faults.harness import Case, assert_promises, deepen
from tests.faults.text_cases import CLASSES, PAIRS, STATED, TAGS, TEXT_CASES, lines
from tests.faults.text_table_cases import TABLE_CASES

CASES = (*TEXT_CASES, *TABLE_CASES)

TINY_MODELS = {CLASSES: "fasttext", PAIRS: "decomposable-attention", TAGS: "textcnn-tagger"}
SCHEMAS = {
    CLASSES: Schema(("text_folder", "labelled_lines", "text_table", "text_lines"), ("text",), "label"),
    TAGS: Schema(("conll",), ("tokens",), "tags", is_category=False),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_promises(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPEN_CACHE", "off")
    monkeypatch.setattr(harness, "TINY_MODELS", TINY_MODELS)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    assert_promises(case, folder)


@pytest.mark.parametrize("case", [case for case in CASES if case.twin], ids=lambda case: case.id)
def test_the_same_samples_as_the_clean_twin(case: Case, tmp_path: Path) -> None:
    tables = []
    for name, build in (("broken", case.build), ("clean", case.twin)):
        assert build is not None
        (tmp_path / name).mkdir()
        options = ReadOptions(encoding=STATED[1] if case.options == STATED and name == "broken" else "")
        dataset = read(build(tmp_path / name), SCHEMAS[case.task], options)
        table = dataset.tables["all"].drop_columns(["source"])
        tables.append(table.to_pylist())
    assert tables[0] == tables[1] and len(tables[0]) >= 40


def test_no_case_stands_twice() -> None:
    names = [case.id for case in CASES]
    assert len(set(names)) == len(names)


def test_skipping_equals_deleting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with_bad, without = lines(), lines()
    with_bad[8] = with_bad[8].split("\t")[0] + "\t"
    del without[8]
    weights = []
    for name, body, more in (("one", with_bad, ("--skip-bad",)), ("two", without, ())):
        (tmp_path / f"{name}.txt").write_text("\n".join(body) + "\n")
        words = ("--out", name, "--epochs", "1", "--model", "fasttext", *more)
        done = deepen("train", CLASSES, f"{name}.txt", *words)
        assert done.code == 0, done.err
        weights.append((tmp_path / name / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("kind", ["one line", "blank lines", "one character", "short lines"])
def test_reading_takes_a_bounded_time_per_byte(kind: str, tmp_path: Path) -> None:
    """X05, X17: 10 MB of each, in CPU seconds, which a busy machine does not change."""
    text = {
        "one line": "word " * 2_000_000,
        "blank lines": "\n" * 9_999_999 + "x",
        "one character": "a" * 10_000_000,
        "short lines": "ab\n" * 3_333_333,
    }[kind]
    (tmp_path / "a.txt").write_text(text)
    for reader in ("text_lines", "text_stream"):
        start = time.process_time()
        dataset = read(tmp_path / "a.txt", Schema((reader,), (), "", needs_target=False))
        assert time.process_time() - start < 3
        assert dataset.tables["all"].num_rows >= 64
