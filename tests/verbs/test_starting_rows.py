"""`--weights RUN` of a run with other tokens: rows of tables go by their tokens, by hand and through a training."""

from __future__ import annotations

import pytest
import torch

from deepen.bundle import load
from deepen.engine.events import Silent
from deepen.verbs.loaded import loaded
from deepen.verbs.starting_rows import Rows, by_rows
from deepen.verbs.train import train

OURS = "the ship sails over a quiet sea under grey skies"
THEIRS = "quiet rivers run past the old mill and the ship waits"
SHORT = {"epochs": 1, "threads": 1, "val": 0, "test": 0}


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


def test_rows_are_found_by_what_they_stand_for():
    rows = Rows(
        {"table": ["sea", "ship", "mill"], "bias": ["sea", "ship", "mill"], "classes": None},
        {"table": ["ship", "oar", "sea", "mast"], "bias": ["ship", "oar", "sea", "mast"], "classes": None},
    )
    state = {
        "table": torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8]]),
        "bias": torch.tensor([10.0, 20, 30, 40]),
        "classes": torch.ones(2),
        "inner": torch.ones(5),
    }
    fresh = {"table": -torch.ones(3, 2), "bias": -torch.ones(3), "classes": torch.zeros(2), "inner": torch.zeros(5)}
    kept, notes = by_rows(rows, state, lambda: fresh)
    assert sorted(kept) == ["bias", "inner", "table"]
    assert kept["table"].tolist() == [[5, 6], [1, 2], [-1, -1]]
    assert kept["bias"].tolist() == [30, 10, -1]
    assert kept["inner"] is state["inner"]
    assert fresh["table"].eq(-1).all()
    assert len(notes) == 3
    assert notes[2].startswith("weights: classes: hangs on all tokens")
    assert "table: 2 of 3 rows" in notes[0]


def test_tables_of_another_width_and_without_a_common_token_are_left_alone():
    rows = Rows({"a": ["x"], "b": ["x"]}, {"a": ["x"], "b": ["y"]})
    kept, notes = by_rows(
        rows, {"a": torch.ones(1, 3), "b": torch.ones(1, 2)}, lambda: {n: torch.zeros(1, 2) for n in "ab"}
    )
    assert kept == {}
    assert notes[0].startswith("weights: b: 0 of 1 rows")


def classes(path, text):
    """A table of two classes that says these words."""
    words = text.split()
    rows = [f"{' '.join(words[i % 3 :])},{'ab'[i % 2]}" for i in range(12)]
    path.write_text("text,class\n" + "\n".join(rows) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("task", "given"),
    [
        ("text-classification", {"model": "textcnn", "target": "class", "freeze": "embedding"}),
        ("text-classification", {"model": "fasttext", "target": "class", "freeze": "embedding"}),
        ("language-modeling", {"model": "gru", "freeze": "embedding", "network.hidden_size": 11, "width": 7}),
        ("language-modeling", {"model": "gru", "freeze": "embedding", "width": 7, "initialization": "constant"}),
    ],
)
def test_words_of_another_run_keep_their_vectors(tmp_path, task, given):
    """Embeddings are frozen, so that those of words both know are still the first run's after training."""
    if task == "language-modeling":
        data = [tmp_path / "theirs.txt", tmp_path / "ours.txt"]
        for path, text in zip(data, (THEIRS, OURS), strict=True):
            path.write_text((text + "\n") * 40)
    else:
        data = [classes(tmp_path / "theirs.csv", THEIRS), classes(tmp_path / "ours.csv", OURS)]
    learn = {name: value for name, value in given.items() if name != "freeze"}
    first = train(task, str(data[0]), {**SHORT, **learn}, out=tmp_path / "first")
    heard = Heard()
    second = train(
        task, str(data[1]), {**SHORT, **given, "weights": str(first.folder)}, out=tmp_path / "second", events=heard
    )
    theirs, ours = loaded(first.folder), loaded(second.folder)
    before, after = theirs.model.state_dict(), ours.model.state_dict()
    name = next(name for name in before if name.endswith("embedding.weight"))
    known = theirs.task.row_names(before)[name]
    words = ours.task.row_names(after)[name]
    shared = [word for word in words if word in known]
    assert {"the", "ship", "quiet"} <= set(shared) < set(words)
    assert [known.index(word) for word in shared] != [words.index(word) for word in shared]
    for word in shared:
        assert torch.equal(after[name][words.index(word)], before[name][known.index(word)])
    drawn = after[name][[row for row, word in enumerate(words) if word not in known]]
    assert drawn.any() == ("initialization" not in given), "rows without a vector begin as the tied layer does: at 0"
    if given["model"] == "fasttext":
        assert not torch.equal(after["ngrams.weight"], before["ngrams.weight"])
        assert any("ngrams.weight: hangs on all tokens" in said for said in heard.said)
    assert any(f"{len(shared)} of {len(words)} rows are those of the same tokens" in said for said in heard.said)


def test_the_same_tokens_are_taken_as_they_are(tmp_path):
    data = classes(tmp_path / "data.csv", OURS)
    given = {**SHORT, "model": "fasttext", "target": "class"}
    first = train("text-classification", data, given, out=tmp_path / "first")
    heard = Heard()
    given |= {"weights": str(first.folder), "freeze": "embedding"}
    second = train("text-classification", data, given, out=tmp_path / "second", events=heard)
    tables = [load.load_weights(run.folder)["embedding.weight"] for run in (first, second)]
    assert torch.equal(*tables)
    assert not any("rows" in said for said in heard.said)
