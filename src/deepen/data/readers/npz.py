"""Arrays in an .npz file: x_train, y_train, x_test, y_test (as Keras keeps MNIST), or images and labels.

Headers are read and compared with the sizes in the zip directory before anything is allocated; object arrays, which
are pickles, are refused.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from deepen.core.errors import DataError
from deepen.core.names import did_you_mean
from deepen.data.dataset import Dataset
from deepen.data.pixels import check_codes, label_names, pixel_table, read_class_names
from deepen.data.read import ReadOptions, short_name
from deepen.data.unpack import LARGEST_BYTES

LOOKS_FOR = "an .npz file with x_train, y_train, x_test, y_test or images, labels"
IMAGES = {
    "train": ("x_train", "train_images"),
    "val": ("x_val", "x_valid", "val_images"),
    "test": ("x_test", "test_images"),
    "all": ("images", "x", "X", "data"),
}
LABELS = {
    "train": ("y_train", "train_labels"),
    "val": ("y_val", "y_valid", "val_labels"),
    "test": ("y_test", "test_labels"),
    "all": ("labels", "y", "label", "target"),
}
ZIP_START = b"PK"
GREATEST_RATIO = 1100  # deflate cannot pack tighter than 1,032 to 1


def recognizes(path: Path) -> bool:
    """Whether this is a file called .npz, or a folder that holds one and nothing else of the kind."""
    return _file(path) is not None


def read(path: Path, options: ReadOptions) -> Dataset:
    """Tables by the arrays' names. Raises DataError if an array is missing, misshapen, or larger than its file."""
    file = _file(path)
    assert file is not None
    names = read_class_names(Path(options.labels)) if options.labels else ()
    try:
        with zipfile.ZipFile(file) as archive:
            tables = _tables(archive, file, names, options)
    # NotImplementedError is what zipfile raises for a way of packing, or a version, that it does not know
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise DataError(
            f"{file}: is cut or damaged, or not an .npz file ({_words(error)}); get a whole copy of it."
        ) from None
    seen = {label for table in tables.values() for label in table.column("label").unique().to_pylist()}
    count = sum(table.num_rows for table in tables.values())
    return Dataset(short_name(file), f"npz: {count:,} images, {len(names or seen - {None})} classes", tables, names)


def _file(path: Path) -> Path | None:
    try:
        found = [path] if path.is_file() else sorted(path.glob("*.npz"))
    except OSError:
        return None
    return found[0] if len(found) == 1 and found[0].suffix.lower() == ".npz" else None


def _tables(archive: zipfile.ZipFile, file: Path, names: tuple[str, ...], options: ReadOptions) -> dict[str, pa.Table]:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    found = {split: next((name for name in known if name in members), "") for split, known in IMAGES.items()}
    splits = [split for split in ("train", "val", "test") if found[split]] or (["all"] if found["all"] else [])
    if not splits:
        raise DataError(f"{file}: has no array of images{did_you_mean('images', members)} Expected x_train or images.")
    return {split: _table(archive, file, members, found[split], split, names, options) for split in splits}


def _table(
    archive: zipfile.ZipFile,
    file: Path,
    members: dict[str, zipfile.ZipInfo],
    name: str,
    split: str,
    names: tuple[str, ...],
    options: ReadOptions,
) -> pa.Table:
    images = _as_images(_array(archive, members[name], file), f"{file}, array {name}")
    place = f"{file}, array {name}"
    label_name = next((known for known in LABELS[split] if known in members), "")
    if not label_name:
        if options.targets_needed:
            raise DataError(f"{file}: has no array of labels for {name}; expected {LABELS[split][0]}.")
        return pixel_table(images, pa.nulls(len(images), pa.string()), place)
    values = _array(archive, members[label_name], file)
    return pixel_table(images, _as_labels(values, len(images), names, f"{file}, array {label_name}", name), place)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> np.ndarray:
    """One member, its header checked against the sizes in the directory before anything is allocated."""
    place = f"{file}, array {info.filename.removesuffix('.npy')}"
    try:
        with archive.open(info) as member:
            version = npy.read_magic(member)
            shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(member)
    except ValueError:
        raise DataError(f"{place}: has no readable header of an array; write the file again.") from None
    if dtype.hasobject:
        raise DataError(f"{place}: holds Python objects, which are pickles and never opened; save it as numbers.")
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if claimed > LARGEST_BYTES:
        raise DataError(f"{place}: its header says {shape}, {claimed:,} bytes; at most {LARGEST_BYTES:,} are read.")
    if claimed > info.file_size or info.file_size > GREATEST_RATIO * (info.compress_size + 64):
        raise DataError(
            f"{place}: its header says {shape}, {claimed:,} bytes, but the file holds {info.file_size:,} "
            f"(packed {info.compress_size:,}); write the file again."
        )
    with archive.open(info) as member:
        try:
            return npy.read_array(member, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"{place}: is cut or damaged ({_words(error)}); write the file again.") from None


def _as_images(array: np.ndarray, place: str) -> np.ndarray:
    """[N, H, W, C] uint8 from [N, H, W], [N, H, W, C] or [N, C, H, W]; numbers in 0 ... 1 are brought to 0 ... 255."""
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4:
        raise DataError(f"{place}: has shape {array.shape}; expected [N, H, W], [N, H, W, C] or [N, C, H, W].")
    if array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        array = array.transpose(0, 2, 3, 1)
    if array.shape[3] not in (1, 3, 4) or 0 in array.shape:
        raise DataError(f"{place}: has shape {array.shape}; expected 1, 3 or 4 channels and at least one image.")
    return np.ascontiguousarray(_as_bytes(array, place))


def _as_bytes(array: np.ndarray, place: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "biuf":
        raise DataError(f"{place}: holds {array.dtype}, which are not pixels; expected numbers.")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{place}: holds values that are not finite; expected 0 to 255, or 0 to 1.")
    if low < 0 or high > 255:
        raise DataError(f"{place}: holds values from {low:g} to {high:g}; expected 0 to 255, or 0 to 1.")
    scale = 255 if array.dtype.kind in "bf" and high <= 1 else 1
    return np.rint(array.astype(np.float32) * scale).astype(np.uint8)


def _as_labels(values: np.ndarray, num_images: int, names: tuple[str, ...], place: str, images: str) -> pa.Array:
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1 or len(values) != num_images:
        raise DataError(
            f"{place}: has shape {values.shape}, but {images} holds {num_images:,} images; expected one label each."
        )
    if values.dtype.kind in "US":
        return pa.array(
            [str(value) if isinstance(value, str) else value.decode("utf-8", "replace") for value in values.tolist()]
        )
    if values.dtype.kind == "f" and np.all(values == np.rint(values)):
        values = values.astype(np.int64)
    if values.dtype.kind not in "biu":
        raise DataError(f"{place}: holds {values.dtype}, which are not class labels; expected whole numbers or names.")
    if values.min() < 0:
        check_codes(values, int(values.max()) + 1, place)
    if names:
        check_codes(values, len(names), place)
    return label_names(values, names)


def _words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or "its end is missing").lower().splitlines()[0]
