"""Odd texts given to runs: what is answered, what is said, and how reports show them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from deepen.bundle.load import load_prepare
from deepen.prepare.text import Tokenizer
from tests.faults.harness import deepen
from tests.faults.text_cases import CLASSES, CORPUS, lines, prose, written

ODD = ("", "  ", "zzz qqq xxx", "\u200d", "\u0301", "\U0001f469\u200d\U0001f52c", "a\u202eb\u2066", "word " * 1_500)
SCRIPT = "<script>alert(1)</script> & <img src=x onerror=alert(2)> **bold**"
FAST = ("--model", "fasttext", "--epochs", "1")
MODELS = ("fasttext", "textcnn", "bilstm-attention", "dpcnn", "transformer-encoder")


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that trains on data for an epoch and gives the run's folder."""
    monkeypatch.setenv("DEEPEN_CACHE", "off")
    monkeypatch.chdir(tmp_path)

    def train(task: str, data: Path, name: str, *words: str) -> Path:
        done = deepen("train", task, data, "--out", tmp_path / name, *words)
        assert done.code == 0, done.err
        return tmp_path / name

    return train


def reviews(folder: Path) -> Path:
    return written(folder, "\n".join(lines()) + "\n")


def text_state(run: Path) -> dict[str, Any]:
    """What a run learned of texts."""
    state: Any = load_prepare(run)["text"]
    return state


def answers(run: Path, texts: tuple[str, ...], folder: Path) -> tuple[list[dict], list[str]]:
    """What a run answers to texts given as JSON lines, and the notes."""
    file = written(folder, "\n".join(json.dumps({"text": text}) for text in texts) + "\n", "asked.jsonl")
    done = deepen("predict", run, file, "--json")
    assert done.code == 0, done.err
    return done.found["answers"], done.err.splitlines()


@pytest.mark.parametrize("model", MODELS)
def test_every_text_has_a_defined_answer(model: str, trained, tmp_path: Path) -> None:
    """X07, X08, X10: no token, unknown tokens alone, what nobody sees, and more tokens than training ever had."""
    run = trained(
        CLASSES,
        reviews(tmp_path),
        "run",
        "--model",
        model,
        "--epochs",
        "1",
        "--network.width",
        "24",
        "--text.max-length",
        "2000",
    )
    found, said = answers(run, ODD, tmp_path)
    assert len(found) == len(ODD)
    for answer in found:
        assert sum(each["probability"] for each in answer["top"]) == pytest.approx(1, abs=1e-6), answer
    assert found[0]["top"] == found[1]["top"], "blanks are nothing"
    assert any("longer than" in line for line in said), said
    alone, _ = answers(run, ODD[7:], tmp_path)
    close = pytest.approx([each["probability"] for each in found[7]["top"]], abs=1e-6)
    assert [each["probability"] for each in alone[0]["top"]] == close, "neighbours in the batch do not matter"


def test_two_ways_to_write_a_letter_are_one(trained, tmp_path: Path) -> None:
    """X04: NFC by default and stored with the run; NFKC makes full-width letters plain ones."""
    texts = ("caf\u00e9 full of light", unicodedata.normalize("NFD", "caf\u00e9 full of light"))
    run = trained(CLASSES, reviews(tmp_path), "run", *FAST)
    assert text_state(run)["normalize"] == "NFC"
    first, second = answers(run, texts, tmp_path)[0]
    assert first["top"] == second["top"]
    wide = ("warm film", "\uff57\uff41\uff52\uff4d film")
    run = trained(CLASSES, reviews(tmp_path), "wide", *FAST, "--text.normalize", "NFKC")
    first, second = answers(run, wide, tmp_path)[0]
    assert first["top"] == second["top"]


def test_texts_come_to_the_report_whole_and_escaped(trained, tmp_path: Path) -> None:
    """X10, X18: the report shows every character of a text, and nothing in it is run."""
    odd = "\u202eback \U0001f469\u200d\U0001f52c e\u0301 n\u200do"
    made = [line.split("\t") for line in lines(120)]
    body = "".join(f"{SCRIPT} {odd} {text}\t{('good', 'bad')[index % 2]}\n" for index, (text, _) in enumerate(made))
    run = trained(CLASSES, written(tmp_path, body), "run", *FAST)
    page = (run / "report.html").read_text("utf-8")
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert odd in page or odd.replace("\u202e", "\\u202e") in page


def test_runs_with_other_tokens_do_not_answer_together(trained, tmp_path: Path) -> None:
    """X09: ids of one vocabulary mean nothing in another."""
    one, two = (
        trained(CORPUS, written(tmp_path, text, f"{name}.txt"), name, "--model", "ngram")
        for name, text in (("one", prose()), ("two", prose().replace("film", "play")))
    )
    refused = deepen("evaluate", one, "--with", two)
    assert refused.code == 2 and "expected to answer together with" in refused.err, refused.err
    prints = [Tokenizer(text_state(run)).fingerprint for run in (one, two)]
    assert prints[0] != prints[1] and all(each in refused.err for each in prints), refused.err
