"""Finding the table that lists images: the file that is given, or the one of its kind in a folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from deepen.data.dataset import SPLIT_NAMES, SPLITS

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
USUAL_NAMES = ("metadata", "labels", "manifest", "index", "images", "annotations")
PATH_COLUMNS = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "image",
    "image_path",
    "image_file",
    "img",
    "image_name",
)
HEAD_LOOKED = 1 << 16


def manifests(path: Path) -> dict[str, Path]:
    """The files with lists by split ("all" for one)."""
    if path.is_file():
        return {"all": path} if _is_manifest(path) else {}
    try:
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
    except OSError:
        return {}
    found = [file for file in files if _is_manifest(file)]
    splits = {SPLIT_NAMES[file.stem.lower()]: file for file in found if file.stem.lower() in SPLIT_NAMES}
    if "train" in splits:
        return {split: splits[split] for split in SPLITS if split in splits}
    usual = [file for file in found if file.stem.lower() in USUAL_NAMES]
    chosen = found if len(found) == 1 else usual
    return {"all": chosen[0]} if len(chosen) == 1 else {}


def _is_manifest(file: Path) -> bool:
    """A cheap look: a column of the right name, and in text files an image's ending somewhere in the beginning."""
    ending = file.suffix.lower()
    try:
        if ending == ".parquet":
            return _is_image_parquet(file)
        if ending not in ENDINGS and ending != ".txt":
            return False
        with file.open("rb") as opened:
            head = opened.read(HEAD_LOOKED)
    except (OSError, pa.ArrowException):
        return False
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", "ignore").lower()
    return any(f"{ending}" in text for ending in (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif"))


def _is_image_parquet(file: Path) -> bool:
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    return any(name.lower() in PATH_COLUMNS and _may_hold_images(schema.field(name).type) for name in schema.names)


def _may_hold_images(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_struct(kind)
        or pa.types.is_string(kind)
    )
