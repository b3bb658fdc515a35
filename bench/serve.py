"""What serving costs: the same network bare in batches, and behind `deepen serve`, in one run on this machine.

    python -m bench.serve                              ResNet-18 on pictures of 11 x 11, and a table's network
    python -m bench.serve --only image --seconds 3     to try it
    python -m bench.serve --only table --clients 1,32

bare       rows a second of the network in this process, one thread: prepared batches of each size, the best of them
served     closed loops of c clients over HTTP, one row in each request; preparing, decoding and HTTP included
storm      four times as many clients as there is room for, which come again at once when they are refused

The clients run in a process of their own on the same cores. Rounds of bare and served alternate; the best counts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.places import ROOT
from deepen.cli.output import table
from deepen.verbs.loaded import loaded
from deepen.verbs.run_answers import RunAnswers
from deepen.verbs.train import train

OUT = ROOT / "build" / "serve"
SIZES = (1, 2, 4, 8, 16, 32, 64)
CASES = {
    "image": ("image-classification", {"model": "resnet18", "epochs": 1}),
    "small-image": ("image-classification", {"model": "lenet", "epochs": 1}),
    "table": ("tabular-classification", {"epochs": 1}),
    "text": ("text-classification", {"epochs": 1}),
}
USUAL = ("image", "table")
BOUNDARY = "deepen-bench"


def run_of(case: str) -> Path:
    """The case's run, trained for an epoch on its task's tiny data: what it answers is not measured here."""
    task, options = CASES[case]
    folder = OUT / case
    if not (folder / "weights.safetensors").exists():
        train(task, "tiny", options, out=folder)
    return folder


def row_of(case: str, answers: RunAnswers) -> tuple[dict[str, Any], bytes, str]:
    """A row, the body of a request with it, and its Content-Type."""
    row = answers.example()
    if "image" in row:
        noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, "PNG")
        row = {"image": buffer.getvalue()}
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        body = head.encode() + buffer.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()
        return row, body, f"multipart/form-data; boundary={BOUNDARY}"
    return row, json.dumps({"rows": [row]}).encode(), "application/json"


def bare(answers: RunAnswers, row: dict[str, Any], seconds: float) -> dict[int, float]:
    """Rows a second by batch size, prepared before."""
    found = {}
    for size in SIZES:
        ready = answers.prepare([row] * size)
        answers.answer(ready)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / len(SIZES):
            answers.answer(ready)
            count += size
        found[size] = count / (time.perf_counter() - start)
    return found


@contextlib.contextmanager
def server(folder: Path, *options: str) -> Iterator[int]:
    """`deepen serve` as a user starts it; the port."""
    words = [sys.executable, "-m", "deepen", "serve", str(folder), "--port", "0", "--json", *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["port"]
    finally:
        process.terminate()
        process.wait(60)


def loaded_by(port: int, body: Path, clients: int, seconds: float, *more: str) -> dict[str, Any]:
    """What the load client saw."""
    words = [sys.executable, "-m", "bench.serve_load", "127.0.0.1", str(port), "/v1/predict", str(body)]
    words += ["--clients", str(clients), "--seconds", str(seconds), *more]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def measure(case: str, clients: list[int], seconds: float, rounds: int) -> None:
    """One case: its tables."""
    folder = run_of(case)
    answers = RunAnswers(loaded(folder), max_pixels=10**8)
    row, content, kind = row_of(case, answers)
    body = OUT / f"{case}.bin"
    body.write_bytes(content)
    body.with_suffix(".type").write_text(kind)
    bares: list[dict[int, float]] = []
    seen: dict[int, list[dict[str, Any]]] = {count: [] for count in clients}
    storms = []
    with server(folder) as port:
        for _ in range(rounds):
            bares.append(bare(answers, row, seconds))
            for count in clients:
                seen[count].append(loaded_by(port, body, count, seconds))
    rates = {size: max(each[size] for each in bares) for size in SIZES}
    size, best = max(rates.items(), key=lambda each: each[1])
    print(f"\n## {case}: bare, rows a second by batch size\n")
    print(table(["batch", "rows/s"], [[str(each), rate] for each, rate in rates.items()]))
    print(f"\n## {case}: served (best bare: {best:.0f} rows/s in batches of {size})\n")
    lines = []
    for count, all_of in seen.items():
        one = max(all_of, key=lambda each: each["per_second"])
        floor = count / one["per_second"]
        times = [1e3 * one[name] for name in ("p50", "p99")]
        lines.append(
            [str(count), one["per_second"], one["per_second"] / best, *times, one["p99"] / floor, one["refused"]]
        )
    print(table(["clients", "rows/s", "of bare", "p50 ms", "p99 ms", "p99 / (c / rate)", "refused"], lines))
    capacity = max(line[1] for line in lines)
    room = 32
    with server(folder, "--queue", str(room)) as port:
        for _ in range(rounds):
            calm = loaded_by(port, body, room, seconds)
            storms.append((calm, loaded_by(port, body, 4 * room, seconds, "--retries")))
    calm, storm = (max(each, key=lambda one: one["per_second"]) for each in zip(*storms, strict=True))
    goodput = storm["per_second"] / max(calm["per_second"], 1e-9)
    print(f"\n## {case}: {4 * room} clients that retry at once, room for {room}\n")
    rows = [
        [name, each["per_second"], each["refused"], 1e3 * each["p99"]]
        for name, each in (("calm", calm), ("storm", storm))
    ]
    print(table(["load", "good/s", "refused", "p99 ms of the good"], rows))
    print(f"goodput in the storm: {goodput:.2f} of the same server's without it ({capacity:.0f} rows/s at best)")


def main() -> int:
    """All cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(USUAL), help=f"of {', '.join(CASES)}")
    parser.add_argument("--clients", default="1,8,32,128")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for case in given.only.split(","):
        if case not in CASES:
            sys.exit(f"--only {case}: no such case; there is {', '.join(CASES)}.")
        measure(case, [int(word) for word in given.clients.split(",")], given.seconds, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
