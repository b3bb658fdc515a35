"""Subwords: equal to the reference, the same in every process, nothing lost, nothing fetched."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.core.errors import DataError, OptionError
from deepen.ops import byte_pair
from deepen.prepare import subword
from deepen.prepare.text import TextOptions, Tokenizer, encode, files, learn

tokenizers = pytest.importorskip("tokenizers")
KINDS = ("bpe", "wordpiece", "unigram")
SPECIALS = ("<pad>", "<unk>")


def corpus(seed: int = 0, num_texts: int = 211) -> list[str]:
    draw = random.Random(seed)
    stems = ["".join(draw.choices("abcdeé", k=draw.randint(2, 5))) for _ in range(41)]
    ends = ["", "", "ing", "er", "ed", ",", ".", " 12"]
    return [
        " ".join(draw.choice(stems) + draw.choice(ends) for _ in range(draw.randint(1, 13))) for _ in range(num_texts)
    ]


def learned(texts, kind="bpe", specials=SPECIALS, **options):
    state = learn(texts, TextOptions(level="subword", subword=kind, **options), [], specials=specials)
    assert json.loads(json.dumps(state)) == state
    return state


def test_bpe_equals_the_reference():
    """Merges and pieces are those of ops/byte_pair.py, which counts every pair anew for each merge."""
    texts = corpus()
    state = learned(texts, max_vocabulary=97, byte_fallback=False)
    library = tokenizers.Tokenizer.from_str(json.dumps(state["tokenizer"]))

    def words(text):
        return [word for word, _ in library.pre_tokenizer.pre_tokenize_str(library.normalizer.normalize_str(text))]

    theirs = [tuple(pair) for pair in state["tokenizer"]["model"]["merges"]]
    merges = byte_pair.learn_merges(Counter(word for text in texts for word in words(text)), len(theirs))
    assert merges == theirs and len(merges) > 50
    tokenizer = Tokenizer(state)
    for text in corpus(seed=1, num_texts=53):
        assert tokenizer.tokens(text) == [piece for word in words(text) for piece in byte_pair.encode(word, merges)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_ids_begin_with_specials_then_bytes_and_the_counts_are_of_the_texts(kind):
    texts = corpus()
    state = learned(texts, kind, specials=("<unk>", "<eos>"), max_vocabulary=97)
    tokenizer = Tokenizer(state)
    has_bytes = kind != "wordpiece"
    assert tokenizer.vocabulary[:2] == ["<unk>", "<eos>"]
    assert tuple(tokenizer.vocabulary[2:258]) == subword.BYTES if has_bytes else len(tokenizer) <= 99
    assert 2 + 60 < len(tokenizer) - 256 * has_bytes <= 2 + 97
    counted = Counter(piece for text in texts for piece in tokenizer.tokens(text))
    assert {
        piece: count for piece, count in zip(tokenizer.vocabulary, tokenizer.counts, strict=True) if count
    } == counted
    ids = encode(texts, state, "train", [])
    assert [ids.row(index).tolist() for index in range(len(texts))] == [tokenizer.ids(text) for text in texts]


LEARNS = """
import hashlib, json, sys
from deepen.prepare import subword
from deepen.prepare.text_options import TextOptions

texts = json.load(sys.stdin)
for kind in ("bpe", "wordpiece", "unigram"):
    options = TextOptions(level="subword", subword=kind, max_vocabulary=83)
    state = subword.learn(texts, options, ("<pad>", "<unk>"))
    print(hashlib.sha256(json.dumps(state).encode()).hexdigest())
assert "torch" not in sys.modules  # which takes longer to import than all of this
"""


def test_other_processes_and_orders_and_threads_learn_the_same():
    """The library's trainers of wordpiece and unigram do not: their ties and sums fall by chance in each process."""
    texts, found = corpus(), []
    for parallel, sent in (("false", texts), ("true", texts[::-1])):
        environment = {**os.environ, "PYTHONPATH": "src", "TOKENIZERS_PARALLELISM": parallel}
        command = [sys.executable, "-c", LEARNS]
        done = subprocess.run(
            command, env=environment, input=json.dumps(sent), capture_output=True, text=True, check=True
        )
        found.append(done.stdout.split())
    assert found[0] == found[1] and len(set(found[0])) == len(KINDS)


STATES = {kind: learned(corpus(), kind, max_vocabulary=97, normalize="none") for kind in ("bpe", "unigram")}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(alphabet="ab é,1\n\t  \x00👩🏽‍🚀字\u202e\u0301<>", max_size=30) | st.text(max_size=20))
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_with_bytes_nothing_is_lost(kind, text):
    if "\u2581" in text or any(special in text for special in SPECIALS):
        return
    tokenizer = Tokenizer(STATES[kind])
    ids = tokenizer.ids(text)
    assert tokenizer.text(ids) == text.encode("utf-8", "replace").decode() or "\ud800" <= max(text) <= "\udfff"
    assert tokenizer.unknown not in ids and bool(ids) == bool(text)


