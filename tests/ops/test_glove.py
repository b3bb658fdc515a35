"""GloVe's counts by hand, and its steps: compiled, as a loop, and as autograd has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.ops import glove, glove_loop

NAMES = ("vectors", "contexts", "vector_biases", "context_biases")


def counted(lines, num_words, window):
    counting = glove.Counting(num_words, window)
    ids = np.array([word for line in lines for word in line], np.int32)
    counting.add(ids, np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64))
    return counting


def as_dict(pairs):
    return {(int(i), int(j)): x for i, j, x in zip(pairs.rows, pairs.columns, pairs.weights, strict=True)}


def test_counts_by_hand():
    # 0 1 2 0: neighbours at 1: 01 12 20; at 2: 02 10; the two 0 are 3 apart. Second line: 1 1, once in both orders
    found = as_dict(counted([[0, 1, 2, 0], [1, 1], [2]], 3, 2).result())
    once = {(0, 1): 1 + 1 / 2, (1, 2): 1.0, (0, 2): 1 + 1 / 2}
    assert found == {**once, **{(j, i): x for (i, j), x in once.items()}, (1, 1): 2.0}


@pytest.mark.parametrize("window", [1, 5])
def test_counts_are_those_of_two_loops_in_whatever_blocks(window):
    draw = np.random.default_rng(0)
    lines = [draw.integers(0, 11, draw.integers(1, 19)).tolist() for _ in range(47)]
    wanted: dict[tuple[int, int], float] = {}
    for line in lines:
        for p, a in enumerate(line):
            for q, b in enumerate(line):
                if 0 < abs(p - q) <= window:
                    wanted[a, b] = wanted.get((a, b), 0.0) + 1 / abs(p - q)
    whole = as_dict(counted(lines, 11, window).result())
    assert whole.keys() == wanted.keys()
    assert all(whole[pair] == pytest.approx(x, rel=1e-12) for pair, x in wanted.items())
    parts = glove.Counting(11, window)
    for line in reversed(lines):
        parts.add(np.array(line, np.int32), np.array([0, len(line)]))
    assert as_dict(parts.result()) == whole, "bit for bit, in another order"


def test_nothing_at_all_has_no_pairs():
    assert len(glove.Counting(5, 3).result()) == 0
    assert len(counted([[3]], 5, 3).result()) == 0


def tables(width=17, num_words=13):
    draw = np.random.default_rng(1)
    values = {name: draw.normal(0, 0.3, (num_words, width)).astype(np.float32) for name in NAMES[:2]}
    values |= {name: draw.normal(0, 0.3, num_words).astype(np.float32) for name in NAMES[2:]}
    sums = ("vector_squares", "context_squares", "vector_bias_squares", "context_bias_squares")
    return glove.Tables(**values, **{s: np.ones_like(values[n]) for n, s in zip(NAMES, sums, strict=True)})


def some_pairs():
    draw = np.random.default_rng(2)
    rows, columns = (draw.integers(0, 13, 101).astype(np.int32) for _ in range(2))
    return rows, columns, draw.gamma(1.0, 60.0, 101) + 0.25


def test_the_compiled_pass_is_the_loop(monkeypatch):
    pytest.importorskip("numba")
    fast, slow = tables(), tables()
    given = {"rates": (0.1, 0.02), "most": 100.0, "power": 0.75}
    total = glove.train_pairs(*some_pairs(), fast, **given)
    monkeypatch.setattr(glove, "_kernel", lambda: glove_loop)
    assert total == pytest.approx(glove.train_pairs(*some_pairs(), slow, **given), rel=1e-5)
    for name in vars(fast):
        assert np.abs(vars(fast)[name] - vars(tables())[name]).max() > 0.01
        np.testing.assert_allclose(vars(fast)[name], vars(slow)[name], atol=2e-5, err_msg=name)


@pytest.mark.parametrize("count", [3.0, 100.0, 700.0])
def test_a_step_is_half_the_gradient_over_the_root_of_the_sum_before(count):
    made, rate = tables(), 0.1
    values = {name: torch.from_numpy(vars(made)[name].copy()).requires_grad_() for name in NAMES}
    v, c, a, b = values.values()
    miss = v[3] @ c[5] + a[3] + b[5] - torch.log(torch.tensor(count))
    loss = glove.weight_of(count, 100.0, 0.75) * miss.square()
    (loss / 2).backward()
    one = np.array([3], np.int32), np.array([5], np.int32), np.array([count])
    found = glove.train_pairs(*one, made, rates=(rate, rate), most=100.0, power=0.75)
    assert found == pytest.approx(float(loss), rel=1e-5)
    for name, tensor in values.items():  # sums of squares begin at 1
        np.testing.assert_allclose(vars(made)[name], (tensor - rate * tensor.grad).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(made.vector_squares, 1 + v.grad.numpy() ** 2, rtol=1e-5)


def test_without_a_rate_nothing_is_moved():
    made = tables()
    assert glove.train_pairs(*some_pairs(), made, rates=(0.0, 0.0), most=10.0, power=0.5) > 0
    assert all((vars(made)[name] == vars(tables())[name]).all() for name in vars(made))


def test_the_weight_by_hand():
    assert glove.weight_of(16, 81, 0.75) == pytest.approx(8 / 27)
    assert glove.weight_of(81, 81, 0.75) == glove.weight_of(500, 81, 0.75) == 1
