import pytest
import torch
from torch import nn

from deepen.core.errors import ShapeError
from deepen.nn.ngram_tables import BackoffTables
from deepen.nn.sized import size_like
from deepen.ops.ngram_counts import count_ngrams, marked
from deepen.ops.ngram_smoothing import kneser_ney


def filled():
    tables = BackoffTables(7)
    text = torch.randint(0, 7, (211,), generator=torch.Generator().manual_seed(0)).numpy()
    tables.set(kneser_ney(count_ngrams(marked([text], 7), 7, 3))[0])
    return tables


def test_a_network_without_memory_takes_the_sizes_of_a_state():
    trained = nn.Sequential(nn.Linear(3, 5), filled())
    with torch.device("meta"):
        empty = nn.Sequential(nn.Linear(3, 5), BackoffTables(7))
    assert empty.state_dict().keys() != trained.state_dict().keys()
    size_like(empty, trained.state_dict())
    assert {name: each.shape for name, each in empty.state_dict().items()} == {
        name: each.shape for name, each in trained.state_dict().items()
    }
    assert all(each.is_meta for each in empty.state_dict().values())


def test_a_state_of_something_else_is_refused():
    tables, state = BackoffTables(7), filled().state_dict()
    with pytest.raises(ShapeError, match="of no n-gram model: closed, odd"):
        tables.size_like({"closed": state["closed"], "odd": torch.zeros(3)})
    with pytest.raises(ShapeError, match="of no n-gram model"):
        tables.size_like({**state, "words_3": torch.zeros(3, 2)})
