import numpy as np
import pytest

from deepen.ops.mixture import mixed, mixture_weights


@pytest.mark.parametrize("seed", range(7))
def test_em_ends_where_a_fine_grid_has_its_best_point(seed):
    draw = np.random.default_rng(seed)
    logs = np.log(draw.dirichlet(np.full(7, 0.4), size=(2, 503))[:, :, 0] + 1e-6)
    found = mixture_weights(logs)
    grid = np.linspace(0, 1, 20_001)[1:-1]
    means = [mixed(logs, np.array([w, 1 - w])).mean() for w in grid[::100]]
    best = grid[::100][int(np.argmax(means))]
    assert found.sum() == pytest.approx(1)
    assert found[0] == pytest.approx(best, abs=0.006)
    assert mixed(logs, found).mean() >= max(means) - 1e-8


def test_the_optimum_of_three_is_one_no_neighbour_beats():
    draw = np.random.default_rng(0)
    logs = np.log(draw.uniform(0.01, 1, size=(3, 401)))
    found = mixture_weights(logs)
    best = mixed(logs, found).mean()
    for step in draw.normal(0, 0.03, size=(200, 3)):
        other = np.clip(found + step, 1e-12, None)
        assert mixed(logs, other / other.sum()).mean() <= best + 1e-8


def test_a_model_that_is_better_everywhere_counts_alone_and_one_that_fails_is_survived():
    better = np.log(np.full((2, 11), 0.5))
    better[1] = np.log(0.25)
    assert mixture_weights(better) == pytest.approx([1, 0], abs=1e-6)
    with_zeros = np.log(np.array([[0.5, 0.5, 0.5], [0.9, 0.9, 1.0]]))
    with_zeros[1, 0] = -np.inf
    found = mixture_weights(with_zeros)
    assert 0 < found[0] < 1 and np.isfinite(mixed(with_zeros, found)).all()


def test_two_models_by_hand():
    # one is right (0.8) on three of four tokens and the other (0.8) on the last; both give 0.2 else:
    # maximize 3 ln(0.2 + 0.6 w) + ln(0.8 - 0.6 w): 1.8 (0.8 - 0.6 w) = 0.6 (0.2 + 0.6 w), so w = 11 / 12
    logs = np.log([[0.8, 0.8, 0.8, 0.2], [0.2, 0.2, 0.2, 0.8]])
    assert mixture_weights(logs)[0] == pytest.approx(11 / 12, abs=1e-4)
