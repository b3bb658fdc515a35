"""How many images a second a folder of JPEG files gives to training, against a DataLoader that decodes every epoch.

deepen decodes once and keeps the pixels; so there are three figures of its own: the first pass over a folder (finding,
hashing, splitting, decoding, resizing, writing the cache), a later start (the same from the cache), and an epoch. The
files are in the system's memory for all contenders alike.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench import pictures
from bench.fashion import PLAIN
from bench.loops import WORKERS
from bench.rounds import Contender, append, interleaved, ratio, say_machine, table
from deepen.core import rng
from deepen.prepare.encoded import Draws
from deepen.verbs.options import Resolved, resolved
from deepen.verbs.prepared import Prepared, prepare

TASK = "image-classification"
SIDE = 96
BATCH_SIZE = 128


def main() -> None:
    """Measures and prints a table."""
    arguments = _arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    say_machine()
    with tempfile.TemporaryDirectory(prefix="deepen-bench-") as name:
        os.environ["DEEPEN_CACHE"] = str(Path(name, "cache"))
        folder = Path(name, "photos")
        files = pictures.make(folder, arguments.images)
        size = sum(path.stat().st_size for path, _ in files) / len(files) / 1000
        print(
            f"{len(files):,} JPEG files of {pictures.WIDTH} x {pictures.HEIGHT} pixels, {size:.0f} kB each, to {SIDE}"
        )
        contenders, counts = _contenders(folder, files)
        times = interleaved(contenders, rounds=arguments.rounds)
    print("\n" + _table(times, counts), flush=True)
    append(arguments.out, {"bench": "folder_speed", "images": counts, "seconds": times})


def _contenders(folder: Path, files: list[tuple[Path, int]]) -> tuple[list[Contender], dict[str, int]]:
    chosen = resolved(TASK, {"image_size": SIDE, "epochs": 1, **PLAIN})
    prepared = prepare(TASK, folder, chosen)
    known = {str(path): label for path, label in files}
    train = [(path, known[path]) for path in prepared.encoded["train"].table.column("image").to_pylist()]
    work: dict[str, tuple[Callable[[], object], int]] = {
        "deepen, an epoch": (lambda: _epoch(prepared), len(train)),
        f"DataLoader, {WORKERS} workers": (lambda: _loaded(train, prepared.state["image"]), len(train)),
        "deepen, the first pass": (lambda: _first_pass(folder, chosen), len(files)),
        "deepen, a later start": (lambda: prepare(TASK, folder, chosen), len(files)),
    }
    contenders = [Contender(name, lambda call=call: _seconds(call)) for name, (call, _) in work.items()]
    return contenders, {name: count for name, (_, count) in work.items()}


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _first_pass(folder: Path, chosen: Resolved) -> Prepared:
    shutil.rmtree(os.environ["DEEPEN_CACHE"], ignore_errors=True)
    return prepare(TASK, folder, chosen)


def _epoch(prepared: Prepared) -> None:
    """Every batch of an epoch, as the engine asks for them."""
    train = prepared.encoded["train"]
    rows = rng.permutation(0, 0, len(train))
    for part in np.array_split(rows, -(-len(rows) // BATCH_SIZE)):
        prepared.task.batch(train, part, Draws(0, 0))


def _loaded(files: list[tuple[str, int]], state: dict[str, Any]) -> None:
    for _ in DataLoader(Files(files, state), batch_size=BATCH_SIZE, shuffle=True, num_workers=WORKERS):
        pass


class Files(Dataset[tuple[Tensor, int]]):
    """Image files, decoded, resized, cropped and normalized one by one whenever they are asked for."""

    def __init__(self, files: list[tuple[str, int]], state: dict[str, Any]) -> None:
        self.files = files
        self.mean = torch.tensor(state["mean"]).view(-1, 1, 1)
        self.deviation = torch.tensor(state["std"]).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        picture = _cropped(Image.open(path).convert("RGB"))
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True)).permute(2, 0, 1).contiguous()
        return pixels.float().div(255).sub_(self.mean).div_(self.deviation), label


def _cropped(picture: Image.Image) -> Image.Image:
    """The shorter side at SIDE pixels, then the middle."""
    width, height = picture.size
    scale = SIDE / min(width, height)
    picture = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    return picture.crop((left, top, left + SIDE, top + SIDE))


def _table(times: dict[str, list[float]], counts: dict[str, int]) -> str:
    per_image = {name: [taken / counts[name] for taken in seconds] for name, seconds in times.items()}
    loader = next(name for name in times if name.startswith("DataLoader"))
    rows = []
    for name, seconds in per_image.items():
        compared = "" if name == loader else str(ratio(per_image[loader], seconds))
        rows.append([name, f"{1 / statistics.median(seconds):,.0f}", compared])
    return table(["contender", "images per second", "times the DataLoader (least to most)"], rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.folder_speed", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; default: its own choice")
    parser.add_argument("--out", help="a file that gets one JSON line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
