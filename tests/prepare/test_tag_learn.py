import pyarrow as pa
import pytest

from deepen.core.errors import DataError
from deepen.metrics.tagging import Tagging
from deepen.prepare import tag_learn, text
from deepen.prepare.tag_learn import Sentence, sentences_of, tokens_of
from deepen.prepare.text import TextOptions


def sentences(*rows):
    """Each row a string of token/tag."""
    pairs = [[part.split("/") for part in row.split()] for row in rows]
    return [
        Sentence(index, f"x.conll, line {10 * index + 1}", [t for t, _ in row], [tag for _, tag in row])
        for index, row in enumerate(pairs)
    ]


BIO = sentences("Ann/B-PER Lee/I-PER sang/O", "in/O Oslo/B-LOC", "")


def learned(rows=BIO, scheme="auto", learn_as="BIOES"):
    return tag_learn.learn(rows, scheme, learn_as, [])


def test_entities_are_learned_in_another_scheme_than_they_are_written():
    state = learned()
    assert state["scheme"] == "BIO" and state["types"] == ["LOC", "PER"]
    assert state["tags"] == ["O", *(f"{prefix}-{kind}" for kind in ("LOC", "PER") for prefix in "BIES")]
    found = tag_learn.encode(BIO, state, "train", faults := [])
    names = [[state["tags"][k] for k in found.row(row)] for row in range(3)]
    assert names == [["B-PER", "E-PER", "O"], ["O", "S-LOC"], []] and not faults
    assert learned(learn_as="BIO")["tags"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_the_scheme_is_said():
    tag_learn.learn(BIO, "auto", "BIOES", faults := [])
    assert [(f.level, f.kind) for f in faults] == [("note", "tag-scheme")]
    assert "BIO, of 2 types: LOC, PER" in faults[0].message
    tag_learn.learn(sentences("a/DET b/NOUN"), "auto", "BIOES", faults := [])
    assert "2 tags mean no entities" in faults[0].message


def test_a_tag_that_its_scheme_does_not_allow_is_read_as_another_and_counted():
    rows = sentences("in/O Oslo/I-LOC", "Ann/B-PER Oslo/I-LOC", "Ann/B-PER Lee/I-PER")
    state = learned(rows)
    assert state["scheme"] == "BIO"
    tag_learn.encode(rows, state, "train", faults := [])
    (fault,) = faults
    assert (fault.level, fault.kind, fault.place) == ("warning", "tag-repaired", "x.conll, line 1")
    assert (
        fault.message.startswith("token 2, 'Oslo': I-LOC read as B-LOC, since BIO") and "1 more tags" in fault.message
    )


@pytest.mark.parametrize("scheme", ["auto", "plain"])
def test_what_was_never_learned_gets_numbers_of_its_own_and_is_said(scheme):
    state = learned() if scheme == "auto" else learned(sentences("a/DET b/NOUN"))
    rows = sentences("Ann/B-PERS Lee/I-PERS in/O Oslo/B-LOC") if scheme == "auto" else sentences("a/DET b/NOUM b/NOUN")
    found = tag_learn.encode(rows, state, "test", faults := []).row(0).tolist()
    size = len(state["tags"])
    assert found == ([size, size + 1, 0, 4] if scheme == "auto" else [0, size, 1])
    (fault,) = faults
    name, near = ("PERS", "PER") if scheme == "auto" else ("NOUM", "NOUN")
    assert fault.kind == "tag-unseen" and f"{name!r} is not one of the 2" in fault.message
    assert f"nearest is {near!r}" in fault.message and fault.place == "x.conll, line 1"


def test_tags_of_another_scheme_than_the_one_given_are_refused():
    with pytest.raises(DataError, match=r"x\.conll, line 1: tag 'S-PER' is none of BIO"):
        learned(sentences("Ann/S-PER in/O"), scheme="BIO")
    with pytest.raises(DataError, match="tag 'NOUN' is none of BIOES"):
        learned(sentences("Ann/NOUN in/O"), scheme="BIOES")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (sentences("a/O b/O"), "'O'; expected entities"),
        (sentences("a/DET b/DET"), "'DET'; expected at least 2"),
        (sentences("", ""), "no training sentence has a token"),
        (sentences(" ".join(f"w/T{i}x" for i in range(1001))), "1,001 different tags"),
    ],
)
def test_nothing_to_tell_apart_is_refused(rows, said):
    with pytest.raises(DataError, match=said):
        learned(rows)


def test_a_probable_typing_error_is_a_warning():
    rows = [*sentences(*["Oslo/B-location is/O"] * 25), *sentences("Ann/B-person Rome/B-locaton")]
    tag_learn.learn(rows, "auto", "BIOES", faults := [])
    assert [f.kind for f in faults if f.level == "warning"] == ["label-typo"]
    assert "'locaton'" in next(f.message for f in faults if f.level == "warning")


def table_of(tokens, tags):
    texts = pa.list_(pa.string())
    return pa.table({
        "tokens": pa.array(tokens, texts),
        "tags": pa.array(tags, texts),
        "source": pa.array([f"t.conll, line {row}" for row in range(len(tokens))]),
    })  # fmt: skip


def test_sentences_that_lack_a_tag_are_faults_of_their_own():
    table = table_of(
        [["a"], ["a", "b"], ["a"], None, ["a", None], ["a", "b"], []],
        [["X"], ["X"], None, ["X"], ["X", "Y"], ["X", " "], []],
    )
    found = sentences_of(table, "test", faults := [])
    assert [each.row for each in found] == [0, 6]
    said = [(fault.level, fault.kind, fault.split, fault.row) for fault in faults]
    assert said == [("sample", "tags-missing", "test", row) for row in (1, 2, 3, 4, 5)]
    assert "2 tokens but 1 tag" in faults[0].message and "token 2, 'b', has no tag" in faults[4].message


def test_plain_text_is_split_as_the_tokenizer_would():
    table = pa.table({"text": ["Don't go to Oslo!", None]})
    assert tokens_of(table, {"splitter": "rules"}) == [["Don't", "go", "to", "Oslo", "!"], []]
    assert tokens_of(table, {"splitter": "whitespace"}) == [["Don't", "go", "to", "Oslo!"], []]


def test_the_commonest_tag_of_each_word_by_hand():
    rows = sentences("a/DET b/NOUN b/VERB b/VERB", "c/NOUN a/DET d/VERB e/NOUN")
    state = learned(rows)
    vocabulary = text.learn_tokens([each.tokens for each in rows], TextOptions(), [])
    ids = text.encode_tokens([each.tokens for each in rows], vocabulary, "train", [])
    found = tag_learn.commonest_tags(ids, rows, state, vocabulary)
    by_word = dict(zip(vocabulary["vocabulary"], [state["tags"][k] for k in found], strict=True))
    assert {word: by_word[word] for word in "abcde"} == {"a": "DET", "b": "VERB", "c": "NOUN", "d": "VERB", "e": "NOUN"}
    assert by_word["<unk>"] == "NOUN"  # of the words seen once, c and e are nouns, d is a verb


def test_the_meaning_of_learned_tags():
    state = learned()
    found = tag_learn.tag_set(state)
    assert found.type_names == ("LOC", "PER", "never learned")
    assert found.codes.tolist() == [0, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2]
    assert found.types.tolist() == [-1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert Tagging(found).tags.has_entities and not tag_learn.tag_set(learned(sentences("a/X b/Y"))).has_entities
