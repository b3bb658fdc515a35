import heapq
import itertools
import math

import numpy as np
import pytest

from deepen.core.errors import ShapeError
from deepen.ops.huffman import huffman_tree


def test_the_code_by_hand():
    # 1 + 2 = 3 joins (b: 0, c: 1); 3 + 3 = 6 joins (d before the inner node: d 0, inner 1); 5 + 6 = 11: a 0, inner 1
    tree = huffman_tree([5, 1, 2, 3])
    assert [tree.code(word) for word in range(4)] == ["0", "110", "111", "10"]
    assert tree.lengths.tolist() == [1, 3, 3, 2]
    assert tree.nodes[tree.starts[1] : tree.starts[2]].tolist() == [2, 1, 0]  # root V - 2 first


def cost_by_heap(counts):
    """The total length of the text in the best prefix code: the sum of the weights of all joins."""
    heap, total = list(counts), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total


@pytest.mark.parametrize("size", [2, 3, 17, 101, 997])
def test_it_costs_what_the_textbook_algorithm_costs_and_is_a_prefix_code(size):
    counts = np.random.default_rng(size).zipf(1.3, size).clip(max=10**9) - 1
    tree = huffman_tree(counts)
    assert int((counts * tree.lengths).sum()) == cost_by_heap(counts.tolist())
    codes = sorted(tree.code(word) for word in range(size))
    assert len(set(codes)) == size
    assert not any(b.startswith(a) for a, b in itertools.pairwise(codes))
    assert sum(2.0 ** -len(code) for code in codes) == pytest.approx(1, abs=1e-12)


def test_the_mean_length_is_within_one_bit_of_the_entropy():
    counts = 1 + np.random.default_rng(0).zipf(1.2, 5003).clip(max=10**8)
    shares = counts / counts.sum()
    entropy = -(shares * np.log2(shares)).sum()
    assert entropy <= (shares * huffman_tree(counts).lengths).sum() < entropy + 1


def test_words_that_never_occur_share_their_depth_instead_of_making_a_chain():
    lengths = huffman_tree([7] + [0] * 1024).lengths
    assert lengths[0] == 1 and set(lengths[1:].tolist()) <= {11, 12}
    assert lengths.max() <= 1 + math.ceil(math.log2(1024)) + 1


@pytest.mark.parametrize("counts", [[], [5], [3, -1]])
def test_what_has_no_tree_is_refused(counts):
    with pytest.raises(ShapeError, match=f"there are {len(counts)}"):
        huffman_tree(counts)
