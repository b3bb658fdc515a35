"""Tagged sentences: columns, blank lines, CoNLL-U, and damage with its line."""

from __future__ import annotations

import pytest

from deepen.core.errors import DataError
from deepen.data.read import ReadOptions
from deepen.data.readers.conll import read, recognizes

PLAIN = "EU\tB-ORG\nrejects\tO\n\t\nPeter\tB-PER\nBlackburn\tI-PER\n"
WORDS = """# sent_id = 1
# text = He's it.
1-2\tHe's\t_\t_\t_\t_\t_\t_\t_\t_
1\tHe\the\tPRON\tPRP\tCase=Nom\t3\tnsubj\t_\t_
2\t's\tbe\tAUX\tVBZ\t_\t3\tcop\t_\t_
3\tit\tit\tPRON\tPRP\t_\t0\troot\t_\t_
3.1\tgone\tgo\tVERB\tVBN\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\t_

# sent_id = 2
1\t_\t_\tPUNCT\t,\t_\t0\troot\t_\t_

"""


def put(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def rows(dataset, split="all"):
    table = dataset.tables[split]
    return [(row["tokens"], row.get("tags"), row["source"]) for row in table.to_pylist()]


def test_a_line_of_white_space_ends_a_sentence(tmp_path):
    path = put(tmp_path, "a.conll", PLAIN)
    assert recognizes(path)
    dataset = read(path, ReadOptions())
    assert rows(dataset) == [
        (["EU", "rejects"], ["B-ORG", "O"], "a.conll, line 1"),
        (["Peter", "Blackburn"], ["B-PER", "I-PER"], "a.conll, line 4"),
    ]
    assert dataset.layout == "CoNLL a.conll: 2 sentences, 4 tokens, 4 tags" and not dataset.faults


@pytest.mark.parametrize("change", [lambda text: text.replace("\t", " "), lambda text: text.replace("\n", "\r\n")])
def test_blanks_for_tabs_and_other_line_ends_change_nothing(tmp_path, change):
    (tmp_path / "b.conll").write_bytes(change(PLAIN).encode())
    one, other = read(put(tmp_path, "a.conll", PLAIN), ReadOptions()), read(tmp_path / "b.conll", ReadOptions())
    assert one.tables["all"].column("key").to_pylist() == other.tables["all"].column("key").to_pylist()


def test_documents_comments_and_the_choice_of_columns(tmp_path):
    text = "-DOCSTART- -X- -X- O\n\n# id 7\nEU NNP B-NP B-ORG\n# NN I-NP O\n\n\nPeter NNP B-NP B-PER\n"
    path = put(tmp_path, "eng.train", text)
    assert rows(read(path, ReadOptions()))[0] == (["EU", "#"], ["B-ORG", "O"], "eng.train, line 4")
    assert rows(read(path, ReadOptions(target="2")))[0][1] == ["NNP", "NN"]
    assert rows(read(path, ReadOptions(columns=("2",), target="3")))[0][:2] == (["NNP", "NN"], ["B-NP", "I-NP"])
    with pytest.raises(DataError, match="--target 5: there is no such column; there are 4"):
        read(path, ReadOptions(target="5"))


def test_conll_u_leaves_out_ranges_and_empty_nodes_and_counts_them(tmp_path):
    path = put(tmp_path, "en.conllu", WORDS)
    dataset = read(path, ReadOptions())
    assert rows(dataset) == [
        (["He", "'s", "it", "."], ["PRON", "AUX", "PRON", "PUNCT"], "en.conllu, line 3"),
        (["_"], ["PUNCT"], "en.conllu, line 11"),
    ]
    assert (
        "1 line for several words" in dataset.faults[0].message and "1 line for words that" in dataset.faults[0].message
    )
    assert rows(read(path, ReadOptions(target="xpos")))[0][1] == ["PRP", "VBZ", "PRP", "."]
    assert rows(read(path, ReadOptions(target="feats")))[0][1] == ["Case=Nom", "_", "_", "_"]
    assert rows(read(path, ReadOptions(target="8")))[0][1] == ["nsubj", "cop", "root", "punct"]
    with pytest.raises(DataError, match="--target xpo: there is no such column; did you mean xpos"):
        read(path, ReadOptions(target="xpo"))


DAMAGE = [  # X12
    ("a.conll", PLAIN.replace("rejects\tO", "rejects\tX\tO"), "a.conll, line 2", "3 columns, expected 2"),
    ("a.conll", PLAIN.replace("rejects\tO", "rejects O"), "a.conll, line 2", "blanks where other lines have tabs"),
    ("a.conll", PLAIN.replace("rejects\tO", "rejects\t"), "a.conll, line 2", "empty"),
    ("a.conll", PLAIN.replace("Peter", "-DOCSTART-\tO\nx\tO\n-DOCSTART-"), "a.conll, line 6", "-DOCSTART-"),
    (
        "a.conllu",
        WORDS.replace("\n\n# sent_id = 2", ""),
        "a.conllu, line 9",
        "token 1 follows token 4; is the blank line",
    ),
    ("a.conllu", WORDS.replace("\n2\t", "\n5\t"), "a.conllu, line 5", "token 5 follows token 1"),
    ("a.conllu", WORDS.replace("AUX", "_"), "a.conllu, line 5", "token 2 has no UPOS"),
    ("a.conllu", WORDS.replace("2\t's\tbe", "2 's\tbe"), "a.conllu, line 5", "9 columns (there are blanks where"),
    ("a.conllu", WORDS.replace("\n3\tit", "\nx\tit"), "a.conllu, line 6", "'x' is no number"),
]


@pytest.mark.parametrize(("name", "text", "place", "words"), DAMAGE)
def test_a_damaged_line_costs_its_sentence_and_is_named(tmp_path, name, text, place, words):
    clean, more = (PLAIN, "\n" + PLAIN) if name == "a.conll" else (WORDS, WORDS)
    whole = read(put(tmp_path, f"whole{name[1:]}", clean + 6 * more), ReadOptions())
    dataset = read(put(tmp_path, name, text + 6 * more), ReadOptions())
    bad = [fault for fault in dataset.faults if fault.level == "sample"]
    assert len(bad) == 1 and bad[0].place == place and words in bad[0].message
    assert 12 <= dataset.tables["all"].num_rows <= whole.tables["all"].num_rows == 14
    assert whole.tables["all"].column("key").to_pylist()[-1] in dataset.tables["all"].column("key").to_pylist()


def test_a_sentence_of_thousands_of_tokens_is_doubted(tmp_path):
    dataset = read(put(tmp_path, "a.conll", "word\tO\n" * 1_009 + "\nx\tO\n"), ReadOptions())
    assert [(f.level, f.kind, f.place) for f in dataset.faults] == [("warning", "sentence-long", "a.conll, line 1")]


def test_tags_may_be_missing_where_none_are_needed(tmp_path):
    path = put(tmp_path, "a.conll", "EU\nrejects\n\nPeter\n")
    table = read(path, ReadOptions(targets_needed=False)).tables["all"]
    assert table.column_names == ["tokens", "source", "key"] and table.column("tokens").to_pylist() == [
        ["EU", "rejects"],
        ["Peter"],
    ]
    with pytest.raises(DataError, match=r"a.conll: holds one column"):
        read(path, ReadOptions())


def test_tables_and_plain_text_are_not_taken_for_it(tmp_path):
    for name, text in (("a.txt", "some words\n\nmore words\n\nand again some more\n"), ("b.csv", "a,b\n\n1,2\n")):
        assert not recognizes(put(tmp_path, name, text))
    assert recognizes(put(tmp_path, "c.txt", "EU O\nrejects O\n\nPeter B-PER\n" * 5))


def test_wnut_and_ewt(shared_data):
    """shared/data: wnut17 3,394, 1,009 and 1,287 sentences; ud_english_ewt 158,322, 19,704, 18,987 words, 17 tags."""
    wnut = read(shared_data("wnut17"), ReadOptions())
    assert [table.num_rows for table in wnut.tables.values()] == [3_394, 1_009, 1_287] and "13 tags" in wnut.layout
    assert not [fault for fault in wnut.faults if fault.level != "note"]
    words = read(shared_data("ud_english_ewt"), ReadOptions())
    assert [table.num_rows for table in words.tables.values()] == [8_774, 1_478, 1_471]
    counts = [sum(map(len, table.column("tokens").to_pylist())) for table in words.tables.values()]
    assert counts == [158_322, 19_704, 18_987] and "17 tags" in words.layout
