"""Pairs of texts: which columns, classes and scores, and pairs without a label."""

from __future__ import annotations

import json

import pytest

from deepen.core.errors import DataError
from deepen.data.read import ReadOptions
from deepen.data.readers.sentence_pairs import read
from deepen.data.target import target_of

HEAD = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"


def put(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def column(dataset, name, split="all"):
    return dataset.tables[split].column(name).to_pylist()


def test_sick_has_classes_scores_and_its_own_names_of_splits(tmp_path):
    for name, score in (("SICK_train", "4.5"), ("SICK_trial", "3.25"), ("SICK_test_annotated", "1")):
        put(tmp_path, f"{name}.txt", HEAD + f"1\tA man eats\tA man's \"meal\t{score}\tNEUTRAL\n")
    put(tmp_path, "readme.txt", "about\n")
    dataset = read(tmp_path, ReadOptions())
    assert [column(dataset, "score", split) for split in ("train", "val", "test")] == [[4.5], [3.25], [1.0]]
    row = dataset.tables["val"].to_pylist()[0]
    assert (row["text_a"], row["text_b"], row["label"]) == ("A man eats", "A man's \"meal", "NEUTRAL")
    assert row["source"] == "SICK_trial.txt, line 2"


def test_pairs_on_which_annotators_did_not_agree_are_left_out_and_counted(tmp_path):
    rows = [{"sentence1": f"a {n}", "sentence2": "b", "gold_label": ("neutral", "-")[n % 2]} for n in range(7)]
    dataset = read(put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))), ReadOptions())
    assert column(dataset, "text_a") == ["a 0", "a 2", "a 4", "a 6"] and set(column(dataset, "label")) == {"neutral"}
    fault = next(fault for fault in dataset.faults if fault.kind == "pair-unlabelled")
    assert fault.level == "note" and fault.place == "a.jsonl, line 2" and fault.message.startswith("3 pairs of all")


def test_any_table_with_two_columns_that_are_named_or_found(tmp_path):
    put(tmp_path, "a.csv", "x,y,z,label\na,b,c,1\nd,e,f,0\n")
    with pytest.raises(DataError, match="pass --columns A,B of: x, y, z, label"):
        read(tmp_path / "a.csv", ReadOptions())
    dataset = read(tmp_path / "a.csv", ReadOptions(columns=("z", "X")))
    assert (column(dataset, "text_a"), column(dataset, "text_b")) == (["c", "f"], ["a", "d"])
    with pytest.raises(DataError, match="--columns x: expected two columns"):
        read(tmp_path / "a.csv", ReadOptions(columns=("x",)))
    put(tmp_path, "b.tsv", "".join(f"A man eats food {n}\tA woman eats food {n}\t{n / 4}\n" for n in range(9)))
    found = read(tmp_path / "b.tsv", ReadOptions())
    assert column(found, "score")[:2] == [0.0, 0.25] and column(found, "text_b")[0] == "A woman eats food 0"


def test_the_target_may_be_named(tmp_path):
    put(tmp_path, "a.csv", "premise,hypothesis,score,mood\na,b,0.5,x\nc,d,none,y\n")
    dataset = read(tmp_path / "a.csv", ReadOptions(target="mood"))
    assert column(dataset, "label") == ["x", "y"] and column(dataset, "score") == [0.5, None]
    assert target_of(dataset.tables["all"]) == "label"
    assert target_of(read(tmp_path / "a.csv", ReadOptions(target="Score")).tables["all"]) == "score"
    assert target_of(read(tmp_path / "a.csv", ReadOptions()).tables["all"]) == ""
    assert [fault.message for fault in dataset.faults if fault.level == "warning"] == [
        "score 'none' is no number, as in 1 row; taken as missing."
    ]
    with pytest.raises(DataError, match="no column 'mod'; did you mean mood"):
        read(tmp_path / "a.csv", ReadOptions(target="mod"))
    put(tmp_path, "b.csv", "premise,hypothesis\na,b\nc,d\n")
    with pytest.raises(DataError, match="which column is to be learned is not known"):
        read(tmp_path / "b.csv", ReadOptions())
    assert "label" not in read(tmp_path / "b.csv", ReadOptions(targets_needed=False)).tables["all"].column_names


def test_the_key_is_the_pair_in_its_order_and_the_fingerprint_holds_the_score(tmp_path):
    put(tmp_path, "a.csv", "text_a,text_b,score\nx,y,1\ny,x,1\nx,y,2\n")
    dataset = read(tmp_path / "a.csv", ReadOptions())
    keys = column(dataset, "key")
    assert keys[0] == keys[2] != keys[1]
    put(tmp_path, "a.csv", "text_a,text_b,score\nx,y,1\ny,x,1\nx,y,3\n")
    assert read(tmp_path / "a.csv", ReadOptions()).fingerprint() != dataset.fingerprint()


def test_a_text_beside_itself_is_no_pair(tmp_path):
    put(tmp_path, "a.csv", "text_a,text_b,label\nx,x,0\ny,y,1\nz,z,1\nv,w,0\n")
    said = [fault.message for fault in read(tmp_path / "a.csv", ReadOptions()).faults if fault.level == "warning"]
    assert said == ["3 pairs of all (75%) hold the same text twice."]
    with pytest.raises(DataError, match="--columns names 'text_a' twice"):
        read(tmp_path / "a.csv", ReadOptions(columns=("text_a", "TEXT_A")))
    put(tmp_path, "b.csv", "text\nx\ny\n")
    with pytest.raises(DataError, match="there is one column; expected two"):
        read(tmp_path / "b.csv", ReadOptions())


def test_sick(shared_data):
    """shared/data/sick: 4,500, 500 and 4,927 pairs."""
    dataset = read(shared_data("sick"), ReadOptions())
    assert [table.num_rows for table in dataset.tables.values()] == [4_500, 500, 4_927]
    assert "3 classes" in dataset.layout and 1 <= min(column(dataset, "score", "test")) <= 5
    assert not [fault for fault in dataset.faults if fault.level != "note"]
