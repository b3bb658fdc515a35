import itertools

import numpy as np
import pytest

from deepen.prepare.tags import Span, allowed, joined, repaired, scheme_of, spans, split_tag, vocabulary, written


def conlleval_chunks(tags):
    """The rules of the script conlleval.pl, written out tag by tag as it states them."""

    def end_of_chunk(prev, tag, prev_type, kind):
        return (
            (prev, tag) in [("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O")]
            or (prev, tag) in [("B", "S"), ("I", "S"), ("E", "B"), ("E", "S"), ("S", "B"), ("S", "I"), ("S", "O")]
            or (prev, tag) in [("S", "S"), ("S", "E")]
            or (prev not in ("O", ".") and prev_type != kind)
        )

    def start_of_chunk(prev, tag, prev_type, kind):
        return (
            (prev, tag) in [("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E")]
            or (prev, tag) in [("E", "B"), ("S", "B"), ("S", "I"), ("S", "E")]
            or tag == "S"
            or (tag not in ("O", ".") and prev_type != kind)
        )

    found, start, prev, prev_type = [], None, "O", ""
    for place, whole in enumerate([*tags, "O"]):
        tag, _, kind = whole.partition("-")
        if start is not None and end_of_chunk(prev, tag, prev_type, kind):
            found.append(Span(start, place, prev_type))
            start = None
        if start_of_chunk(prev, tag, prev_type, kind):
            start = place
        prev, prev_type = tag, kind
    return found


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4])
def test_entities_are_those_of_conlleval_for_every_sequence(length):
    every = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("A", "B"))]
    for tags in itertools.product(every, repeat=length):
        assert spans(tags) == conlleval_chunks(tags), tags


def test_long_random_sequences_too():
    draw = np.random.default_rng(0)
    every = ["O", "O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC", "creative-work"))]
    for _ in range(200):
        tags = draw.choice(every, 41).tolist()
        assert spans(tags) == conlleval_chunks(tags)


def random_entities(draw, length):
    entities, place = [], 0
    while place < length:
        if draw.random() < 0.5:
            end = min(length, place + int(draw.integers(1, 4)))
            entities.append(Span(place, end, str(draw.choice(["PER", "LOC"]))))
            place = end
        else:
            place += 1
    return entities


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_what_is_written_is_read_again_and_needs_no_repair(scheme):
    draw = np.random.default_rng(0)
    for _ in range(100):
        entities = random_entities(draw, 17)
        tags = written(entities, 17, scheme)
        assert spans(tags) == entities
        assert repaired(tags, scheme) == (tags, [])


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_the_scheme_is_found_by_looking(scheme):
    draw = np.random.default_rng(1)
    assert scheme_of([written(random_entities(draw, 17), 17, scheme) for _ in range(20)]) == scheme


def test_schemes_by_hand():
    assert scheme_of([["B-PER", "L-PER", "O", "U-LOC"]]) == "BIOES"
    assert scheme_of([["DET", "NOUN"], ["O"]]) == "plain"
    assert scheme_of([["B-NP", "I-NP"]]) == "plain"  # nothing is outside: nobody can tell
    assert scheme_of([["O", "O"]]) == "BIO"
    assert scheme_of([["B", "I", "O"]]) == "BIO"
    assert scheme_of([["I", "O"]]) == "plain"
    assert scheme_of([["B", "I-X", "O"]]) == "plain"
    assert scheme_of([["O", "B-PER", "I-PER"], ["I-LOC", "O", "B-LOC"]]) == "BIO"  # one slip makes no IOB1
    assert split_tag("B-") == ("", "B-") and joined("B", "") == "B"


def test_repairs_by_hand():
    assert repaired(["I-PER", "O", "B-PER", "I-LOC"], "BIO") == (["B-PER", "O", "B-PER", "B-LOC"], [0, 3])
    assert repaired(["B-PER", "I-PER", "O"], "BIOES") == (["B-PER", "E-PER", "O"], [1])
    assert repaired(["U-PER", "O"], "BIOES") == (["S-PER", "O"], [])  # another spelling, no fault
    assert repaired(["B-PER", "B-PER"], "IOB1") == (["I-PER", "B-PER"], [0])


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_allowed_sequences_are_those_that_need_no_repair(scheme):
    tags = vocabulary(["A", "B"], scheme)
    may = allowed(tags, scheme)
    start, end = len(tags), len(tags) + 1
    for row in itertools.product(range(len(tags)), repeat=3):
        path = [start, *row, end]
        is_allowed = all(may[i, j] for i, j in itertools.pairwise(path))
        names = [tags[i] for i in row]
        assert is_allowed == (not repaired(names, scheme)[1]), names
    assert not may[end].any() and not may[:, start].any() and not may[start, end]


def test_plain_tags_may_follow_each_other():
    may = allowed(["DET", "NOUN"], "plain")
    assert may[:3, :2].all() and may[:2, 3].all() and not may[3].any() and not may[:, 2].any()


def test_the_vocabulary_of_a_scheme():
    assert vocabulary(["A"], "BIO") == ["O", "B-A", "I-A"]
    assert vocabulary(["A", ""], "BIOES") == ["O", "B-A", "I-A", "E-A", "S-A", "B", "I", "E", "S"]
