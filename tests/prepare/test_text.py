"""Texts to ids: by hand, round trips, and what is said and refused."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.core.errors import DataError, OptionError
from deepen.prepare import segment
from deepen.prepare.text import TextOptions, Tokenizer, encode, encode_tokens, files, learn, learn_tokens
from deepen.prepare.text_splitting import BYTES

TEXTS = ["the cat sat", "the dog sat , the end", "", "a cat 's <unk> nap"]
EOS = ("<unk>", "<eos>")


def learned(texts, specials=("<pad>", "<unk>"), **options):
    faults = []
    state = learn(texts, TextOptions(**options), faults, specials=specials)
    assert json.loads(json.dumps(state)) == state
    return state, faults


def said(faults, kind):
    return [fault.sentence() for fault in faults if fault.kind == kind]


def test_words_by_hand():
    state, _ = learned(TEXTS, splitter="whitespace")
    words = Tokenizer(state)
    assert words.vocabulary == ["<pad>", "<unk>", "the", "cat", "sat", "'s", ",", "a", "dog", "end", "nap"]
    assert words.counts == [0, 1, 3, 2, 2, 1, 1, 1, 1, 1, 1]
    assert words.ids("the bird sat <unk> <pad>") == [2, 1, 4, 1, 0]
    assert words.tokens("the bird") == ["the", "bird"]
    assert words.text([2, 3, 1]) == "the cat <unk>"
    assert (words.id_of("cat"), words.id_of("bird"), words.id_of("<pad>"), words.unknown) == (3, 1, 0, 1)


def test_encode_keeps_one_row_for_each_text():
    state, _ = learned(TEXTS, splitter="whitespace")
    faults = []
    ids = encode([*TEXTS, "  \t "], state, "val", faults)
    tokenizer = Tokenizer(state)
    assert [ids.row(index).tolist() for index in range(5)] == [tokenizer.ids(text) for text in [*TEXTS, ""]]
    assert ids.lengths.tolist() == [3, 6, 0, 5, 0]
    assert said(faults, "text-empty") == ["val: 2 texts without a token, answered as empty ones."]
    assert said(faults, "text-unknown") == ["val: 1 token unknown (7.1% of all)."]
    assert len(encode([], state, "val", [])) == 0


def test_rare_words_are_counted_at_unknown():
    texts = ["b b b a a c d <unk>"]
    for options, kept, unknown in (({"min_count": 2}, ["b", "a"], 3), ({"max_vocabulary": 3}, ["b", "a", "c"], 2)):
        state, faults = learned(texts, splitter="whitespace", specials=EOS, **options)
        tokenizer = Tokenizer(state)
        assert tokenizer.vocabulary == [*EOS, *kept]
        assert tokenizer.counts[:2] == [unknown, 0]
        assert sum(tokenizer.counts) == 8
        assert "count as unknown" in said(faults, "text-vocabulary")[0]


@pytest.mark.parametrize("level", ["word", "character", "byte"])
def test_the_order_of_the_texts_changes_nothing(level):
    draw = random.Random(3)
    texts = [" ".join(draw.choices("abcdefgh", k=7)) for _ in range(53)]
    state, _ = learned(texts, level=level)
    draw.shuffle(texts)
    assert learned(texts, level=level)[0] == state


def test_an_iterator_gives_what_a_list_gives():
    assert learned(iter(TEXTS))[0] == learned(TEXTS)[0]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_bytes_of_any_text_come_back_exactly(text):
    tokenizer = Tokenizer(BYTES_STATE)
    assert tokenizer.text(tokenizer.ids(text)) == text
    assert len(tokenizer) == 258 and tokenizer.tokens(text) == [tokenizer.vocabulary[i] for i in tokenizer.ids(text)]


BYTES_STATE = learned(["some text"], level="byte")[0]
NASTY = "\x00\x1b[31m\u202eab\u200d\u0301👩🏽‍🚀\ud800 <unk> <0x41>\r\n\t\u2028end"


def test_control_characters_and_halves_of_pairs_come_back_exactly():
    tokenizer = Tokenizer(BYTES_STATE)
    assert tokenizer.text(tokenizer.ids(NASTY)) == NASTY
    state, _ = learned([NASTY], level="character")
    tokenizer = Tokenizer(state)
    assert tokenizer.text(tokenizer.ids(NASTY)) == NASTY
    assert 1 not in tokenizer.ids(NASTY), "the five characters of <unk> are characters"


def test_bytes_that_are_no_text_are_shown_and_specials_named():
    tokenizer = Tokenizer(BYTES_STATE)
    assert tokenizer.text([2 + 0xC3, 1, 2 + 0x61]) == "\ufffd<unk>a"
    assert BYTES[0xE4] == "<0xE4>"


def test_characters_are_of_the_normalized_text():
    state, _ = learned(["cafe\u0301 CAFÉ"], level="character", lower=True)
    tokenizer = Tokenizer(state)
    assert tokenizer.text(tokenizer.ids("Cafe\u0301")) == "caf\u00e9"
    assert tokenizer.unknown in tokenizer.ids("z")


def test_normal_forms_are_stored_and_make_one_word():
    state, _ = learned(["cafe\u0301 caf\u00e9", "tea tea"])
    assert state["normalize"] == "NFC"
    assert Tokenizer(state).counts[2:] == [2, 2]
    wide, _ = learned(["ｔｅａ tea x x x"], normalize="NFKC")
    assert Tokenizer(wide).ids("ｔｅａ") == Tokenizer(wide).ids("tea") == [3]
    assert Counter(learned(["cafe\u0301 caf\u00e9"], normalize="none")[0]["counts"])[1] == 2
    assert BYTES_STATE["normalize"] == "none"


def test_text_split_before_is_split_at_blanks_and_that_is_said():
    state, faults = learned(["it 's @-@ split , here"] * 20)
    assert state["splitter"] == "whitespace" and "@-@" in state["vocabulary"]
    assert "were split before" in said(faults, "text-splitter")[0]
    assert learned(["it's not split, here"] * 20)[0]["splitter"] == "rules"


def test_words_between_blanks_are_taken_as_they_are_and_others_cleaned():
    kept = learned(["a \ufeff b a\u00ad"], splitter="whitespace")[0]["vocabulary"]
    assert kept[2:] == ["a", "a\u00ad", "b", "\ufeff"]
    assert learned(["a \ufeff b a\u00ad\x00"], splitter="rules")[0]["vocabulary"][2:] == ["a", "b"]


CHINESE = ["我来到北京清华大学", "60年铁树开花形状似玉米芯(组图)"] * 3


def test_chinese_is_segmented_with_jieba_and_that_is_said():
    pytest.importorskip("jieba")
    state, faults = learned(CHINESE)
    assert state["splitter"] == "jieba" and "jieba" in said(faults, "text-splitter")[0]
    tokenizer = Tokenizer(state)
    assert tokenizer.tokens("我来到北京清华大学 2026 <unk>") == ["我", "来到", "北京", "清华大学", "2026", "<unk>"]
    assert tokenizer.text(tokenizer.ids("北京清华大学 60 年")) == "北京清华大学 60 年"


def test_without_jieba_every_han_character_is_a_token(monkeypatch):
    monkeypatch.setattr(segment, "is_installed", lambda: False)
    state, faults = learned(CHINESE)
    assert state["splitter"] == "rules" and "pip install deepen[text]" in said(faults, "text-splitter")[0]
    assert Tokenizer(state).tokens("北京 60年") == ["北", "京", "60", "年"]
    with pytest.raises(OptionError, match=r"jieba is not installed; pip install deepen\[text\]"):
        learned(CHINESE, splitter="jieba")


def test_another_version_of_the_segmenter_is_said():
    pytest.importorskip("jieba")
    state, _ = learned(CHINESE)
    faults = []
    encode(CHINESE, state | {"jieba": "0.1"}, "val", faults)
    assert "0.1 did in training" in said(faults, "text-splitter")[0]


def test_long_texts_are_cut_by_rule_and_counted():
    state, _ = learned(["a b c d e", "a b", "b c d"], max_length=3)
    faults = []
    ids = encode(["a b c d e", "a b", "b c d", "e d c b a"], state, "train", faults)
    assert ids.lengths.tolist() == [3, 2, 3, 3]
    assert Tokenizer(state).text(ids.row(3).tolist()) == "e d c"
    assert said(faults, "text-cut") == ["train: 2 texts cut after 3 tokens (--text.max-length), the longest has 5."]
    assert len(Tokenizer(state).ids("a b c d e")) == 5


@pytest.mark.parametrize(
    ("texts", "options", "match"),
    [
        (["", "  \n"], {}, "hold no token"),
        ([], {"level": "byte"}, "hold no token"),
        (["<unk> <pad>", "<unk>"], {"splitter": "whitespace"}, "hold no token"),
        (["yes yes", "yes"], {}, "the word 'yes' alone, 3 times"),
        (["aaaa"], {"level": "character"}, "the character 'a' alone, 4 times"),
        (["a b c"], {"min_count": 2}, "--text.min-count 2: none of the 3 different words"),
    ],
)
def test_a_vocabulary_of_nothing_is_refused(texts, options, match):
    with pytest.raises(DataError, match=match):
        learned(texts, **options)


def test_words_that_are_all_different_are_said_and_refused_where_they_are_many():
    _, faults = learned(["one two", "three"])
    assert "all 3 words of the training texts are different" in said(faults, "text-all-different")[0]
    many = [f"a{index} b{index}" for index in range(50)]
    with pytest.raises(DataError, match=r"all 100 words of the training texts are different.* --text\.level character"):
        learned(many)
    assert not said(learned([*many, "a0"])[1], "text-all-different")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"level": "byte", "max_vocabulary": 99}, r"--text\.max-vocabulary: means nothing with --text\.level byte"),
        ({"level": "byte", "min_count": 2}, r"--text\.min-count"),
        ({"level": "character", "splitter": "rules"}, r"--text\.splitter: means nothing with --text\.level character"),
        ({"subword": "unigram"}, r"--text\.subword: means nothing with --text\.level word"),
        ({"byte_fallback": True}, r"--text\.byte-fallback: means nothing"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, match):
    with pytest.raises(OptionError, match=match):
        learned(TEXTS, **options)


def test_ids_of_another_tokenizer_are_refused():
    first, second = (Tokenizer(learned(texts)[0]) for texts in (TEXTS, TEXTS[:2]))
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == Tokenizer(learned(reversed(TEXTS))[0]).fingerprint
    assert first.fingerprint == Tokenizer(learned(TEXTS, max_length=2)[0]).fingerprint
    assert first.fingerprint != Tokenizer(learned(TEXTS, lower=True)[0]).fingerprint
    for wrong in (len(first), -1):
        with pytest.raises(DataError, match=f"id {wrong}: outside the vocabulary of {len(first)} tokens"):
            first.text([2, wrong])


def test_given_tokens_are_one_word_each_whatever_they_hold():
    rows = [["New York", "is", "U.S.A."], [], ["E\u0301", "is"]]
    faults = []
    state = learn_tokens(rows, TextOptions(), faults)
    ids = encode_tokens(rows, state, "train", faults)
    assert ids.lengths.tolist() == [3, 0, 2]
    assert [state["vocabulary"][i] for i in ids.values.tolist()] == ["New York", "is", "U.S.A.", "\u00c9", "is"]
    assert Tokenizer(state).ids_of_tokens(["Paris"]).tolist() == [1]
    with pytest.raises(OptionError, match="expected word"):
        learn_tokens(rows, TextOptions(level="character"), [])


def test_only_subwords_have_a_file():
    assert files(BYTES_STATE) == {}


def test_ten_thousand_short_texts_take_little_time():
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=5)) for _ in range(5003)]
    texts = [" ".join(draw.choices(words, k=20)) + "." for _ in range(10_007)]
    start = time.process_time()
    state, _ = learned(texts)
    ids = encode(texts, state, "val", [])
    assert time.process_time() - start < 2.0  # 0.3 s where nothing else runs
    assert len(ids.values) == 10_007 * 21


def test_wikitext_has_the_published_vocabulary(shared_data):
    path = shared_data("wikitext2") / "wikitext-2" / "wiki.train.tokens"
    lines = path.read_text("utf-8").split("\n")[:-1]
    assert len(lines) == 36_718
    state, _ = learned(lines, specials=EOS)
    # 33,278 tokens with <unk> and <eos>, 2,088,628 with one <eos> a line (Merity et al. 2016)
    assert state["splitter"] == "whitespace" and len(state["vocabulary"]) == 33_278
    assert sum(state["counts"]) + len(lines) == 2_088_628
    ids = encode(lines, state, "train", [])
    assert np.bincount(ids.values.numpy(), minlength=33_278).tolist() == state["counts"]
