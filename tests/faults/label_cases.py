"""L: labels, splits, whole data sets."""

from __future__ import annotations

import gzip
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.harness import Case
from tests.faults.pictures import cifar, digits, encoded, fill, idx, photos, pixels


def code_too_high(folder: Path) -> Path:
    path = cifar(folder / "cifar") / "data_batch_1.bin"
    data = bytearray(path.read_bytes())
    data[3 * 3073] = 10
    path.write_bytes(data)
    return path.parent


def void_label(folder: Path) -> Path:
    root = digits(folder / "digits")
    labels = np.arange(20, dtype=np.uint8) % 2
    labels[7] = 255
    (root / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels), mtime=0))
    (folder / "names.txt").write_text("dark\nbright\n", "utf-8")
    return root


def negative(folder: Path) -> Path:
    path = folder / "made.npz"
    images = np.random.default_rng(0).integers(0, 256, (20, 12, 12)).astype(np.uint8)
    labels = np.arange(20) % 2
    labels[4] = -100
    np.savez(path, images=images, labels=labels)
    return path


def typo(folder: Path) -> Path:
    root = photos(folder, count=41, classes=("cats", "dogs"))
    (root / "ctas").mkdir()
    (root / "ctas" / "x.png").write_bytes(encoded(pixels(999, 60)))
    return root


def typo_with_names(folder: Path) -> Path:
    root = typo(folder)
    (folder / "names.txt").write_text("cats\ndogs\n", "utf-8")
    return root


def listed(folder: Path, rows: list[str], head: str = "path,label") -> Path:
    """Photos with a list of some rows."""
    root = photos(folder)
    (root / "labels.csv").write_text("\n".join([head, *rows]) + "\n", "utf-8")
    return root / "labels.csv"


def rows_of(names: dict[str, str]) -> list[str]:
    return [f"{kind}/{index}.png,{name}" for kind, name in names.items() for index in range(8)]


def spaces(folder: Path) -> Path:
    rows = rows_of({"cat": "cat", "dog": "dog"})
    rows[3] = 'cat/3.png,"cat "'
    return listed(folder, rows)


def plain_list(folder: Path) -> Path:
    return listed(folder, rows_of({"cat": "cat", "dog": "dog"}))


def numbers(folder: Path) -> Path:
    rows = rows_of({"cat": "0", "dog": "1"})
    rows[2], rows[9] = "cat/2.png,0.0", 'dog/1.png,"1.0"'
    return listed(folder, rows)


def tiny_class(folder: Path) -> Path:
    root = photos(folder)
    (root / "emu").mkdir()
    (root / "emu" / "0.png").write_bytes(encoded(pixels(999, 90)))
    return root


def splits(folder: Path) -> Path:
    """Clean photos with a split of their own."""
    root = folder / "photos"
    fill(root / "train", 8)
    fill(root / "test", 3, seed=7)
    return root


def empty_split(folder: Path) -> Path:
    root = splits(folder)
    for path in (root / "test").rglob("*.png"):
        path.unlink()
    return root


def unseen_class(folder: Path) -> Path:
    root = splits(folder)
    (root / "test" / "emu").mkdir()
    (root / "test" / "emu" / "0.png").write_bytes(encoded(pixels(999, 90)))
    return root


def overlap(folder: Path) -> Path:
    root = splits(folder)
    shutil.copy(root / "train" / "cat" / "0.png", root / "test" / "cat" / "other-name.png")
    return root


def conflicting(folder: Path) -> Path:
    return listed(folder, [*rows_of({"cat": "cat", "dog": "dog"}), "cat/0.png,dog"])


def missing_file(folder: Path) -> Path:
    return listed(folder, [*rows_of({"cat": "cat", "dog": "dog"}), "cat/99.png,cat"])


def unlisted(folder: Path) -> Path:
    return listed(folder, rows_of({"cat": "cat", "dog": "dog"})[1:]).parent


def without_label(folder: Path) -> Path:
    rows = rows_of({"cat": "cat", "dog": "dog"})
    rows[4] = "cat/4.png,"
    return listed(folder, rows)


def other_label_column(folder: Path) -> Path:
    return listed(folder, rows_of({"cat": "cat", "dog": "dog"}), head="path,kindd")


def one_class(folder: Path) -> Path:
    return photos(folder, classes=("cat",))


def dominant(folder: Path) -> Path:
    root = photos(folder, count=2, classes=("cat",))
    fill(root, 98, ("dog",), seed=3)
    return root


def train_as_test(folder: Path) -> Path:
    root = splits(folder)
    shutil.rmtree(root / "test")
    shutil.copytree(root / "train", root / "test")
    return root


