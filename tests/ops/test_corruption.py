import numpy as np
import pytest
import torch

from deepen.core import rng
from deepen.ops.corruption import corrupted

ROWS, VALUES = 211, (3, 17, 13)
COUNT = ROWS * 3 * 17 * 13


def uniform():
    return torch.from_numpy(rng.uniform(0, 1, np.arange(ROWS), 3 * 17 * 13, "noise"))


def clean():
    return torch.rand(ROWS, *VALUES, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1


def test_gaussian_noise_has_its_deviation_and_no_mean():
    off = (corrupted(clean(), "gaussian", 0.3, uniform()) - clean()).double()
    assert float(off.mean()) == pytest.approx(0, abs=5 * 0.3 / COUNT**0.5)
    assert float(off.std()) == pytest.approx(0.3, rel=5 / (2 * COUNT) ** 0.5)


def test_masking_blanks_its_share_and_leaves_the_rest():
    values = clean()
    found = corrupted(values, "masking", 0.3, uniform())
    blank = found == 0
    assert float(blank.double().mean()) == pytest.approx(0.3, abs=5 * (0.21 / COUNT) ** 0.5)
    assert torch.equal(found[~blank], values[~blank])


def test_salt_and_pepper_sets_half_of_its_share_to_each_end():
    values = clean()
    found = corrupted(values, "salt-and-pepper", 0.3, uniform())
    for end in (0.0, 1.0):
        assert float((found == end).double().mean()) == pytest.approx(0.15, abs=5 * (0.1275 / COUNT) ** 0.5)
    kept = (found != 0) & (found != 1)
    assert torch.equal(found[kept], values[kept])


def test_without_noise_or_level_nothing_changes():
    values = clean()
    assert torch.equal(corrupted(values, "none", 0.3, uniform()), values)
    for noise in ("gaussian", "masking", "salt-and-pepper"):
        assert torch.equal(corrupted(values, noise, 0.0, uniform()), values)
