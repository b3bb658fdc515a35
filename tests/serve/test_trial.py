"""Ten minutes of good, bad and hostile requests at once: no wrong answer, no leak, no crash.

DEEPEN_TRIAL_SECONDS sets another time.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from deepen.prepare.image import encode_png
from deepen.serve.server import Told
from deepen.verbs.predict import predict
from deepen.verbs.train import train
from tests.faults.image_cases import bomb, half, many_scans
from tests.serve.echo import Client

SECONDS = float(os.environ.get("DEEPEN_TRIAL_SECONDS", "600"))
PICTURES = 31
MIB = 1 << 20
BOUNDARY = "x-trial"


def form(*pictures):
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="../x"\r\n\r\n'.encode()
    parts = [head + each + b"\r\n" for each in pictures]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class Trial:
    """What the clients know, and what they saw."""

    def __init__(self, port, pictures, expected):
        self.port, self.pictures, self.expected = port, pictures, expected
        self.end = time.monotonic() + SECONDS
        self.good, self.refused, self.wrong = 0, 0, []
        self.lock = threading.Lock()

    def client(self):
        return Client(Told("http://127.0.0.1/", self.port))

    def honest(self, seed):
        """One to six pictures, some of them none; each answer must be that of `predict`."""
        draw, own = random.Random(seed), self.client()
        bad = (b"none", half(self.pictures[0], 0.5), bomb(6_000), many_scans())
        while time.monotonic() < self.end:
            chosen = [draw.randrange(PICTURES) if draw.random() < 0.9 else -1 for _ in range(draw.randint(1, 6))]
            body = form(*(self.pictures[place] if place >= 0 else draw.choice(bad) for place in chosen))
            try:
                kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
                code, said, _ = own.ask("POST", "/v1/predict", body, kind)
            except OSError:  # an idle connection was closed to make room
                continue
            with self.lock:
                self._judge(code, said, chosen)

    def _judge(self, code, said, chosen):
        if code in (429, 503):
            self.refused += 1
            return
        if code not in (200, 422) or (code == 422) != all(place < 0 for place in chosen):
            self.wrong.append((code, said, chosen))
            return
        for number, (place, result) in enumerate(zip(chosen, said["results"], strict=True)):
            if place < 0:
                is_right = "error" in result
            else:
                label, probability = self.expected[place]
                answer = result.get("answer", {})
                is_right = (answer.get("label"), answer.get("source")) == (label, f"rows[{number}]")
                is_right = is_right and abs(answer["probability"] - probability) < 1e-5
            if not is_right:
                self.wrong.append((code, result, place))
        self.good += 1

    def hostile(self, seed):
        """Bytes that are no request, requests that never end, bodies that are too large, clients that leave."""
        draw = random.Random(seed)
        head = b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        while time.monotonic() < self.end:
            messages = (
                draw.randbytes(draw.randint(1, 3_000)),
                b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n",
                head + b"content-length: 99999999999\r\n\r\n",
                head + b'content-length: 40\r\n\r\n{"rows": [',
                head + b"transfer-encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"[" * 0xFFFF + b"\r\n0\r\n\r\n",
                head + b"x: " + b"a" * 100_000,
                b"GET /static/..%2f..%2fx HTTP/1.1\r\nhost: localhost\r\n\r\n",
                b"GET /v1/runs HTTP/1.1\r\nhost: localhost\r\n\r\n" * 50,
                head + b"content-length: 12\r\n\r\n" + b'{"rows": [1]',
            )
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(draw.choice(messages))
                if draw.random() < 0.7:
                    connection.settimeout(0.2)
                    connection.recv(65536)
            time.sleep(0.002)


def measures(process):
    """Memory, descriptors and threads of the server and its workers together."""
    each = [process, *process.children(recursive=True)]
    return (
        sum(one.memory_info().rss for one in each) / MIB,
        sum(one.num_fds() for one in each),
        sum(one.num_threads() for one in each),
    )


@pytest.mark.torture
def test_good_bad_and_hostile_requests_together(tmp_path):
    folder = train("image-classification", "tiny", {"epochs": 1}, out=tmp_path / "bars").folder
    draw = np.random.default_rng(0)
    pictures = [encode_png(draw.integers(0, 255, (11, 11, 1)).astype(np.uint8)) for _ in range(PICTURES)]
    for number, each in enumerate(pictures):
        (tmp_path / f"{number:02d}.png").write_bytes(each)
    found = predict(folder, [tmp_path / f"{number:02d}.png" for number in range(PICTURES)])
    expected = [(answer.label, answer.probability) for answer in found]
    words = [sys.executable, "-m", "deepen", "serve", str(folder), "--port", "0", "--json"]
    words += ["--header-seconds", "2", "--body-seconds", "3", "--max-body-mb", "1", "--max-connections", "200"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    trial = Trial(json.loads(process.stdout.readline())["port"], pictures, expected)
    threads = [threading.Thread(target=trial.honest, args=(n,)) for n in range(8)]
    threads += [threading.Thread(target=trial.hostile, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    server, seen = psutil.Process(process.pid), []
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(1.0, SECONDS / 30))
        seen.append(measures(server))
    for thread in threads:
        thread.join()
    last = trial.client().ask("GET", "/metrics")[1].decode()
    process.terminate()
    _, complaints = process.communicate(timeout=60)
    figures = f"memory, files, threads: {seen[len(seen) // 3]} -> {seen[-1]}"
    print(f"{trial.good:,} good, {trial.refused:,} refused; {figures}")
    assert not trial.wrong, trial.wrong[:3]
    assert trial.good > SECONDS and process.returncode == 0
    assert "deepen_worker_ends_total{" not in last and "Traceback" not in complaints, complaints[-2_000:]
    third = len(seen) // 3
    before, after = np.median(seen[third : 2 * third], axis=0), np.median(seen[2 * third :], axis=0)
    assert after[0] - before[0] < 24 and after[1] - before[1] < 20 and after[2] - before[2] < 10
