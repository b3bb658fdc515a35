"""A run goes on from a beginning, and what is refused before it does."""

from __future__ import annotations

import pytest

from deepen.core.errors import OptionError, RunError
from deepen.verbs.generate import generate
from deepen.verbs.run import Run
from deepen.verbs.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("language-modeling", "tiny", {"model": "ngram"}, out=tmp_path_factory.mktemp("runs") / "counted")


def test_pieces_come_one_by_one_and_are_the_same_again(run):
    pieces = generate(run.folder, "anna", {"length": 13, "seed": 5})
    first = next(pieces)
    whole = first + "".join(pieces)
    assert whole == "".join(Run(run.folder).generate("anna", length=13, seed=5)) and first != whole
    assert {line.split()[-1] for line in whole.split("\n")[:-1]} <= {"garden", "kitchen", "station"}
    assert len("".join(generate(run.folder, "anna cooks", {"greedy": True, "length": 2})).split()) == 2


def test_the_grammar_is_kept_by_every_way_of_choosing(run):
    for given in ({"greedy": True}, {"top_k": 2}, {"top_p": 0.5}, {"temperature": 0.2}, {"beam": 3}):
        found = "".join(generate(run.folder, "anna cooks the", {"length": 4, **given}))
        assert found.startswith(" soup in the "), given


def test_what_is_refused_before_anything_is_made(run, tmp_path):
    with pytest.raises(OptionError, match="lenght: no such option; did you mean length"):
        generate(run.folder, "", {"lenght": 3})
    with pytest.raises(OptionError, match="--greedy: and --beam are two ways"):
        generate(run.folder, "", {"greedy": True, "beam": 2})
    with pytest.raises(RunError, match="none"):
        generate(tmp_path / "none")
    table = train(
        "tabular-classification", "tiny", {"model": "softmax-regression", "epochs": 1}, out=tmp_path / "table"
    )
    with pytest.raises(RunError, match="tabular-classification generates nothing"):
        generate(table.folder)
