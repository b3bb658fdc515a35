"""Shares of words and pieces add up to the answer's score, whatever is asked."""

from __future__ import annotations

import math

import pytest

from deepen.verbs.explain import explain
from deepen.verbs.predict import predict
from deepen.verbs.train import train

LINES = ["fruit1", "fruit1 fruit2", "metal1 metal2 tool3", "river2 zebra cloud3 the", "zebra!", "fruits11"]


@pytest.fixture(scope="module", params=["skip-gram", "skip-gram-subword"])
def run(request, tmp_path_factory):
    given = {"model": request.param, "epochs": 3, "threads": 1}
    return train("word-vectors", "tiny", given, out=tmp_path_factory.mktemp("runs") / request.param)


def test_shares_add_up_to_the_answers_score(run, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_text("\n".join(LINES) + "\n")
    found = explain(run.folder, file, out=tmp_path / "e")
    wanted = list(predict(run.folder, file))
    assert [each["answer"] for each in found.samples] == [each.nearest for each in wanted]
    known = [(each, answer) for each, answer in zip(found.samples, wanted, strict=True) if answer.nearest]
    assert len(known) >= 4
    for each, answer in known:
        shares = each["shares"]
        assert shares["of"] == answer.nearest and shares["kind"] == answer.kind
        assert shares["sum"] == pytest.approx(answer.cosine, abs=2e-5)
        assert math.fsum(shares["columns"].values()) == pytest.approx(shares["sum"], abs=1e-4)
    analogy = next(each for each, answer in known if answer.kind == "analogy")
    assert analogy["shares"]["columns"].keys() >= {"metal1", "metal2", "tool3"}
    for row in analogy["cosines"]["words"]:
        assert row in analogy["cosines"]["and"]


def test_the_runs_own_texts_are_explained_by_a_line_of_them(run, tmp_path):
    found = explain(run.folder, "tiny", {"samples": 3}, out=tmp_path / "e")
    assert len(found.samples) == 3 and all(each["answer"] for each in found.samples)
    assert (tmp_path / "e" / "explanation.html").exists()
