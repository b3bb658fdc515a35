"""A server as its clients see it: what it answers, what it refuses, and that neither costs the others anything."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
import time

import psutil
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from deepen.core.errors import OptionError
from tests.serve.echo import Client, model, served, written

LONG = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server with two models, with short deadlines for what is slow."""
    folder = tmp_path_factory.mktemp("models")
    said: list[str] = []
    models = [model(written(folder / "first")), model(written(folder / "second", "two"), batch_seconds=0.05)]
    with served(models, said, header_seconds=0.6, body_seconds=0.9, idle_seconds=2, max_body_mb=1, queue=40) as found:
        server, told = found
        server.said = said
        yield server, told


@pytest.fixture
def client(server):
    """A connection to it."""
    return Client(server[1])


def raw(told, data, *, seconds=5.0, answers=1):
    """What comes back for these bytes: so many answers, or less where the server closes before, or after a while."""
    with socket.create_connection(("127.0.0.1", told.port), timeout=seconds) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        found = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while found.count(b"}") < answers or b"\r\n\r\n" not in found:  # every answer here is JSON
                part = connection.recv(65536)
                if not part:
                    break
                found += part
        return found


def head(*lines, method="POST", path="/v1/predict", host="localhost"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"host: {host}", *lines, "", ""]).encode("latin-1")


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def test_answers_stand_by_position_with_their_version(client):
    code, said, headers = client.predict("a", "bb", 5, "nan")
    assert code == 200 and said["run"] == "first" and said["version"] == "one"
    assert [each["answer"]["said"] for each in said["results"][:2]] == ["a", "bb"]
    assert "expected a text" in said["results"][2]["error"]
    assert said["results"][3]["answer"]["length"] is None and said["results"][3]["answer"]["not_finite"] is True
    assert headers["x-content-type-options"] == "nosniff" and "default-src 'self'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers and "server" not in headers


def test_a_bad_row_costs_itself_alone(client):
    texts = ["ok0", "bad", "ok2", "raise", "ok4", "ok5", "ok6", "ok7"]
    code, said, _ = client.predict(*texts)
    assert code == 200
    for text, result in zip(texts, said["results"], strict=True):
        if text == "bad":
            assert result == {"error": "bad is no text."}
        elif text == "raise":
            assert result == {"error": "the model failed on this row; the log has it."}
        else:
            assert result["answer"]["said"] == text
    assert client.predict("bad")[0] == 422 and client.predict("raise")[0] == 500
    assert "/a/path" not in json.dumps(said)


def test_several_runs_by_name(client):
    assert client.predict("a", run="second")[1]["version"] == "two"
    code, said, _ = client.predict("a", run="third")
    assert code == 404 and "first, second" in said["error"] and len(said["id"]) == 16
    code, said, _ = client.ask("GET", "/v1/runs")
    assert [each["run"] for each in said["runs"]] == ["first", "second"]


def test_a_batch_is_never_mixed_up(server):
    """2,000 requests of 1 to 5 rows from 16 connections: each gets the answers to its own rows."""
    wrong: list[object] = []

    def ask(number):
        draw, own = random.Random(number), Client(server[1])
        for _ in range(125):
            texts = [f"{number}-{draw.random()}" for _ in range(draw.randint(1, 5))]
            code, said, _ = own.predict(*texts)
            if code == 429:
                continue
            if code != 200 or [each["answer"]["said"] for each in said["results"]] != texts:
                wrong.append((code, said, texts))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong, wrong[0]


def test_a_crash_costs_the_row_that_makes_it_alone(server):
    """The process ends over one of eight requests: it gets 500, the others their answers from another process."""
    found: dict[str, int] = {}

    def ask(text):
        found[text] = Client(server[1]).predict(text, run="second")[0]

    texts = [*(f"innocent {n}" for n in range(7)), "abort"]
    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert found == {**dict.fromkeys(texts[:-1], 200), "abort": 500}
    assert any("another is started" in line for line in server[0].said)