def train_as_val(folder: Path) -> Path:
    root = splits(folder)
    shutil.copytree(root / "train", root / "val")
    return root


def scene(seed: int, side: int = 64) -> np.ndarray:
    """[side, side, 3] uint8: a smooth picture, as photographs are."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC))


def scenes(folder: Path) -> Path:
    root = folder / "photos"
    for number, (part, name) in enumerate(itertools.product(("train", "test"), ("cat", "dog"))):
        (root / part / name).mkdir(parents=True)
        for index in range(8):
            (root / part / name / f"{index}.png").write_bytes(encoded(scene(100 * number + index)))
    return root


def saved_again(folder: Path) -> Path:
    root = scenes(folder)
    (root / "test" / "dog" / "again.jpg").write_bytes(encoded(scene(103), "JPEG", quality=80))
    return root


def called(folder: Path, names: Callable[[str, int], str], count: int = 40) -> Path:
    """Photos under other names."""
    root = photos(folder, count=count)
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(names(path.parent.name, int(path.stem)) + ".png"))
    return root


PEOPLE = ("anna", "ben", "carla", "dora", "emil", "fritz", "gina", "hans")


def people(folder: Path) -> Path:
    return called(folder, lambda _, number: f"{PEOPLE[number % 8]}_{number // 8:02}")


def subjects(folder: Path) -> Path:
    return called(folder, lambda _, number: f"subject{number % 8:02}-{number // 8}")


def numbered(folder: Path) -> Path:
    return called(folder, lambda _, number: f"IMG_{number:04}")


def by_class(folder: Path) -> Path:
    return called(folder, lambda name, number: f"{name}.{number}")


def cameras(folder: Path) -> Path:
    starts = ("IMG", "DSC", "photo")
    return called(folder, lambda _, number: f"{starts[number % 3]}_{number:04}")


def dated(folder: Path) -> Path:
    return called(folder, lambda _, number: f"IMG_2030{number % 12 + 1:02}01_{number:06}")


NAMES = ("--labels", "data/names.txt")
LABEL_CASES = (
    Case("L01-high", code_too_high, ("data_batch_1.bin, image 3: label 10 is not one of the 10 classes",), "E"),
    Case("L01-void", void_label, ("image 7: label 255 is not one of the 2 classes",), "E", options=NAMES),
    Case("L02", negative, ("array labels, image 4: label -100 is not one of",), "E"),
    Case("L03", typo, ("label 'ctas' has 1 sample and is near 'cats' with",), "W"),
    Case(
        "L03-given", typo_with_names, ("label 'ctas' is not one of the 2 known; nearest is 'cats'",), "E", options=NAMES
    ),
    Case("L03-space", spaces, (), "N"),
    Case("L04", numbers, (), "N"),
    Case("L05", tiny_class, ("class 'emu' has 1 sample",), "W"),
    Case("L06", empty_split, ("its test part holds no sample",), "E"),
    Case("L07", unseen_class, ("class 'emu' is in test (1 sample) but never in train",), "W"),
    Case("L08", overlap, ("is the same as", "1 sample of test is in train too"), "W"),
    Case("L08-near", saved_again, ("again.jpg: looks nearly the same as", "train/dog/3.png in train"), "W"),
    Case("L08-different", scenes, (), "N"),
    Case("L09-people", people, ("its name begins with '", "keep them together with --group name-prefix"), "W"),
    Case("L09-subjects", subjects, ("its name begins with 'subject", "--group name-prefix"), "W"),
    Case("L09-grouped", people, (), "N", options=("--group", "name-prefix")),
    Case("L09-column", people, ("--group persons: there is no such column",), "E", options=("--group", "persons")),
    *(Case(f"L09-{build.__name__}", build, (), "N") for build in (numbered, by_class, cameras, dated)),
    Case("L10", conflicting, ("row 2", "row 18", "cat/0.png"), "K"),
    Case("L11-missing", missing_file, ("row 18", "99.png: does not exist"), "K"),
    Case("L11-unlisted", unlisted, ("1 image in the folder is not listed (cat/0.png)",), "W"),
    Case("L12", without_label, ("cat/4.png: has no label",), "K"),
    Case("L12-column", other_label_column, ("labels.csv: no column is called like one of labels", "kindd"), "E"),
    Case("L13-one", one_class, ("all 8 training samples have the label 'cat'",), "E"),
    Case("L13", dominant, ("class 'dog' is 9",), "W"),
    Case("L14", train_as_test, ("the test data are the train data themselves",), "W"),
    Case("L15", train_as_val, ("the val data are the train data themselves",), "W"),
)
