"""Means of outputs: by hand, against probabilities, and of one network."""

from __future__ import annotations

import math

import torch

from deepen.ops.combine import mean_class_logits, mean_values


def test_mean_of_two_by_hand() -> None:
    # softmax of (log 3, 0) is (3/4, 1/4), of (0, log 4) it is (1/5, 4/5); a third and two thirds of them:
    logits = [torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, math.log(4.0)]])]
    mean = mean_class_logits(logits, [1 / 3, 2 / 3]).softmax(1)
    expected = torch.tensor([[3 / 4 / 3 + 2 / 5 / 3, 1 / 4 / 3 + 8 / 5 / 3]], dtype=torch.float64)
    torch.testing.assert_close(mean, expected, rtol=1e-6, atol=1e-7)
    assert mean_values([torch.tensor([2.0]), torch.tensor([5.0])], [0.25, 0.75]).tolist() == [4.25]


def test_equals_the_mean_of_probabilities_for_random_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [30 * torch.randn(13, 7, generator=generator, dtype=torch.float64) for _ in range(3)]
    weights = [0.5, 0.3, 0.2]
    expected = sum(weight * each.softmax(1) for weight, each in zip(weights, logits, strict=True))
    found = mean_class_logits(logits, weights)
    torch.testing.assert_close(found.softmax(1), expected, rtol=1e-12, atol=1e-300)
    torch.testing.assert_close(found.logsumexp(1), torch.zeros(13, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_class_that_underflows_as_a_probability_keeps_its_logarithm() -> None:
    sure = torch.tensor([[0.0, -2000.0]], dtype=torch.float64)
    found = mean_class_logits([sure, sure], [0.5, 0.5])
    assert found[0, 1].item() == -2000.0


def test_the_ensemble_is_never_worse_in_cross_entropy_than_its_members_on_the_average() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        logits = [3 * torch.randn(11, 5, generator=generator) for _ in range(4)]
        targets = torch.randint(0, 5, (11,), generator=generator)

        def entropy(each: torch.Tensor, targets: torch.Tensor = targets) -> float:
            return torch.nn.functional.cross_entropy(each.double(), targets).item()

        assert entropy(mean_class_logits(logits, [0.25] * 4)) <= sum(map(entropy, logits)) / 4 + 1e-12


def test_one_network_is_itself_bit_for_bit() -> None:
    logits, values = torch.randn(3, 2), torch.randn(3)
    assert mean_class_logits([logits], [1.0]) is logits
    assert mean_values([values], [1.0]) is values
