"""States that go from a row to the next one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.engine.carry import Carried
from deepen.parallel.ranks import Alone

CPU = torch.device("cpu")


def state_of(rows: np.ndarray) -> dict[str, torch.Tensor]:
    """What a network would end these rows with: a tensor that names the row."""
    return {"h": torch.from_numpy(rows).float()[:, None, None].expand(-1, 3, 5).clone()}


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_each_row_begins_where_the_row_before_it_ended(parts: int) -> None:
    """Columns of 7 rows read side by side, in any number of micro-batches, equal a loop over rows."""
    carried = Carried({"h": (3, 5)})
    columns = np.arange(35).reshape(5, 7)
    for t in range(7):
        for rows in np.array_split(columns[:, t], parts):
            given = carried.before(rows, CPU)["h"]
            assert given.shape == (len(rows), 3, 5)
            assert given[:, 0, 0].tolist() == [0.0 if t == 0 else row - 1.0 for row in rows]
            carried.after(rows, state_of(rows))
        carried.step(Alone())


def test_a_row_whose_predecessor_was_not_just_read_begins_with_zeros() -> None:
    carried = Carried({"h": (3, 5)})
    carried.after(np.array([4, 9]), state_of(np.array([4, 9])))
    assert not carried.before(np.array([5]), CPU)["h"].any()  # the step is not over
    carried.step(Alone())
    assert carried.before(np.array([10, 6, 5]), CPU)["h"][:, 0, 0].tolist() == [9.0, 0.0, 4.0]
    carried.step(Alone())
    assert not carried.before(np.array([5, 10]), CPU)["h"].any()


def test_a_row_read_twice_in_a_step_counts_as_last_read() -> None:
    carried = Carried({"h": (1,)})
    carried.after(np.array([2]), {"h": torch.tensor([[7.0]])})
    carried.after(np.array([2]), {"h": torch.tensor([[11.0]])})
    carried.step(Alone())
    assert carried.before(np.array([3]), CPU)["h"].tolist() == [[11.0]]


class _Two:
    """Rank 0 of two, where the other rank has read nothing."""

    rank, size = 0, 2

    def gather_tensors(self, tensors):
        return [dict(tensors), {name: tensor[:0] for name, tensor in tensors.items()}]


def test_a_rank_without_rows_changes_nothing_and_a_checkpoint_brings_all_back() -> None:
    carried = Carried({"h": (3, 5), "c": (2,)})
    rows = np.array([3, 1, 8])
    carried.after(rows, {**state_of(rows), "c": torch.randn(3, 2)})
    carried.step(_Two())  # type: ignore[arg-type]
    again = Carried({"h": (3, 5), "c": (2,)})
    again.restore({name: tensor.clone() for name, tensor in carried.tensors().items()})
    for name in ("h", "c"):
        following = np.array([9, 2, 4])
        assert torch.equal(carried.before(following, CPU)[name], again.before(following, CPU)[name])
        assert carried.before(following, CPU)[name].any()


def test_graphs_end_at_the_step() -> None:
    carried = Carried({"h": (1,)})
    carried.after(np.array([0]), {"h": torch.ones(1, 1, requires_grad=True) * 2})
    carried.step(Alone())
    assert not carried.before(np.array([1]), CPU)["h"].requires_grad
