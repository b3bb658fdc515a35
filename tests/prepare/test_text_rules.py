"""Splitting by rules: by hand, and the promise that splitting twice changes nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.prepare.text_rules import cleaned, han_runs, is_chinese, is_split, normalized, rules

SPECIALS = ("<pad>", "<unk>")
split = rules(SPECIALS)
# Letters, marks, digits, signs, emoji with their joiners, Han, kana, Thai, Arabic, blanks, controls, formats.
ALPHABET = (
    "aZéßıİſ'’-_.,:1０½²9<>unkpd \t\n\u3000\u00a0\u0301\u0308\u0327\u093f\u200b\u200c\u200d\ufe0f\u20e3\u00ad\ufeff"
    "\u202e\x00\x1f\x85😀👩🚀🏽🇩🇪#*©字体々〇のカไทยعرب\U000e0067\U000e007f\U00020bb7Σςﬁ㍿\ud800"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, well-known O’Neill!", ["Don't", "stop", ",", "well-known", "O’Neill", "!"]),
        ("It costs $1,000.50 (3.5mm).", ["It", "costs", "$", "1,000.50", "(", "3.5", "mm", ")", "."]),
        ("on 12.05.2026 the 2nd B2B", ["on", "12.05.2026", "the", "2nd", "B2B"]),
        ("rock 'n' roll - a--b", ["rock", "'", "n", "'", "roll", "-", "a", "-", "-", "b"]),
        ("体验2D巅峰", ["体", "验", "2D", "巅", "峰"]),
        ("a<unk>b <unks>", ["a", "<unk>", "b", "<", "unks", ">"]),
        ("👩🏽‍🚀🇩🇪🇫🇷3️⃣!", ["👩🏽‍🚀", "🇩🇪", "🇫🇷", "3️⃣", "!"]),
        ("☺️👍🏿👨‍👩‍👧", ["☺️", "👍🏿", "👨‍👩‍👧"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("नमस्ते می‌خواهم", ["नमस्ते", "می‌خواهم"]),
        ("e\u0301a \u0301", ["e\u0301a", "\u0301"]),
        ("...", [".", ".", "."]),
        ("", []),
        (" \t\n\u3000", []),
    ],
)
def test_by_hand(text, expected):
    assert split(text) == expected


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.text(alphabet=ALPHABET, max_size=40) | st.text(max_size=20),
    st.sampled_from(["NFC", "NFKC", "none"]),
    st.booleans(),
)
def test_what_was_split_and_joined_is_split_alike(text, form, lower):
    def tokens(text):
        return split(normalized(cleaned(text), form, lower=lower))

    once = tokens(text)
    assert tokens(" ".join(once)) == once
    assert "".join(once) == "".join(normalized(cleaned(text), form, lower=lower).split())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.text(max_size=30) | st.text(alphabet=ALPHABET, max_size=30),
    st.sampled_from(["NFC", "NFKC", "none"]),
    st.booleans(),
)
def test_cleaning_and_normalizing_twice_change_nothing(text, form, lower):
    once = normalized(cleaned(text), form, lower=lower)
    assert normalized(cleaned(once), form, lower=lower) == once
    assert form == "none" or unicodedata.is_normalized(form, once)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and not c.isspace() for c in once)


def test_every_plain_word_goes_the_short_way_and_the_long_one_alike():
    # The first alternative is a shortcut for ASCII words before a blank or line feed; a tab takes the long way.
    for text in ("plain words here", "don't stop-over a.b x1 1x"):
        assert split(text) == split(text.replace(" ", "\t"))


def test_what_nobody_sees_is_taken_out_and_what_joins_stays():
    assert cleaned("a\u00adb\u200bc\ufeff\u202ed\x00e\ud800") == "abcd e\ufffd"
    assert cleaned("می\u200cخواهم 👩\u200d🚀 ☺\ufe0f \t\n") == "می\u200cخواهم 👩\u200d🚀 ☺\ufe0f \t\n"


def test_normal_forms_make_one_word_of_several_spellings():
    assert normalized("cafe\u0301", "NFC") == "caf\u00e9" != normalized("cafe\u0301", "none")
    assert normalized("Ｈ２Ｏ\ufb01", "NFKC", lower=True) == "h2ofi"
    assert normalized("\uff28", "NFC") == "\uff28"


def test_chinese_is_told_from_japanese_and_from_english_with_a_few_characters():
    assert is_chinese(["体验2D巅峰 倚天屠龙记十大创新概览", "60年铁树开花形状似玉米芯(组图)"])
    assert not is_chinese(["私はこの本が好きですが、今日は読みません"])
    assert not is_chinese(["The word 字 means character", "and nothing else does"])
    assert not is_chinese([])


def test_text_split_before_is_told_from_plain_text():
    assert is_split(["one , two , three"] * 10)
    assert not is_split(["one, two, three , four"] * 10)
    assert not is_split(["one , two"])


def test_runs_of_han():
    assert han_runs("体验2D巅峰") == ["", "体验", "2D", "巅峰", ""]
    assert "".join(han_runs("a体b")) == "a体b"
