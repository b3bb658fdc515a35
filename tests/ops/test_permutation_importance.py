"""Permutation importance against scikit-learn's on the same shuffles."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.inspection import permutation_importance as reference
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error

from deepen.ops.permutation_importance import permutation_importance, shuffled

N, R = 61, 7


def planted(seed=1):
    """Five columns: the first matters most, the third a little, the rest are noise."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(N, 5))
    return rows, 3 * rows[:, 0] + 0.7 * rows[:, 2] + draw.normal(0, 0.1, N)


def sklearn_orders(seed):
    """The orders scikit-learn uses: every column starts from the same random state, and shuffles what is shuffled."""
    state = np.random.RandomState(seed)
    column_seed = state.randint(np.iinfo(np.int32).max + 1)

    def orders(_group):
        own = np.random.RandomState(column_seed)
        index, whole, found = np.arange(N), np.arange(N), []
        for _ in range(R):
            own.shuffle(index)
            whole = whole[index]
            found.append(torch.from_numpy(whole))
        return found

    return orders


def test_it_equals_scikit_learns_on_the_same_shuffles():
    rows, target = planted()
    model = LinearRegression().fit(rows, target)
    expected = reference(model, rows, target, scoring="neg_mean_squared_error", n_repeats=R, random_state=11)
    columns = [(g,) for g in range(5)]

    def score(x):
        return torch.tensor([mean_squared_error(target, model.predict(x.numpy()))], dtype=torch.float64)

    whole, scores = permutation_importance(score, torch.from_numpy(rows), columns, sklearn_orders(11))
    changes = (scores - whole)[:, :, 0]
    np.testing.assert_allclose(changes.numpy(), expected.importances, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(changes.mean(1).numpy(), expected.importances_mean, rtol=1e-9)
    assert changes.mean(1).argmax() == 0 and changes[0].mean() > 10
    assert changes[[1, 3, 4]].mean(1).abs().max() < 0.02  # noise


def test_groups_move_together_and_nothing_else_moves():
    rows = torch.arange(21.0).view(7, 3)
    order = torch.tensor([3, 1, 0, 2, 6, 5, 4])
    found = shuffled(rows, (0, 2), order)
    assert torch.equal(found[:, 1], rows[:, 1]) and torch.equal(found[:, [0, 2]], rows[order][:, [0, 2]])
    assert torch.equal(rows, torch.arange(21.0).view(7, 3))


def test_scores_of_several_figures_come_by_column_and_shuffle():
    rows = torch.arange(6.0).view(3, 2)
    turned = [torch.tensor([1, 2, 0]), torch.tensor([0, 1, 2])]
    whole, scores = permutation_importance(
        lambda x: torch.stack([x[0, 0], x[0, 1], x.sum()]), rows, [(0,), (1,)], lambda group: turned
    )
    assert whole.tolist() == [0, 1, 15]
    assert scores.tolist() == [[[2, 1, 15], [0, 1, 15]], [[0, 3, 15], [0, 1, 15]]]
