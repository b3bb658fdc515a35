"""F: files and folders."""

from __future__ import annotations

import os
import shutil
import unicodedata
import zipfile
from pathlib import Path

from tests.faults.harness import Case
from tests.faults.pictures import encoded, fill, photos, pixels, with_file


def near_miss(folder: Path) -> Path:
    photos(folder)
    return folder / "phtos"


def empty(folder: Path) -> Path:
    (folder / "photos").mkdir()
    return folder / "photos"


def only_videos(folder: Path) -> Path:
    root = empty(folder)
    for index in range(7):
        (root / f"{index}.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    return root


def too_deep(folder: Path) -> Path:
    fill(folder / "data" / "photos", 4)
    return folder / "data"


def odd_names(folder: Path) -> Path:
    root = photos(folder)
    for index, name in enumerate(("a b.png", 'quo"te.png', "#1.png", "%41.png", "new\nline.png", "😀.png", "-v.png")):
        (root / "cat" / name).write_bytes(encoded(pixels(500 + index, 60)))
    return root


def bad_odd_name(folder: Path) -> Path:
    root = photos(folder)
    (root / "cat" / "new\nline\x1b[31m.png").write_bytes(b"")
    return root


def not_utf8(folder: Path) -> Path:
    root = photos(folder)
    with open(os.fsencode(root) + b"/cat/\xff\xfe.png", "wb") as file:
        file.write(encoded(pixels(7)))
    return root


def decomposed(folder: Path) -> Path:
    root = photos(folder)
    name = unicodedata.normalize("NFD", "é.png")
    (root / "cat" / name).write_bytes(encoded(pixels(7)))
    rows = ["path,label", *(f"{kind}/{index}.png,{kind}" for kind in ("cat", "dog") for index in range(8))]
    (root / "labels.csv").write_text("\n".join([*rows, "cat/é.png,cat"]) + "\n", "utf-8")
    return root / "labels.csv"


def both_forms(folder: Path) -> Path:
    path = decomposed(folder)
    text = path.read_text("utf-8").replace("cat/é.png", "cat/e\u0301\u0323.png")  # neither form of the two on disk
    path.write_text(text, "utf-8")
    for name in ("\u1eb9\u0301.png", "e\u0323\u0301.png"):
        (path.parent / "cat" / name).write_bytes(encoded(pixels(9)))
    return path


def loop(folder: Path) -> Path:
    root = photos(folder)
    (root / "cat" / "loop").symlink_to("..")
    (root / "cat" / "self").symlink_to("self")
    (root / "cat" / "self").unlink()
    return root


def dangling(folder: Path) -> Path:
    root = photos(folder)
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    return root


def self_link(folder: Path) -> Path:
    root = photos(folder)
    (root / "cat" / "self.png").symlink_to("self.png")
    return root


def fifo(folder: Path) -> Path:
    root = photos(folder)
    os.mkfifo(root / "cat" / "pipe.jpg")
    return root


def device(folder: Path) -> Path:
    root = photos(folder)
    (root / "cat" / "null.jpg").symlink_to("/dev/zero")
    return root


def litter(folder: Path) -> Path:
    root = photos(folder)
    (root / "__MACOSX" / "cat").mkdir(parents=True)
    (root / "__MACOSX" / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", "0.png~"):
        (root / "cat" / name).write_bytes(b"\0\0")
    return root


def upper_case(folder: Path) -> Path:
    root = photos(folder)
    for index, path in enumerate(sorted((root / "cat").iterdir())):
        path.rename(path.with_suffix(".PNG" if index % 2 else ".Png"))
    return root


def case_collision(folder: Path) -> Path:
    root = photos(folder)
    (root / "cat" / "A.PNG").write_bytes(encoded(pixels(71, 60)))
    (root / "cat" / "a.png").write_bytes(encoded(pixels(72, 60)))
    return root


def other_ending(folder: Path) -> Path:
    root = photos(folder)
    (root / "cat" / "0.png").rename(root / "cat" / "0.jpg")
    return root


def folder_with_ending(folder: Path) -> Path:
    root = photos(folder)
    (root / "cat" / "x.jpg").mkdir()
    (root / "cat" / "0.png").rename(root / "cat" / "x.jpg" / "0.png")
    return root


def long_name(folder: Path) -> Path:
    photos(folder)
    return folder / ("x" * 300)


def long_path(folder: Path) -> Path:
    return folder / "/".join(["y" * 200] * 25)


def archive(folder: Path) -> Path:
    root = photos(folder)
    with zipfile.ZipFile(folder / "photos.zip", "w") as opened:
        opened.write(root / "cat" / "0.png")
    return folder / "photos.zip"


def tar(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder / "packed"), "gztar", photos(folder)))


def empty_class(folder: Path) -> Path:
    root = photos(folder)
    (root / "bird").mkdir()
    return root


def same_bytes(folder: Path) -> Path:
    root = photos(folder)
    shutil.copy(root / "cat" / "0.png", root / "dog" / "copy.png")
    os.link(root / "cat" / "1.png", root / "dog" / "link.png")
    return root


FILE_CASES = (
    Case("F01", near_miss, ("phtos: no such file or folder", "did you mean", "photos"), "E"),
    Case("F02-empty", empty, ("0 images", "it holds no files"), "E"),
    Case("F02-types", only_videos, ("0 images", "7 .mp4 files"), "E"),
    Case("F02-deep", too_deep, ("has one folder, 'photos'", "give"), "E"),
    Case("F03", with_file("zero.png", b""), ("zero.png: is empty (0 bytes)",), "K"),
    Case("F04", odd_names, (), "N"),
    Case("F04-shown", bad_odd_name, (r"new\nline\x1b[31m.png: is empty",), "K"),
    Case("F04-bytes", not_utf8, (r"\xff\xfe.png: the name of this file is not UTF-8",), "K"),
    Case("F06", decomposed, (), "N"),
    Case("F06-both", both_forms, ("row 18", "is the name of 2 files"), "E"),
    Case("F07", loop, ("cat/loop: is a link to a folder that is read already",), "W"),
    Case("F07-self", self_link, ("self.png: cannot be read",), "K"),
    Case("F08", dangling, ("gone.png: is a link to a file that does not exist",), "K"),
    Case("F09-fifo", fifo, ("pipe.jpg: is not a regular file",), "K"),
    Case("F09-device", device, ("null.jpg: is not a regular file",), "K"),
    Case("F11", litter, ("6 files that systems leave behind",), "N", twin=photos),
    Case("F12", upper_case, (), "N", twin=photos),
    Case("F12-collision", case_collision, ("a.png: differs from 'A.PNG' only in case",), "W"),
    Case("F13", other_ending, ("0.jpg: is a PNG file by its content", "1 such file"), "N", twin=photos),
    Case("F14", with_file("page.jpg", b"<!DOCTYPE html><html>404"), ("page.jpg: is HTML text, not an image",), "K"),
    Case("F15", folder_with_ending, (), "N", twin=photos),
    Case("F16-name", long_name, ("xxxxx: cannot be opened (file name too long)"), "E"),
    Case("F16-path", long_path, ("yyyyy: cannot be opened (file name too long)"), "E"),
    Case("F19", archive, ("photos.zip: is an archive; unpack it",), "E"),
    Case("F19-tar", tar, ("packed.tar.gz: is an archive; unpack it",), "E"),
    Case("F20", empty_class, ("bird: no image is in this folder",), "W"),
    Case("F21", same_bytes, ("has the same content and label 'cat'", "copy.png", "link.png"), "W"),
    Case("F21-strict", same_bytes, ("copy.png", "link.png"), "K", options=("--strict",)),
)
