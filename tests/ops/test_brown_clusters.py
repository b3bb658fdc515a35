import itertools
import math

import numpy as np
import pytest

from deepen.ops.brown_clusters import brown_clusters, log_within, mutual_information

WORDS = 17


def text_of(seed, length=211):
    draw = np.random.default_rng(seed)
    return draw.choice(WORDS, size=length, p=draw.dirichlet(np.full(WORDS, 0.5)))


def pairs_of(text):
    return np.stack([text[:-1], text[1:]], axis=1)


def f(x):
    return x * math.log(x) if x > 0 else 0.0


def naive(pairs, counts, num_classes, most_words=None, alone=()):
    """The same greedy agglomeration, with the whole sum anew for every pair of classes."""
    table = np.zeros((WORDS, WORDS))
    for a, b in pairs:
        table[a, b] += 1
    left, right = table.sum(1), table.sum(0)

    def total(classes):
        margins = sum(f(sum(left[w] for w in c)) + f(sum(right[w] for w in c)) for c in classes)
        return sum(f(sum(table[a, b] for a in c for b in d)) for c in classes for d in classes) - margins

    words = [w for w in sorted(range(WORDS), key=lambda w: (-counts[w], w)) if counts[w] > 0 and w not in alone]
    classes = []
    for done, word in enumerate([*alone, *words]):
        classes.append([word])
        if len(classes) <= num_classes:
            continue
        best, before = None, total(classes)
        for i, j in itertools.combinations(range(len(classes)), 2):
            if i < len(alone) or (most_words is not None and done >= most_words and j < len(classes) - 1):
                continue
            rest = [c for k, c in enumerate(classes) if k not in (i, j)]
            cost = before - total([*rest, classes[i] + classes[j]])
            if best is None or cost < best[0] - 1e-7:
                best = (cost, i, j)
        _, i, j = best
        classes[i] = classes[i] + classes[j]
        del classes[j]
    of = np.full(WORDS, len(classes))
    for number, members in enumerate(classes):
        of[members] = number
    return of


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("how", [{}, {"most_words": 9}, {"alone": (3,)}, {"alone": (3, 5), "most_words": 7}])
def test_the_table_of_costs_merges_what_the_whole_sum_merges(seed, how):
    text = text_of(seed)
    counts = np.bincount(text, minlength=WORDS)
    found = brown_clusters(pairs_of(text), counts, 5, **how)
    assert found.of.tolist() == naive(pairs_of(text), counts, 5, **how).tolist()


def test_mutual_information_is_its_definition():
    text, of = text_of(1), np.arange(WORDS) % 3
    pairs = pairs_of(text)
    expected = 0.0
    for a in range(3):
        for b in range(3):
            joint = np.mean((of[pairs[:, 0]] == a) & (of[pairs[:, 1]] == b))
            if joint > 0:
                expected += joint * math.log(joint / (np.mean(of[pairs[:, 0]] == a) * np.mean(of[pairs[:, 1]] == b)))
    assert mutual_information(pairs, of) == pytest.approx(expected, abs=1e-12)
    assert mutual_information(pairs[:0], of) == 0


def test_planted_classes_are_found():
    draw = np.random.default_rng(0)
    kinds = [list(range(5)), list(range(5, 12)), list(range(12, 17))]  # one of each, over and over
    text = np.array([draw.choice(kinds[i % 3]) for i in range(3001)])
    found = brown_clusters(pairs_of(text), np.bincount(text, minlength=WORDS), 3)
    assert {tuple(np.flatnonzero(found.of == k)) for k in range(3)} == {tuple(kind) for kind in kinds}
    assert found.information == pytest.approx(math.log(3), abs=0.01)


def test_words_that_do_not_occur_are_a_class_of_their_own_and_shares_add_up():
    text = text_of(2)
    text = text[text < 11]
    counts = np.bincount(text, minlength=WORDS)
    found = brown_clusters(pairs_of(text), counts, 4)
    absent = found.of[counts == 0]
    assert found.number == 5 and len(set(absent.tolist())) == 1 and not (found.of[counts > 0] == absent[0]).any()
    share = 10 ** log_within(counts, found.of)
    assert np.bincount(found.of, share) == pytest.approx(np.ones(5))
    assert share[counts == 0] == pytest.approx(1 / (counts == 0).sum())


def test_progress_is_told():
    text, told = text_of(3), []
    brown_clusters(pairs_of(text), np.bincount(text, minlength=WORDS), 4, progress=lambda *each: told.append(each))
    number = len(set(text.tolist()))
    assert told == [(k, number) for k in range(1, number + 1)]