@pytest.mark.parametrize(
    ("lines", "body", "code"),
    [
        (["content-type: text/plain", "content-length: 2"], b"{}", 415),
        (["content-length: 2"], b"{}", 415),
        (["content-type: application/json", "content-encoding: gzip", "content-length: 2"], b"{}", 415),
        (["content-type: application/json", "content-length: 10000000000"], b"{}", 413),
        (["content-type: application/json", "content-length: 10000000000", "expect: 100-continue"], b"", 413),
        (["content-type: application/json", "content-length: 2", "content-length: 3"], b"{}", 400),
        (["content-type: application/json", "content-length: 2", "transfer-encoding: chunked"], b"{}", 400),
        (["content-type: application/json", "content-length: -1"], b"", 400),
        (["content-type: application/json", "x-big: " + "a" * 200_000], b"", 431),
        (["content-type: application/json", *(f"x-{n}: a" for n in range(10_000))], b"", 431),
        (["origin: http://evil.example", "content-type: application/json", "content-length: 2"], b"{}", 403),
        (["origin: null", "content-type: application/json", "content-length: 2"], b"{}", 403),
        (["origin: http://localhost.evil", "content-type: application/json", "content-length: 2"], b"{}", 403),
        (["sec-fetch-site: cross-site", "content-type: application/json", "content-length: 2"], b"{}", 403),
    ],
)
def test_heads_that_are_refused(server, lines, body, code):
    answer = raw(server[1], head(*lines) + body)
    assert status(answer) == code, answer[:300]
    assert b"Traceback" not in answer and b"/work" not in answer


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost:80x", "a b"])
def test_another_name_is_refused(server, host):
    assert status(raw(server[1], head("connection: close", method="GET", path="/v1/runs", host=host))) in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:80", "localhost."])
def test_own_names_are_known(server, host):
    assert status(raw(server[1], head("connection: close", method="GET", path="/v1/runs", host=host))) == 200


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (head(method="PUT"), (405,)),
        (head(method="OPTIONS"), (405,)),
        (head(method="TRACE"), (405,)),
        (head(method="HEAD", path="/v1/runs"), (405,)),
        (b"CONNECT example.com:80 HTTP/1.1\r\nhost: localhost\r\n\r\n", (400, 404, 405)),
        (b"GET /v1/runs\r\n\r\n", (400, 421)),
        (b"GET http://evil.example/v1/runs HTTP/1.1\r\nhost: evil.example\r\n\r\n", (421,)),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", (431,)),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n", (400,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
        (b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n", (400,)),
        (b"GET / HTTP/1.1\r\n host: localhost\r\n\r\n", (400, 421)),
    ],
)
def test_odd_requests_get_a_status_and_an_end(server, data, codes):
    assert status(raw(server[1], data, seconds=4)) in codes


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2fhttp.py",
        "/static/%2e%2e/http.py",
        "//etc/passwd",
        "/static/..%5chttp.py",
        "/static/%00",
        "/static/",
        "/static/../http.py",
        "/v1/explanations/../../x",
        "/docs/x",
        "/favicon.ico",
    ],
)
def test_a_path_leads_to_no_file(client, path):
    code, said, _ = client.ask("GET", path)
    assert code == 404 and "here" in str(said)


def test_ten_thousand_ranges_cost_nothing(client):
    ranges = ",".join(f"{n}-{n}" for n in range(5_000))
    before = time.process_time()
    code, _, _ = client.ask("GET", "/static/main.js", headers={"range": f"bytes={ranges}"[:30_000]})
    assert code == 200 and time.process_time() - before < 0.3


def test_a_body_without_end_is_cut_at_the_limit(server):
    process = psutil.Process()
    before = process.memory_info().rss
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    lines = ("content-type: application/json", "transfer-encoding: chunked")
    with socket.create_connection(("127.0.0.1", server[1].port), timeout=10) as connection:
        connection.sendall(head(*lines))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(2_000):  # 128 MiB, of which the server reads 1 and throws some away
                connection.sendall(chunk)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            found = connection.recv(65536)
    assert status(found) in (413, 0)
    assert process.memory_info().rss - before < 32 << 20


def test_slow_heads_and_bodies_are_closed_by_their_deadlines(server, client):
    """Half of a head, no head at all, a body that trickles: closed; an honest client in the meantime is not harmed."""
    heads = [socket.create_connection(("127.0.0.1", server[1].port)) for _ in range(60)]
    for number, connection in enumerate(heads):
        if number % 2:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: local")
    body = socket.create_connection(("127.0.0.1", server[1].port))
    body.sendall(head("content-type: application/json", "content-length: 100") + b'{"rows"')
    started, slowest = time.monotonic(), 0.0
    while time.monotonic() - started < 2.4:
        before = time.monotonic()
        assert client.predict("honest")[0] == 200
        slowest = max(slowest, time.monotonic() - before)
        time.sleep(0.05)
        with contextlib.suppress(OSError):
            body.send(b" ")
    for connection in heads:
        connection.settimeout(2)
        with contextlib.suppress(ConnectionResetError):
            answer = connection.recv(65536)
            assert answer == b"" or status(answer) == 408
        connection.close()
    body.settimeout(2)
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        assert status(body.recv(65536)) in (408, 0)
    body.close()
    assert slowest < 1.5


