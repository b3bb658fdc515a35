"""Arrays as text and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deepen.prepare.packed import packed, unpacked


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (0, 4)])
def test_what_is_packed_comes_back_through_json(shape):
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    again = unpacked(json.loads(json.dumps(packed(array))))
    assert again.dtype == np.float32 and np.array_equal(again, array)


def test_it_is_little_endian_float32_in_base64():
    assert packed(np.array([1.0, -2.0])) == {"shape": [2], "float32": "AACAPwAAAMA="}


def test_text_that_was_cut_is_refused():
    state = packed(np.arange(6.0))
    with pytest.raises(ValueError, match="reshape"):
        unpacked({**state, "shape": [7]})
