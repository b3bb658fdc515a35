"""Vector instructions on rows against numpy, with and without a rest."""

from __future__ import annotations

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from deepen.ops.float_rows import add_1, add_3, add_6, dots_1, dots_3, dots_6, fetch  # noqa: E402


@numba.njit
def _dots(x, y):
    return dots_1(x, 1, y, 2), dots_3(x, 0, y, 4, 1, 3), dots_6(x, 2, y, 0, 1, 2, 3, 4, 5)


@numba.njit
def _adds(x, y):
    f = np.float32(0.5)
    fetch(y, 1)
    add_1(x, 0, y, 3, f)
    add_3(x, 1, y, 0, 1, 2, f, -f, f + f)
    add_6(x, 2, y, 0, 1, 2, 3, 4, 5, f, f, -f, f, f + f, f)


@pytest.mark.parametrize("width", [1, 15, 16, 17, 32, 101])
def test_they_are_numpys(width):
    draw = np.random.default_rng(width)
    x, y = (draw.normal(size=(n, width)).astype(np.float32) for n in (3, 7))
    one, three, six = _dots(x, y)
    np.testing.assert_allclose(one, [x[1] @ y[2]], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(three, y[[4, 1, 3]] @ x[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(six, y[:6] @ x[2], rtol=1e-4, atol=1e-5)
    wanted = x + np.stack(
        [0.5 * y[3], 0.5 * y[0] - 0.5 * y[1] + y[2], np.array([0.5, 0.5, -0.5, 0.5, 1, 0.5], np.float32) @ y[:6]]
    )
    kept = y.copy()
    _adds(x, y)
    np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-5)
    assert (y == kept).all()
