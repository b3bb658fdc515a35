"""`deepen serve` beside LitServe: the same network, the same requests, the same client, in one run on this machine.

    python -m bench.serve_peers                              ResNet-18 on grey pictures of 28 x 28
    python -m bench.serve_peers --model lenet --clients 32   what HTTP costs, when the network costs nothing
    python -m bench.serve_peers --seconds 2 --rounds 1       to try it

Both answer {"rows": ["<PNG as base64>"]} with one picture; both gather at most `--batch-size` requests, compute with
`--threads` threads in one process, and take at most `--delay-ms` to fill a batch. LitServe runs with the queue that it
has by default, and with the one over ZeroMQ that its manual advises for more than a hundred requests a second. deepen
runs with that batch size, and once more as it is started by default, with the batch size that it finds by measuring.

All servers are up all the time and idle when it is not their turn. A round lets each contender answer for some seconds,
beginning with another one each time. What is said is the ratio of rows a second within a round: its median, least and
most. Before that, all must give the same answer.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import importlib.util
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.places import ROOT
from bench.rounds import ratio, say_machine, table
from bench.serve import OUT, loaded_by, server
from deepen.verbs.train import train

SIDE = 28
START_SECONDS = 120.0
OURS = "deepen"
PEERS = ("LitServe", "LitServe, ZeroMQ")
Seen = dict[str, list[dict[str, Any]]]


def run_of(model: str) -> Path:
    """A run on grey pictures of 28 x 28, trained for an epoch: what it answers is not measured here."""
    folder = OUT / f"peers-{model}"
    if not (folder / "weights.safetensors").exists():
        train("image-classification", "tiny", {"model": model, "epochs": 1, "image_size": SIDE}, out=folder)
    return folder


def body_of(model: str) -> Path:
    """The file with the body of a request, and beside it its Content-Type."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE)).astype(np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    place = OUT / f"peers-{model}.bin"
    place.write_text(json.dumps({"rows": [base64.b64encode(buffer.getvalue()).decode()]}))
    place.with_suffix(".type").write_text("application/json")
    return place


@contextlib.contextmanager
def litserve_server(folder: Path, *options: str) -> Iterator[int]:
    """LitServe in processes of its own; the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "bench.serve_litserve", str(folder), "--port", str(port), *options]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answered(port: int, body: Path) -> dict[str, Any]:
    """What the server says to the request, as soon as it can."""
    headers = {"content-type": body.with_suffix(".type").read_text()}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", body.read_bytes(), headers)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(request, timeout=START_SECONDS) as response:
                said = json.load(response)
                return said["results"][0]["answer"] if "results" in said else said
        except urllib.error.HTTPError as error:
            if error.code != 503:
                sys.exit(f"port {port} answers {error.code}: {error.read()[:300]!r}")
        except OSError:
            pass  # it does not listen yet
        time.sleep(0.2)
    sys.exit(f"port {port} did not answer within {START_SECONDS:.0f} seconds.")


def check_equal(answers: Mapping[str, dict[str, Any]]) -> None:
    """Ends the script where two contenders do not say the same."""
    own = answers[OURS]
    for name, said in answers.items():
        if said["label"] != own["label"] or abs(said["probability"] - own["probability"]) > 1e-4:
            sys.exit(f"{name} says {said}, but {OURS} {own}; they do not serve the same network.")


def measured(ports: Mapping[str, int], body: Path, clients: int, seconds: float, rounds: int) -> Seen:
    """What the client saw of each contender, round by round; one round before is not counted."""
    names, seen = list(ports), {name: [] for name in ports}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            found = loaded_by(ports[name], body, clients, seconds if number else min(seconds, 2.0))
            if number:
                seen[name].append(found)
    return seen


def lines_of(seen: Seen, clients: int) -> list[list[str]]:
    """A row of the table for each contender."""
    rates = {name: [each["per_second"] for each in all_of] for name, all_of in seen.items()}
    lines = []
    if not all(rate for all_of in rates.values() for rate in all_of):
        sys.exit(f"a round of {clients} clients ended before the first answer: {rates}; give --seconds more.")
    for name, all_of in seen.items():
        times = [f"{1e3 * statistics.median(each[key] for each in all_of):.1f}" for key in ("p50", "p99")]
        other = sum(each["refused"] + each["other"] for each in all_of)
        against = "" if name == OURS else str(ratio(rates[OURS], rates[name]))
        lines.append([str(clients), name, f"{statistics.median(rates[name]):.1f}", *times, str(other), against])
    return lines


def main() -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--clients", default="1,32")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--delay-ms", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if importlib.util.find_spec("litserve") is None:
        sys.exit("litserve is not installed; `make bench` makes an environment with it.")
    OUT.mkdir(parents=True, exist_ok=True)
    folder, body = run_of(given.model), body_of(given.model)
    threads = ("--threads", str(given.threads))
    common = ("--batch-size", str(given.batch_size), *threads)
    peers = (*common, "--delay-ms", str(given.delay_ms))
    own = (*threads, "--batch-delay-ms", str(given.delay_ms))
    with contextlib.ExitStack() as stack:
        ports = {
            OURS: stack.enter_context(server(folder, "--batch-size", str(given.batch_size), *own)),
            f"{OURS}, batch size measured": stack.enter_context(server(folder, *own)),
            PEERS[0]: stack.enter_context(litserve_server(folder, *peers)),
            PEERS[1]: stack.enter_context(litserve_server(folder, *peers, "--fast-queue")),
        }
        check_equal({name: answered(port, body) for name, port in ports.items()})
        lines = []
        for clients in (int(word) for word in given.clients.split(",")):
            lines += lines_of(measured(ports, body, clients, given.seconds, given.rounds), clients)
    say_machine()
    columns = ["clients", "server", "rows/s", "p50 ms", "p99 ms", "not answered", f"{OURS}'s rows/s over its"]
    print(f"\n## {given.model}, batches of at most {given.batch_size}\n\n{table(columns, lines)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
