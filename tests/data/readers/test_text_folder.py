"""Texts in folders per class and in files per class."""

from __future__ import annotations

from deepen.data.read import ReadOptions
from deepen.data.readers.text_folder import read, recognizes


def imdb(root):
    for split in ("train", "test"):
        for label in ("pos", "neg"):
            (root / split / label).mkdir(parents=True)
            for number in range(3):
                (root / split / label / f"{number}_7.txt").write_text(f"{label} {number}\nof {split}\n")
    (root / "train" / "unsup").mkdir()
    (root / "train" / "unsup" / "0_0.txt").write_text("no class\n")
    (root / "train" / "pos" / ".DS_Store").write_text("litter")
    (root / "README").write_text("about")
    (root / "train" / "labeledBow.feat").write_text("9 0:9")
    return root


def test_folders_per_class_below_folders_per_split(tmp_path):
    root = imdb(tmp_path / "aclImdb")
    assert recognizes(root)
    dataset = read(root, ReadOptions())
    assert {split: table.num_rows for split, table in dataset.tables.items()} == {"train": 6, "test": 6}
    first = dataset.tables["train"].slice(0, 1).to_pylist()[0]
    assert (first["text"], first["label"], first["source"]) == ("neg 0\nof train", "neg", "train/neg/0_7.txt")
    said = {fault.kind: fault.message for fault in dataset.faults}
    assert said["unlabelled"].startswith("1 text in folders such as unsup") and said["litter"].startswith("1 file")
    assert said["other-files"].startswith("2 files")
    assert all(fault.level == "note" for fault in dataset.faults)


def test_folders_of_classes_alone_and_files_without_an_ending(tmp_path):
    for label in ("sci.space", "rec.autos"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "60116").write_text(f"From: a\n\n{label}\n")
    table = read(tmp_path, ReadOptions()).tables["all"]
    assert table.column("label").to_pylist() == ["rec.autos", "sci.space"]
    assert table.column("source").to_pylist() == ["rec.autos/60116", "sci.space/60116"]


def test_a_file_per_class_with_a_text_a_line(tmp_path):
    (tmp_path / "rt-polarity.pos").write_bytes("un café superbe \n\nbien \n".encode("latin-1"))
    (tmp_path / "rt-polarity.neg").write_text("mal \n")
    (tmp_path / "README.md").write_text("about\n")
    assert recognizes(tmp_path)
    dataset = read(tmp_path, ReadOptions())
    table = dataset.tables["all"]
    assert table.column("text").to_pylist() == ["mal", "un café superbe", "bien"]
    assert table.column("label").to_pylist() == ["neg", "pos", "pos"]
    assert table.column("source").to_pylist()[2] == "rt-polarity.pos, line 3"
    assert {fault.kind for fault in dataset.faults} == {"encoding-found", "line-blank", "classes-files"}
    assert any("differs in the names: neg, pos." in fault.message for fault in dataset.faults)


def test_what_is_neither_is_left_to_others(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.txt").write_text("a\n")
    assert not recognizes(tmp_path) and not recognizes(tmp_path / "one" / "a.txt") and not recognizes(tmp_path / "gone")
    for split in ("train", "test"):
        (tmp_path / "lm" / split).mkdir(parents=True)
        (tmp_path / "lm" / split / "a.txt").write_text("a\n")
    assert not recognizes(tmp_path / "lm")


def test_empty_files_are_kept_and_counted(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.txt").write_text("full\n")
        (tmp_path / label / "2.txt").write_text("")
        (tmp_path / label / "0.txt").write_text("")
        (tmp_path / label / "2.txt").unlink()
    assert recognizes(tmp_path), "whichever file comes first"
    dataset = read(tmp_path, ReadOptions())
    assert dataset.tables["all"].num_rows == 4
    assert [fault.message for fault in dataset.faults] == ["2 texts of all are empty, and kept."]


def test_rt_polarity(shared_data):
    """shared/data/rt_polarity: 5,331 positive and 5,331 negative sentences, not UTF-8."""
    dataset = read(shared_data("rt_polarity"), ReadOptions())
    labels = dataset.tables["all"].column("label").to_pylist()
    assert (labels.count("pos"), labels.count("neg")) == (5_331, 5_331)
    assert sum("almodóvar" in text for text in dataset.tables["all"].column("text").to_pylist()) == 3
