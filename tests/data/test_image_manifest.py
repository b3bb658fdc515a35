"""Lists of images."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepen.core.errors import DataError
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions
from deepen.data.readers import image_folder
from deepen.data.readers.image_manifest import read, recognizes
from tests.faults.pictures import photos

ROWS = [(f"{kind}/{index}.png", kind) for kind in ("cat", "dog") for index in range(3)]


def content(dataset: Dataset, split: str = "all") -> list[tuple[str, str]]:
    table = dataset.tables[split]
    return sorted(zip(table.column("key").to_pylist(), table.column("label").to_pylist(), strict=True))


def as_csv(root: Path) -> Path:
    path = root / "labels.csv"
    path.write_text("file_name,class\n" + "".join(f"{name},{label}\n" for name, label in ROWS))
    return path


def as_jsonl(root: Path) -> Path:
    path = root / "metadata.jsonl"
    path.write_text("".join(json.dumps({"image": name, "label": label}) + "\n" for name, label in ROWS))
    return path


def as_parquet(root: Path) -> Path:
    path = root / "list.parquet"
    pq.write_table(pa.table({"path": [name for name, _ in ROWS], "label": [label for _, label in ROWS]}), path)
    return path


def as_bytes(root: Path) -> Path:
    path = root / "bytes.parquet"
    images = [(root / name).read_bytes() for name, _ in ROWS]
    pq.write_table(pa.table({"image": images, "label": [label for _, label in ROWS]}), path)
    return path


def as_structs(root: Path) -> Path:
    path = root / "structs.parquet"
    images = [{"bytes": (root / name).read_bytes(), "path": name} for name, _ in ROWS]
    table = pa.table({"image": images, "label": pa.array([int(label == "dog") for _, label in ROWS])})
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), path)
    return path


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet, as_bytes, as_structs])
def test_a_list_is_the_folder(write, tmp_path: Path) -> None:
    """P11: the folder, a list of its paths and a table of its bytes are the same data."""
    root = photos(tmp_path, count=3)
    expected = content(image_folder.read(root, ReadOptions()))
    path = write(root)
    assert recognizes(path)
    assert content(read(path, ReadOptions())) == expected


def test_the_folder_with_the_list_will_do(tmp_path: Path) -> None:
    root = photos(tmp_path, count=3)
    as_csv(root)
    assert recognizes(root)
    assert content(read(root, ReadOptions())) == content(image_folder.read(root, ReadOptions()))


def test_a_column_of_splits(tmp_path: Path) -> None:
    root = photos(tmp_path, count=3)
    rows = [f"{name},{label},{'test' if '2' in name else 'train'}" for name, label in ROWS]
    (root / "labels.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    dataset = read(root / "labels.csv", ReadOptions())
    assert {name: table.num_rows for name, table in dataset.tables.items()} == {"train": 4, "test": 2}


def test_one_list_per_split(tmp_path: Path) -> None:
    root = photos(tmp_path, count=3)
    (root / "train.csv").write_text("path,label\ncat/0.png,cat\ndog/0.png,dog\n")
    (root / "test.csv").write_text("path,label\ncat/1.png,cat\n")
    assert {name: table.num_rows for name, table in read(root, ReadOptions()).tables.items()} == {"train": 2, "test": 1}


def test_columns_by_option(tmp_path: Path) -> None:
    root = photos(tmp_path, count=3)
    (root / "list.csv").write_text("where,what\n" + "".join(f"{name},{label}\n" for name, label in ROWS))
    dataset = read(root / "list.csv", ReadOptions(path_column="where", target="what"))
    assert dataset.tables["all"].num_rows == 6
    with pytest.raises(DataError, match="there is no column 'whta'; did you mean what"):
        read(root / "list.csv", ReadOptions(path_column="where", target="whta"))


def test_a_group_column_stays(tmp_path: Path) -> None:
    root = photos(tmp_path, count=3)
    (root / "l.csv").write_text("path,label,person\n" + "".join(f"{name},{label},p{name[4]}\n" for name, label in ROWS))
    table = read(root / "l.csv", ReadOptions(group="person")).tables["all"]
    assert table.column("person").to_pylist() == ["p0", "p1", "p2"] * 2


def test_tables_of_other_things_are_not_recognized(tmp_path: Path) -> None:
    (tmp_path / "adult.csv").write_text("age,income\n3,high\n")
    assert not recognizes(tmp_path)
    assert not recognizes(tmp_path / "adult.csv")
