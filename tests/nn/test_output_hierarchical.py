import numpy as np
import pytest
import torch

from deepen.nn.output_hierarchical import ClassSoftmax, HuffmanSoftmax, frequency_classes
from deepen.ops.huffman import huffman_tree


def test_classes_by_hand():
    # 20 words of text; in falling order 8, 5, 4, 2, 1 with 0, 8, 13, 17, 19 before them; of four classes: 0, 1, 2, 3, 3
    words, sizes = frequency_classes([2, 8, 4, 1, 5], 4)
    assert words.tolist() == [1, 4, 2, 0, 3]
    assert sizes.tolist() == [1, 1, 1, 2]


def test_a_word_with_the_share_of_several_classes_leaves_some_out():
    assert frequency_classes([97, 1, 1, 1], 4)[1].tolist() == [1, 3]


def test_classes_hold_about_one_share_of_the_text_each():
    counts = (100_000 / np.arange(1, 10_008)).astype(int)
    words, sizes = frequency_classes(counts, 100)
    mass = np.add.reduceat(counts[words], np.cumsum(sizes) - sizes) / counts.sum()
    largest_word = counts.max() / counts.sum()
    assert mass.max() <= 0.01 + largest_word and len(sizes) >= 75 and mass[20:].max() < 0.013


def test_two_levels_by_hand():
    torch.manual_seed(0)
    layer = ClassSoftmax(3, [2, 8, 4, 1, 5], 4)
    h = torch.randn(1, 3)
    classes = torch.softmax(layer.classes(h), 1)[0]
    inside = torch.softmax((layer.words.weight[3:] @ h[0] + layer.words.bias[3:]), 0)  # words 0 and 3, in this order
    found = layer.log_probabilities(h)[0].exp()
    wanted = [classes[3] * inside[0], classes[0], classes[2], classes[3] * inside[1], classes[1]]
    assert found.tolist() == pytest.approx([value.item() for value in wanted], rel=1e-5)


def test_a_path_by_hand():
    torch.manual_seed(0)
    counts = [5, 1, 2, 3]  # codes 0, 110, 111, 10; inner nodes from the root 2, 1, 0
    layer = HuffmanSoftmax(3, counts)
    h = torch.randn(1, 3)
    s = layer.nodes(h)[0]
    left, right = torch.sigmoid(s), torch.sigmoid(-s)
    wanted = [left[2], right[2] * right[1] * left[0], right[2] * right[1] * right[0], right[2] * left[1]]
    assert layer.log_probabilities(h)[0].exp().tolist() == pytest.approx([p.item() for p in wanted], rel=1e-5)
    assert layer.mean_length == pytest.approx((5 * 1 + 1 * 3 + 2 * 3 + 3 * 2) / 11)


def test_the_expected_cost_of_both_is_below_that_of_all_words():
    counts = (200_000 / np.arange(1, 10_008)).astype(int)
    share = counts / counts.sum()
    layer = ClassSoftmax(3, counts.tolist())
    of_word = np.asarray(layer.sizes)[layer.class_at[layer.place_of].numpy()]
    assert len(layer.sizes) + (share * of_word).sum() < 0.05 * len(counts)
    assert HuffmanSoftmax(3, counts.tolist()).mean_length == pytest.approx((share * huffman_tree(counts).lengths).sum())
    assert HuffmanSoftmax(3, counts.tolist()).mean_length < 0.002 * len(counts)
