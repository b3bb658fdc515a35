"""A server's life: models that are replaced or cannot be loaded, tokens, and what happens to whom when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from deepen.core.errors import OptionError, RunError
from tests.serve.echo import Client, model, served, written

LONG = 30.0


def test_an_older_request_than_its_deadline_is_not_computed(tmp_path):
    with served([model(written(tmp_path / "slow"), batch_size=1)], deadline_seconds=0.5) as (_, told):
        blocker = threading.Thread(target=lambda: Client(told).predict("sleep 1.2"))
        blocker.start()
        time.sleep(0.2)
        before = time.monotonic()
        code, said, _ = Client(told).predict("too late")
        assert code == 504 and "deadline" in said["error"] and 0.4 < time.monotonic() - before < 1.1
        blocker.join()


def test_one_slow_model_does_not_hold_up_another(tmp_path):
    models = [model(written(tmp_path / "slow"), batch_size=1), model(written(tmp_path / "fast"))]
    with served(models) as (_, told):
        blockers = [threading.Thread(target=lambda: Client(told).predict("sleep 0.5", run="slow")) for _ in range(4)]
        for each in blockers:
            each.start()
        own, times = Client(told), []
        for _ in range(50):
            before = time.monotonic()
            assert own.predict("quick", run="fast")[0] == 200
            times.append(time.monotonic() - before)
        assert sorted(times)[45] < 0.2
        for each in blockers:
            each.join()


def test_a_token_is_needed_where_others_can_reach_it(tmp_path):
    folder = written(tmp_path / "model")
    with served([model(folder)], host="0.0.0.0") as (_, told):
        assert len(told.token) >= 32 and told.address.startswith("http://127.0.0.1:")
        codes = {
            token: Client(told, token).predict("a")[0] for token in ("", told.token[:-1], told.token + "x", told.token)
        }
        assert list(codes.values()) == [401, 401, 401, 200]
        code, said, headers = Client(told).ask("GET", "/v1/runs")
        assert code == 401 and headers["www-authenticate"] == "Bearer" and told.token not in json.dumps(said)
        assert [Client(told).ask("GET", path)[0] for path in ("/", "/healthz", "/readyz", "/metrics")] == [
            200,
            200,
            200,
            401,
        ]
    with pytest.raises(OptionError, match="16 visible"), served([model(folder)], token="short"):
        pass


def test_a_model_that_cannot_be_loaded_is_said_in_a_sentence(tmp_path):
    folder = written(tmp_path / "model", broken=1)
    with pytest.raises(RunError, match=r"model: model\.json is broken"), served([model(folder)]):
        pass


def test_a_replaced_model_answers_from_then_on_and_no_request_is_lost(tmp_path):
    folder = written(tmp_path / "model", "v0")
    said: list[str] = []
    with served([model(folder)], said, reload_seconds=0.05) as (_, told):
        stop, wrong, seen = threading.Event(), [], set()

        def ask():
            own = Client(told)
            while not stop.is_set():
                code, answer, _ = own.predict("a", "b")
                versions = {each["answer"]["of"] for each in answer["results"]} if code == 200 else set()
                if versions != {answer.get("version")}:
                    wrong.append((code, answer))
                seen.update(versions)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()

        def until(check):
            deadline = time.monotonic() + LONG
            while not check():
                assert time.monotonic() < deadline, said
                time.sleep(0.02)

        for version in ("v1", "v2"):
            written(folder, version)
            until(lambda version=version: version in seen)
        written(folder, "v3", broken=1)
        until(lambda: any("not replaced: model.json is broken" in line for line in said))
        written(folder, "v4", task="another")
        until(lambda: any("is a run of another now" in line for line in said))
        assert "trouble" in Client(told).ask("GET", "/v1/runs")[1]["runs"][0]
        (folder / "model.json").unlink()
        until(lambda: len([line for line in said if "not replaced" in line]) == 3)
        written(folder, "v5")
        until(lambda: "v5" in seen)
        assert "trouble" not in Client(told).ask("GET", "/v1/runs")[1]["runs"][0]
        stop.set()
        for thread in threads:
            thread.join(LONG)
        assert not wrong, wrong[0]
        assert seen == {"v0", "v1", "v2", "v5"}


def test_what_was_begun_is_answered_when_the_server_ends(tmp_path):
    """20 requests in flight, stop: not ready, new ones refused, all 20 answered."""
    codes: list[int] = []
    with served([model(written(tmp_path / "model"), batch_size=4)]) as (server, told):
        threads = [
            threading.Thread(target=lambda: codes.append(Client(told).predict("sleep 0.15")[0])) for _ in range(20)
        ]
        watcher = Client(told)
        for thread in threads:
            thread.start()
        while server._keeper.num_held < 20:
            time.sleep(0.005)
        server.stop()
        while not server._keeper.is_draining:
            time.sleep(0.005)
        assert watcher.ask("GET", "/readyz")[0] == 503
        assert Client(told).predict("new")[0] == 503
        for thread in threads:
            thread.join(LONG)
    assert codes == [200] * 20


def test_what_takes_too_long_gets_503_when_the_server_ends(tmp_path):
    codes: list[int] = []
    with served([model(written(tmp_path / "model"))], drain_seconds=0.3) as (server, told):
        thread = threading.Thread(target=lambda: codes.append(Client(told).predict("sleep 4")[0]))
        thread.start()
        while not server._keeper.num_held:
            time.sleep(0.005)
        server.stop()
        thread.join(LONG)
    assert codes == [503]


def test_too_many_connections_push_out_idle_ones(tmp_path):
    with served([model(written(tmp_path / "model"))], max_connections=20) as (_, told):
        idle = [Client(told) for _ in range(20)]
        for each in idle:
            assert each.ask("GET", "/healthz")[0] == 200
        for _ in range(10):
            assert Client(told).predict("a")[0] == 200


def test_one_address_may_be_limited(tmp_path):
    with served([model(written(tmp_path / "model"))], per_client=1) as (_, told):
        blocker = threading.Thread(target=lambda: Client(told).predict("sleep 0.8"))
        blocker.start()
        time.sleep(0.3)
        code, said, _ = Client(told).predict("a")
        assert code == 429 and "this address" in said["error"]
        blocker.join()


def test_workers_end_with_a_server_that_is_killed(tmp_path):
    """kill -9 of the server: its worker sees the end of its input and ends too; the port can be had again at once."""
    folder = written(tmp_path / "model")
    code = (
        "import sys; from pathlib import Path; from tests.serve.echo import model; "
        "from deepen.serve.server import Server; from deepen.serve.limits import ServeOptions; "
        f"told = lambda found: print(found.port, flush=True); folder = Path({str(folder)!r}); "
        "Server([model(folder)], ServeOptions(port=0), print, told).run()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)])}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    (worker,) = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    process.stdout.close()
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running()
    with served([model(folder)], port=port) as (_, told):
        assert Client(told).predict("a")[0] == 200
