from __future__ import annotations

import numpy as np
import torch

from deepen.prepare.encoded import Draws
from deepen.prepare.ragged import Ragged
from deepen.prepare.text_inputs import padded, rows_at_once, say_longer, warn_of_named_classes, with_dropped_words


def test_texts_stand_side_by_side_with_a_mask():
    ids, mask = padded(Ragged.of([[5, 3], [], [7, 2, 4]]), np.array([1, 0]), 9)
    assert ids.tolist() == [[9, 9], [5, 3]] and mask.tolist() == [[False, False], [True, True]]


def test_dropped_words_depend_on_row_and_place_alone():
    rows, draws = np.array([11, 3, 7]), Draws(seed=5, epoch=2)
    ids, mask = torch.full((3, 40), 17), torch.ones(3, 40, dtype=torch.bool)
    mask[1, 30:] = False
    whole = with_dropped_words(ids, mask, rows, draws, share=0.3, unknown=1, use="a")
    alone = with_dropped_words(ids[2:, :35], mask[2:, :35], rows[2:], draws, share=0.3, unknown=1, use="a")
    assert torch.equal(whole[2:, :35], alone)
    assert set(whole.unique().tolist()) == {1, 17} and (whole[1, 30:] == 17).all()
    assert not torch.equal(whole, with_dropped_words(ids, mask, rows, Draws(5, 3), share=0.3, unknown=1, use="a"))
    assert not torch.equal(whole, with_dropped_words(ids, mask, rows, draws, share=0.3, unknown=1, use="b"))


def test_the_share_of_dropped_words_is_the_one_asked_for():
    rows = np.arange(500)
    ids, mask = torch.full((500, 40), 17), torch.ones(500, 40, dtype=torch.bool)
    found = with_dropped_words(ids, mask, rows, Draws(0, 0), share=0.2, unknown=1, use="a")
    assert abs((found == 1).float().mean() - 0.2) < 0.01


def test_long_texts_are_answered_few_at_a_time():
    assert [rows_at_once(longest) for longest in (0, 20, 1000, 10**6)] == [500, 500, 50, 1]


def test_texts_beyond_the_longest_of_training_are_counted():
    faults = []
    say_longer(Ragged.of([[1] * 5, [1] * 6, [1] * 7]), 5, "test", faults)
    assert faults[0].kind == "text-longer" and "2 texts of test" in faults[0].message
    say_longer(Ragged.of([[1] * 5]), 5, "test", faults)
    assert len(faults) == 1


def named(texts, labels):
    faults = []
    warn_of_named_classes(texts, labels, faults)
    return faults


def test_a_class_whose_name_stands_in_all_of_its_texts_is_a_warning():
    texts = [f"[Sports] match {n}" for n in range(7)] + [f"shares {n}" for n in range(9)]
    faults = named(texts, ["sports"] * 7 + ["money"] * 9)
    assert [fault.kind for fault in faults] == ["label-in-text"]
    assert "'sports' stands in all 7" in faults[0].message and "0 of the other 9" in faults[0].message


def test_a_name_that_is_part_of_a_word_or_common_or_missing_once_is_no_warning():
    others = [f"shares {n}" for n in range(9)]
    assert not named([f"artful {n}" for n in range(7)] + others, ["art"] * 7 + ["money"] * 9)
    assert not named([f"art {n}" for n in range(7)] + [f"art of {n}" for n in range(9)], ["art"] * 7 + ["money"] * 9)
    assert not named([f"art {n}" for n in range(6)] + ["paint", *others], ["art"] * 7 + ["money"] * 9)
    assert not named(["art"] * 4 + others, ["art"] * 4 + ["money"] * 9)  # too few texts to tell


def test_chinese_names_count_wherever_they_stand():
    texts = [f"今天体育新闻{n}" for n in range(5)] + [f"股票{n}" for n in range(5)]
    assert [fault.kind for fault in named(texts, ["体育"] * 5 + ["财经"] * 5)] == ["label-in-text"]
