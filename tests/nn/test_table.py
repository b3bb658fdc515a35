import torch

from deepen.nn.shapes import TableShape
from deepen.nn.table import TableFeatures


def test_a_row_by_hand():
    features = TableFeatures(TableShape(numbers=2, categories=(3, 2)))
    out = features(torch.tensor([[0.5, -7.0]]), torch.tensor([[2, 0]]))
    assert out.tolist() == [[0.5, -7.0, 0, 0, 1, 1, 0]]
    assert features.width == 7


def test_only_columns_with_many_categories_are_embedded():
    features = TableFeatures(TableShape(numbers=5, categories=(3, 17, 16, 101)), embedding=7)
    assert features.width == 5 + 3 + 7 + 16 + 7
    categories = torch.tensor([[2, 16, 15, 100], [0, 0, 0, 0]])
    out = features(torch.zeros(2, 5), categories)
    assert out.shape == (2, features.width)
    assert torch.equal(out[:, 8:15], features.embeddings["1"].weight[[16, 0]])
    assert torch.equal(out[:, 31:], features.embeddings["3"].weight[[100, 0]])


def test_an_embedding_is_a_one_hot_row_times_its_table():
    shape = TableShape(numbers=2, categories=(19,))
    embedded, one_hot = TableFeatures(shape, embedding=5), TableFeatures(shape)
    numbers, categories = torch.randn(7, 2), torch.randint(0, 19, (7, 1))
    product = one_hot(numbers, categories)[:, 2:] @ embedded.embeddings["0"].weight
    assert torch.allclose(embedded(numbers, categories)[:, 2:], product, atol=1e-6)


def test_no_categories_and_no_numbers():
    assert TableFeatures(TableShape(numbers=3))(torch.ones(2, 3), torch.empty(2, 0, dtype=torch.int64)).shape == (2, 3)
    assert TableFeatures(TableShape(0, (5,)))(torch.empty(2, 0), torch.ones(2, 1, dtype=torch.int64)).shape == (2, 5)


def test_one_hot_is_in_the_dtype_of_the_numbers():
    out = TableFeatures(TableShape(1, (2,)))(
        torch.ones(3, 1, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.int64)
    )
    assert out.dtype == torch.float64
