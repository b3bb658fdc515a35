"""What holds for every test: one thread, no network, a cache of its own, and data that may be absent."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # read when torch and numpy are first imported, here and in child processes

ROOT = Path(__file__).resolve().parent.parent
ROOM = 4 << 30  # bytes
CACHE_KEY = pytest.StashKey[str]()
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0", "::ffff:127.")


def pytest_configure(config: pytest.Config) -> None:
    """Forbids the network and gives the suite its own cache."""
    _forbid_network()
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and (memory := _memory_folder()):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = memory  # of tmp_path: every test that saves waits for its disk otherwise
    cache = tempfile.mkdtemp(prefix="deepen-tests-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    config.stash[CACHE_KEY] = cache
    os.environ["DEEPEN_CACHE"] = cache


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Looks for no garbage among the tests and modules: there is none, and there are so many that it takes seconds.

    What `compress` compares by their milliseconds is measured for a shorter time than for users, who want them sure.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        if (measures := sys.modules.get("deepen.compress.measures")) is not None:
            vars(measures)["SECONDS"] = 0.03


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the cache."""
    shutil.rmtree(config.stash[CACHE_KEY], ignore_errors=True)


def _memory_folder() -> str | None:
    """A folder in memory with room for the suite's files, where there is one: a kill -9 does not see the difference."""
    folder = "/dev/shm"
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < ROOM:
        return None
    return folder


@pytest.fixture
def shared_data():
    """A function from the name of a real data set to its folder; skips the test where it is not on this machine."""

    def folder_of(name: str) -> Path:
        chosen = os.environ.get("DEEPEN_SHARED_DATA", "")
        folder = (Path(chosen) if chosen else ROOT.parent / "shared" / "data") / name
        if not folder.exists():
            # real data are no part of the repository, and whoever has only a clone cannot have them
            pytest.skip(f"the data set {name} is not here; name the folder that holds it in DEEPEN_SHARED_DATA")
        return folder

    return folder_of


def _forbid_network() -> None:
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: object) -> None:
        _check(self, address)
        return connect(self, address)

    def guarded_ex(self: socket.socket, address: object) -> int:
        _check(self, address)
        return connect_ex(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded_ex  # type: ignore[method-assign]


def _check(connection: socket.socket, address: object) -> None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    host = address[0] if isinstance(address, tuple) else address
    assert str(host).startswith(LOOPBACK), f"a test tried to reach {address!r}; tests run without a network"