def test_the_size_is_said():
    faults = []
    state = learn(corpus(), TextOptions(level="subword", max_vocabulary=97), faults)
    said = f"{len(state['counts'])} pieces in the vocabulary, of {sum(state['counts']):,} tokens for training."
    assert [fault.sentence() for fault in faults] == [said]


def test_a_special_in_the_text_is_that_special():
    tokenizer = Tokenizer(STATES["bpe"])
    word = tokenizer.tokens("ab")
    assert tokenizer.ids("<unk>") == [1] and tokenizer.tokens("ab <unk> ab") == [*word, "<unk>", *word]
    assert tokenizer.ids("\ud800") == tokenizer.ids("\ufffd")


def test_specials_are_not_learned_from():
    state = learned(["<unk> ab"] * 50 + corpus(), max_vocabulary=97, byte_fallback=False)
    assert not {"<", ">", "unk", "▁<"} & set(Tokenizer(state).vocabulary)
    assert Tokenizer(state).counts[1] == 50


def test_without_bytes_an_unknown_character_is_unknown():
    for kind in KINDS:
        tokenizer = Tokenizer(learned(corpus(), kind, max_vocabulary=97, byte_fallback=False))
        assert tokenizer.unknown in tokenizer.ids("字")


def test_wordpiece_takes_the_longest_piece_first():
    state = learned(["abcd abcd abcd ab ab cd cd abx"] * 3, "wordpiece", max_vocabulary=23)
    tokenizer = Tokenizer(state)
    assert tokenizer.tokens("abcd abx") == ["abcd", "abx"]
    assert tokenizer.tokens("cdbb") == ["cd", "##b", "##b"]
    assert tokenizer.tokens("cdab") == ["<unk>"], "a was never seen inside a word"
    assert tokenizer.text(tokenizer.ids("abcd cdbb")) == "abcd cdbb"


def test_lower_case_and_normal_forms_stand_in_the_tokenizer():
    for kind in KINDS:
        tokenizer = Tokenizer(learned(corpus(), kind, max_vocabulary=97, lower=True, normalize="NFKC"))
        assert tokenizer.ids("ABＣe\u0301") == tokenizer.ids("abc\u00e9")


def test_a_long_text_is_given_in_parts_and_encoded_as_a_whole():
    text = " ".join(corpus(num_texts=5003))
    assert len(text) > 2 * 65_536
    state = STATES["bpe"]
    library = tokenizers.Tokenizer.from_str(json.dumps(state["tokenizer"]))
    assert len(list(subword._parts(text))) > 2
    assert Tokenizer(state).ids(text) == library.encode(text).ids
    assert Tokenizer(state).text(Tokenizer(state).ids(text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_one_character_without_end_is_learned_in_time_that_grows_with_its_length(kind):
    seconds = []
    for num_characters in (200_000, 800_000):
        start = time.process_time()
        state = learned(["a" * num_characters + " b"], kind, max_vocabulary=101)
        seconds.append(time.process_time() - start)
    assert max(map(len, Tokenizer(state).vocabulary)) <= subword.LONGEST + 2
    assert seconds[1] < 10 * (seconds[0] + 0.2)  # quadratic would be 16 times


@pytest.mark.parametrize(
    ("kind", "options", "error", "match"),
    [
        ("wordpiece", {"byte_fallback": True}, OptionError, "wordpiece has no bytes to fall back to"),
        ("unigram", {"min_count": 2}, OptionError, "--text.min-count: means nothing with --text.subword unigram"),
    ],
)
def test_options_that_contradict_each_other_are_refused(kind, options, error, match):
    with pytest.raises(error, match=match):
        learned(corpus(), kind, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_without_two_pieces_are_refused(kind):
    with pytest.raises(DataError, match="different pieces; expected at least two"):
        learned(["", ""], kind)


def test_a_missing_library_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    subword._library.cache_clear()
    with pytest.raises(OptionError, match=r"pip install deepen\[text\]"):
        learned(corpus())
    subword._library.cache_clear()


def test_the_file_is_one_that_the_library_reads(tmp_path):
    state = STATES["unigram"]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(files(state)["tokenizer.json"]), "utf-8")
    assert tokenizers.Tokenizer.from_file(str(path)).encode("abc 字").ids == Tokenizer(state).ids("abc 字")
