"""Weights of a mixture: against every weight of a grid, and what they cannot be learned from."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.core.errors import OptionError, RunError
from deepen.ops.mixture import mixed
from deepen.tasks.language_modeling import TINY
from deepen.verbs.ensemble import load_members
from deepen.verbs.evaluate import evaluate
from deepen.verbs.learned_weights import common_validation, learned_weights, target_log_probabilities, weighed
from deepen.verbs.predict import predict
from deepen.verbs.train import train

SMALL = {"width": 8, "network.hidden_size": 8, "epochs": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    given = {"trigram": {"model": "ngram", "network.order": 3}, "gru": {"model": "gru", **SMALL}}
    for name, each in given.items():
        train("language-modeling", "tiny", each, out=folder / name)
    return [folder / name for name in given]


def test_no_weight_of_a_grid_is_better_on_validation(runs):
    members, shares = weighed(runs, "learned")
    table = TINY.make(0).tables["all"].slice(0, 50)
    assert sum(shares) == pytest.approx(1) and shares == learned_weights(members)
    logs = target_log_probabilities(members, table)
    assert logs.shape == (2, 50 * 8) and np.isfinite(logs).all()
    logs = target_log_probabilities(members, common_validation(members, instead="the weights"))
    best = mixed(logs, np.array(shares)).mean()
    for share in np.linspace(0.01, 0.99, 37):
        assert mixed(logs, np.array([share, 1 - share])).mean() <= best + 1e-6


def test_evaluate_and_predict_take_them_and_evaluate_says_them(runs):
    found = evaluate(runs, weights="learned")
    stated = evaluate(runs, weights=found.weights)
    assert found.metrics["perplexity"] == pytest.approx(stated.metrics["perplexity"], rel=1e-6)
    assert evaluate(runs[0]).weights == () and evaluate(runs).weights == (0.5, 0.5)
    (first, *_) = predict(runs, "tiny", weights="learned")
    (same, *_) = predict(runs, "tiny", weights=found.weights)
    assert first.log10_probability == pytest.approx(same.log10_probability, rel=1e-9)


def test_what_they_cannot_be_learned_from(runs, tmp_path):
    with pytest.raises(OptionError, match="weights 'best': expected one number for each run, or 'learned'"):
        weighed(runs, "best")
    with pytest.raises(OptionError, match="is one run, which counts 1"):
        weighed(runs[0], "learned")
    train("tabular-classification", "tiny", {"model": "softmax-regression", "epochs": 1}, out=tmp_path / "table")
    with pytest.raises(RunError, match="tabular-classification gives no probabilities of targets"):
        learned_weights(load_members([tmp_path / "table"] * 2)[0])
    train("language-modeling", "tiny", {"model": "gru", "seed": 1, **SMALL}, out=tmp_path / "other")
    with pytest.raises(RunError, match="other"):
        weighed([runs[0], tmp_path / "other"], "learned")
