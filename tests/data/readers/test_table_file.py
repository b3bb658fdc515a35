"""Files and folders of tables: what is taken, the target, and splits whose columns differ."""

import pytest

from deepen.core.errors import DataError
from deepen.data.read import ReadOptions
from deepen.data.readers.table_file import read, recognizes
from deepen.data.target import target_of

TEXT = "a,b,label\n1,x,yes\n2,y,no\n3,x,yes\n"


def put(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def test_a_file_is_one_table_and_the_target_is_kept_with_it(tmp_path):
    put(tmp_path, flats=TEXT)
    dataset = read(tmp_path / "flats.csv", ReadOptions(target="LABEL"))
    assert dataset.name == "flats" and dataset.layout == "CSV flats.csv: 3 rows, 3 columns"
    table = dataset.tables["all"]
    assert target_of(table) == target_of(table.take([1])) == "label"


def test_a_single_likely_target_is_taken_and_said(tmp_path):
    put(tmp_path, flats=TEXT, other=TEXT.replace("label", "c"))
    faults = read(tmp_path / "flats.csv", ReadOptions()).faults
    assert [fault.kind for fault in faults] == ["target-guessed"]
    with pytest.raises(DataError, match=r"pass --target NAME \(the last column is 'c'\). There is: a, b, c"):
        read(tmp_path / "other.csv", ReadOptions())
    unknown = read(tmp_path / "other.csv", ReadOptions(targets_needed=False)).tables["all"]
    assert target_of(unknown) == ""


def test_a_missing_target_is_refused_with_the_nearest_name(tmp_path):
    put(tmp_path, flats=TEXT)
    with pytest.raises(DataError, match="no column 'lable'; did you mean label"):
        read(tmp_path / "flats.csv", ReadOptions(target="lable"))
    assert (
        target_of(read(tmp_path / "flats.csv", ReadOptions(target="lable", targets_needed=False)).tables["all"]) == ""
    )
    headless = read(tmp_path / "flats.csv", ReadOptions(header=False, target="3"))
    assert target_of(headless.tables["all"]) == "column3"


def test_a_folder_of_splits(tmp_path):
    folder = put(tmp_path / "d", train=TEXT, valid=TEXT, test=TEXT)
    assert recognizes(folder)
    dataset = read(folder, ReadOptions())
    assert list(dataset.tables) == ["train", "val", "test"] and "train 3, val 3, test 3" in dataset.layout
    put(folder, dev=TEXT)
    with pytest.raises(DataError, match="both look like the val split"):
        read(folder, ReadOptions())


def test_splits_with_other_columns_are_refused(tmp_path):
    folder = put(tmp_path / "d", train=TEXT, test=TEXT.replace("a,b", "a,bb"))
    with pytest.raises(DataError, match=r"train.csv and test.csv: column 'b' is in train.csv but not in test.csv"):
        read(folder, ReadOptions())


def test_a_folder_of_one_table_and_of_several(tmp_path):
    folder = put(tmp_path / "d", flats=TEXT)
    assert recognizes(folder) and "flats.csv" in read(folder, ReadOptions()).layout
    put(folder, more=TEXT)
    assert not recognizes(folder)
    with pytest.raises(DataError, match=r"2 tables here \(flats.csv, more.csv\)"):
        read(folder, ReadOptions())
    assert not recognizes(tmp_path / "gone")


def test_columns_and_labels_may_be_stated(tmp_path):
    put(tmp_path, flats=TEXT)
    (tmp_path / "names.txt").write_text("no\nyes\n")
    dataset = read(tmp_path / "flats.csv", ReadOptions(columns=("B",), labels=str(tmp_path / "names.txt")))
    assert dataset.tables["all"].column_names == ["b", "label", "source", "key"]
    assert dataset.labels == ("no", "yes")