def test_who_leaves_is_not_computed(server, client):
    """Requests whose clients went away before their turn: none of them reaches the model."""
    lines = ("content-type: application/json",)
    for number in range(20):
        text = json.dumps({"rows": [f"gone {number}"]}).encode()
        with socket.create_connection(("127.0.0.1", server[1].port)) as connection:
            connection.sendall(head(*lines, f"content-length: {len(text)}", path="/v1/predict?run=second") + text)
    deadline = time.monotonic() + LONG
    while client.predict("still here", run="second")[0] != 200:
        assert time.monotonic() < deadline
    server_ = server[0]._keeper
    while server_.num_held and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server_.num_held == 0


def test_pipelined_requests_are_answered_in_their_order(server):
    texts = [json.dumps({"rows": [f"number {n}"]}).encode() for n in range(3)]
    lines = [("content-type: application/json", f"content-length: {len(text)}") for text in texts]
    last = head("connection: close", method="GET", path="/healthz")
    answer = raw(
        server[1], b"".join(head(*own) + text for own, text in zip(lines, texts, strict=True)) + last, answers=99
    )
    places = [answer.find(f"number {n}".encode()) for n in range(3)]
    assert 0 < places[0] < places[1] < places[2] and answer.rstrip().endswith(b'{"status": "alive"}')


def test_metrics_have_a_fixed_set_of_labels_and_add_up(server, client):
    def count(text):
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("deepen_requests_total{"))

    before = client.ask("GET", "/metrics")[1].decode()
    for number in range(30):
        client.ask("GET", f"/odd/{number}/<script>")
    after = client.ask("GET", "/metrics")[1].decode()
    assert count(after) - count(before) == 31
    assert "odd" not in after and "script" not in after and 'route="other"' in after


def test_the_routes_are_documented_and_load_nothing_from_elsewhere(client):
    code, document, _ = client.ask("GET", "/openapi.json")
    assert code == 200 and document["openapi"] == "3.1.0"
    for path in document["paths"]:
        for method, operation in document["paths"][path].items():
            code, _, _ = client.ask(method.upper(), path, "{}" if method == "post" else None)
            assert str(code) in operation["responses"], (path, code)
    for path in ("/", "/docs"):
        code, page, _ = client.ask("GET", path)
        assert code == 200 and b"http://" not in page and b"https://" not in page


def test_an_explanation_is_kept_under_a_name_that_cannot_be_guessed(client):
    kind = {"content-type": "application/json"}
    code, said, _ = client.ask("POST", "/v1/explain", '{"rows": ["a"]}', kind)
    assert code == 200 and len(said["page"]) > 40
    code, page, headers = client.ask("GET", said["page"])
    assert (code, page) == (200, b"<p>because</p>") and "sandbox" in headers["content-security-policy"]
    assert client.ask("POST", "/v1/explain", '{"rows": ["a", "b"]}', kind)[0] == 422


def test_health_is_answered_whatever_waits(server, client):
    """Twice as many slow requests as there is room for; the rest is refused with a time, held back; health answers."""
    codes: list[int] = []
    held: list[float] = []

    def ask():
        before = time.monotonic()
        code, _, headers = Client(server[1]).predict("sleep 0.05", run="second")
        codes.append(code)
        if code == 429:
            held.append(time.monotonic() - before)
            assert int(headers["retry-after"]) >= 1

    threads = [threading.Thread(target=ask) for _ in range(90)]
    for thread in threads:
        thread.start()
    before = time.monotonic()
    assert client.ask("GET", "/healthz")[0] == 200 and client.ask("GET", "/readyz")[0] == 200
    assert time.monotonic() - before < 2
    for thread in threads:
        thread.join(LONG)
    assert set(codes) == {200, 429} and codes.count(200) >= 40 and min(held) >= 0.24


def test_logs_hold_no_line_of_a_request(server, client):
    client.ask("GET", "/%0a%1b[31mforged")
    client.ask(
        "POST", "/v1/predict", b"secret body \x1b[31m", {"content-type": "application/json", "x-a": "secret head"}
    )
    assert not [line for line in server[0].said if "forged" in line or "secret" in line or "\x1b" in line]


def test_it_listens_on_this_machine_alone(server):
    addresses = {
        each.laddr for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.pid == os.getpid()
    }
    assert {each.ip for each in addresses if each.port == server[1].port} == {"127.0.0.1"}


def test_a_port_in_use_or_refused_is_said_in_a_sentence(server, tmp_path):
    folder = written(tmp_path / "model")
    taken = rf"--port {server[1].port}: cannot listen there \(address already in use\)"
    with pytest.raises(OptionError, match=taken), served([model(folder)], port=server[1].port):
        pass
    not_here = r"--host 192\.0\.2\.1 --port 0: cannot listen there"  # an address of no machine (RFC 5737)
    with pytest.raises(OptionError, match=not_here), served([model(folder)], host="192.0.2.1"):
        pass
