"""K32: downloads that are cut, changed, refused, redirected or starved; what lies at the target is always right."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import resource
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from deepen.core.errors import FileError
from deepen.core.units import size
from deepen.data.catalogue import RemoteFile, entries, entry
from deepen.data.download import FetchError, Patience, download
from tests.data.remote import (
    CERTIFICATE,
    Server,
    cut_at,
    holding,
    refuses,
    serving,
    silent,
    trickling,
    whole,
    without_ranges,
)
from tests.faults.harness import leave_room
from tests.torture.kills import succeeds

CONTENT = np.random.default_rng(7).bytes(100_003)
QUICK = Patience(silent_seconds=0.6, least_rate=1000.0, tries=3, most_wait=5.0)


def file_at(*servers: Server, content: bytes = CONTENT) -> RemoteFile:
    digest = hashlib.sha256(content).hexdigest()
    return RemoteFile("a.gz", len(content), digest, tuple(server.address for server in servers))


def get(file: RemoteFile, target: Path, pauses: list[float] | None = None, **changes) -> None:
    waits = pauses if pauses is not None else []
    download(file, target, patience=QUICK, schemes=("http",), pause=waits.append, **changes)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_arrives_and_is_not_asked_for_again(tmp_path: Path) -> None:
    told: list[int] = []
    with serving(Server(CONTENT)) as server:
        get(file_at(server), tmp_path / "a.gz", progress=told.append)
        get(file_at(server), tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT and names(tmp_path) == ["a.gz"]
    assert len(server.requests) == 1
    assert told == sorted(told) and told[-1] == len(CONTENT)


@pytest.mark.parametrize("cut", np.linspace(1, len(CONTENT) - 1, 20).astype(int).tolist())
def test_a_cut_download_goes_on_where_it_stands(cut: int, tmp_path: Path) -> None:
    with serving(Server(CONTENT, [cut_at(cut), whole])) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT and names(tmp_path) == ["a.gz"]
    assert server.requests[1][1:] == (f"bytes={cut}-", server.etag)


def test_a_server_without_ranges_begins_anew(tmp_path: Path) -> None:
    with serving(Server(CONTENT, [cut_at(5000), without_ranges])) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT


def test_a_file_that_changes_meanwhile_is_not_glued_together(tmp_path: Path) -> None:
    """If-Range makes the server send the new state from its start; its digest is another one, so nothing is kept."""
    server = Server(CONTENT)

    def changed(handler, server):
        server.content, server.etag = CONTENT[::-1], '"second"'
        whole(handler, server)

    server.ways = [cut_at(5000), changed]
    with serving(server), pytest.raises(FetchError, match=r"expected a file with the SHA-256 .* nothing of it is kept"):
        get(file_at(server), tmp_path / "a.gz")
    assert names(tmp_path) == []


def test_a_part_of_another_state_is_thrown_away_once(tmp_path: Path) -> None:
    """A part of unknown origin: the digest finds out, and all is asked for again."""
    (tmp_path / "a.gz.part").write_bytes(b"x" * 777)
    with serving(Server(CONTENT)) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT
    assert [asked for _, asked, _ in server.requests] == ["bytes=777-", ""]


def test_a_wrong_file_is_never_under_the_right_name(tmp_path: Path) -> None:
    with (
        serving(Server(CONTENT[:-1] + b"!")) as server,
        pytest.raises(FetchError, match=f"{server.address}a.gz: expected a file with the SHA-256"),
    ):
        get(file_at(server), tmp_path / "a.gz")
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [CONTENT + b"more", CONTENT[:-9]], ids=["longer", "shorter"])
def test_a_wrong_length_is_refused_before_it_is_read(content: bytes, tmp_path: Path) -> None:
    with (
        serving(Server(content)) as server,
        pytest.raises(FetchError, match=f"expected 100,003 bytes, but the server has {len(content):,}"),
    ):
        get(file_at(server), tmp_path / "a.gz")
    assert names(tmp_path) == []


def test_the_next_address_is_tried(tmp_path: Path) -> None:
    with serving(Server(CONTENT, [refuses(404)])) as first, serving(Server(CONTENT)) as second:
        get(file_at(first, second), tmp_path / "a.gz")
    assert len(first.requests) == 1 and (tmp_path / "a.gz").read_bytes() == CONTENT


def test_all_addresses_that_fail_are_named(tmp_path: Path) -> None:
    with (
        serving(Server(CONTENT, [refuses(404)])) as first,
        serving(Server(CONTENT, [refuses(403)])) as second,
        pytest.raises(FetchError) as caught,
    ):
        get(file_at(first, second), tmp_path / "a.gz")
    said = str(caught.value).split("\n")
    assert said[0].startswith(f"{first.address}a.gz: the server answers 404")
    assert said[1].startswith(f"{second.address}a.gz: the server answers 403")


def test_a_busy_server_is_waited_for_as_it_asks(tmp_path: Path) -> None:
    pauses: list[float] = []
    with serving(Server(CONTENT, [refuses(429, Retry_After="3"), refuses(503), whole])) as server:
        get(file_at(server), tmp_path / "a.gz", pauses)
    assert pauses[0] == 3 and len(pauses) == 2 and (tmp_path / "a.gz").exists()


def test_a_server_that_asks_for_an_hour_is_given_up(tmp_path: Path) -> None:
    pauses: list[float] = []
    with (
        serving(Server(CONTENT, [refuses(429, Retry_After="3600")])) as server,
        pytest.raises(FetchError, match="answers 429"),
    ):
        get(file_at(server), tmp_path / "a.gz", pauses)
    assert pauses == []


@pytest.mark.parametrize("wait", ["²", "9" * 5_003, "-3", "soon"])
def test_a_pause_that_is_no_number_is_our_own(wait: str, tmp_path: Path) -> None:
    pauses: list[float] = []
    with serving(Server(CONTENT, [refuses(429, Retry_After=wait), whole])) as server:
        get(file_at(server), tmp_path / "a.gz", pauses)
    assert len(pauses) == 1 and 0 < pauses[0] <= QUICK.most_wait and (tmp_path / "a.gz").read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["²", "9" * 5_003, "-3", "many"])
def test_a_length_that_is_no_number_is_passed_over(length: str, tmp_path: Path) -> None:
    def odd(handler, server) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(server.content)

    with serving(Server(CONTENT, [odd])) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT and len(server.requests) == 1


@pytest.mark.parametrize("where", ["http://[::1/x", "//[", "http://[x]:/"])
def test_a_redirect_to_no_address_is_a_sentence(where: str, tmp_path: Path) -> None:
    with serving(Server(CONTENT, [refuses(302, Location=where)])) as server:
        said = rf"^{server.address}a.gz: leads to {re.escape(repr(where))}, which is no address"
        with pytest.raises(FetchError, match=said):
            get(file_at(server), tmp_path / "a.gz")
    assert names(tmp_path) == [] and len(server.requests) == 1


def test_a_redirect_is_quoted(tmp_path: Path) -> None:
    with serving(Server(CONTENT, [refuses(302, Location="/one é%20.gz"), whole])) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert [path for path, *_ in server.requests] == ["/a.gz", "/one%20%E9%20.gz"]


def test_redirects_stay_on_the_host(tmp_path: Path) -> None:
    with serving(Server(CONTENT, [refuses(302, Location="/b.gz"), whole])) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert [path for path, *_ in server.requests] == ["/a.gz", "/b.gz"]
    with serving(Server(CONTENT)) as other, serving(Server(CONTENT)) as server:
        server.ways = [refuses(302, Location=f"{other.address}a.gz")]
        with pytest.raises(FetchError, match=f"leads to {other.address}a.gz; only http on"):
            get(file_at(server), tmp_path / "c.gz")
    assert not other.requests


def test_plain_http_is_never_followed(tmp_path: Path) -> None:
    with serving(Server(CONTENT)) as server, pytest.raises(FetchError, match="only https on"):
        download(file_at(server), tmp_path / "a.gz", patience=QUICK)
    assert not server.requests


def test_endless_redirects_end(tmp_path: Path) -> None:
    with (
        serving(Server(CONTENT, [refuses(302, Location="/a.gz")])) as server,
        pytest.raises(FetchError, match="redirects more than 5 times"),
    ):
        get(file_at(server), tmp_path / "a.gz")


@pytest.mark.parametrize(("way", "words"), [(silent, "does not answer"), (trickling, "bytes came in")])
def test_a_server_that_starves_us_is_given_up(way, words: str, tmp_path: Path) -> None:
    server = Server(CONTENT, [way])
    patience = Patience(silent_seconds=0.4, least_rate=1000.0, tries=1)
    with serving(server), pytest.raises(FetchError, match=words):
        download(file_at(server), tmp_path / "a.gz", patience=patience, schemes=("http",), pause=lambda _: None)
    assert not (tmp_path / "a.gz").exists()


def test_a_server_that_brings_something_each_time_is_not_given_up(tmp_path: Path) -> None:
    with serving(Server(CONTENT, [cut_at(7_001)])) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert len(server.requests) == 15 and (tmp_path / "a.gz").read_bytes() == CONTENT


def test_nobody_there_is_a_sentence_and_what_came_is_kept(tmp_path: Path) -> None:
    with serving(Server(CONTENT, [cut_at(4_001)])) as server:
        file = file_at(server)
        with pytest.raises(FetchError, match=r"bytes? .*are kept|kB are kept|4.0 kB of 100.0 kB are kept"):
            patience = Patience(silent_seconds=0.5, tries=1)
            server.ways = [cut_at(4_001), refuses(500)]
            download(file, tmp_path / "a.gz", patience=patience, schemes=("http",), pause=lambda _: None)
    with pytest.raises(FetchError, match="cannot be reached"):
        get(file, tmp_path / "a.gz")
    assert (tmp_path / "a.gz.part").read_bytes() == CONTENT[:4_001]


def test_no_tls_where_tls_is_expected_is_a_sentence(tmp_path: Path) -> None:
    with serving(Server(CONTENT)) as server:
        file = file_at(server)
        secure = RemoteFile(file.name, file.num_bytes, file.sha256, (server.address.replace("http:", "https:"),))
        with pytest.raises(FetchError, match="the encrypted connection fails"):
            download(secure, tmp_path / "a.gz", patience=QUICK, pause=lambda _: None)


@pytest.mark.parametrize(
    ("host", "is_trusted", "words"),
    [("127.0.0.1", False, r"self.signed certificate"), ("localhost", True, r"Hostname mismatch.*'localhost'")],
)
def test_a_certificate_that_proves_nothing_is_refused_at_once(
    host: str, is_trusted: bool, words: str, tmp_path: Path, monkeypatch
) -> None:
    """One that nobody vouches for, and a trusted one of another host."""
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    pauses: list[float] = []
    with serving(Server(CONTENT), secure=True) as server:
        server.address = server.address.replace("127.0.0.1", host)
        with pytest.raises(FetchError, match=rf"^{server.address}a.gz: its certificate cannot be trusted \({words}"):
            download(file_at(server), tmp_path / "a.gz", patience=QUICK, pause=pauses.append)
    assert not server.requests and not pauses and names(tmp_path) == []


def test_a_trusted_connection_that_is_cut_goes_on(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with serving(Server(CONTENT, [cut_at(70_001), whole]), secure=True) as server:
        download(file_at(server), tmp_path / "a.gz", patience=QUICK, pause=lambda _: None)
    assert (tmp_path / "a.gz").read_bytes() == CONTENT and names(tmp_path) == ["a.gz"]
    assert [asked for _, asked, _ in server.requests] == ["", "bytes=70001-"]


def test_a_network_that_goes_away_meanwhile_is_no_fault_of_the_disk(tmp_path: Path, monkeypatch) -> None:
    """The system says so with the same kind of exception as it says that of a disk."""
    came: list[int] = []
    real = http.client.HTTPResponse.read1

    def read1(self, number: int = -1) -> bytes:
        if len(came) == 1:
            came.append(0)
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        came.append(len(content := real(self, min(number, 9_001))))
        return content

    monkeypatch.setattr(http.client.HTTPResponse, "read1", read1)
    with serving(Server(CONTENT)) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT
    assert [asked for _, asked, _ in server.requests] == ["", f"bytes={came[0]}-"]


def test_a_disk_that_takes_only_a_part_of_a_write_loses_nothing(tmp_path: Path, monkeypatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, bytes(content)[:997]))
    with serving(Server(CONTENT)) as server:
        get(file_at(server), tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT and len(server.requests) == 1


@pytest.mark.parametrize("room", [0, 41_017, 100_002])
def test_a_disk_that_becomes_full_is_said_and_what_came_is_kept(room: int, tmp_path: Path) -> None:
    with serving(Server(CONTENT)) as first, serving(Server(CONTENT)) as second:
        with (
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(FileError, match=r"a.gz.part: disk full: needs 100.0 kB, .* free some space") as caught,
        ):
            leave_room(patch, room)
            get(file_at(first, second), tmp_path / "a.gz")
        assert not isinstance(caught.value, FetchError) and not second.requests, "another address is no help"
        assert (tmp_path / "a.gz.part").read_bytes() == CONTENT[:room]
        get(file_at(first), tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT and names(tmp_path) == ["a.gz"]
    assert [asked for _, asked, _ in first.requests] == ["", f"bytes={room}-" if room else ""]


def test_a_limit_on_the_size_of_files_is_a_sentence(tmp_path: Path) -> None:
    """The system's own refusal, in the middle of a write: what fits of it stands."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_021, 50_021))
        with pytest.raises(FileError, match=r"a.gz.part: the file would be larger than the system allows"):
            get(file, tmp_path / "a.gz")

    with serving(Server(CONTENT)) as server:
        file = file_at(server)
        assert succeeds(limited)
        assert (tmp_path / "a.gz.part").read_bytes() == CONTENT[:50_021]
        get(file, tmp_path / "a.gz")
    assert (tmp_path / "a.gz").read_bytes() == CONTENT and server.requests[1][1] == "bytes=50021-"


def test_a_full_disk_is_known_before_the_first_byte(tmp_path: Path, monkeypatch) -> None:
    import shutil

    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=99))
    with (
        serving(Server(CONTENT)) as server,
        pytest.raises(FileError, match=r"disk full: needs 100.0 kB, 99 bytes free"),
    ):
        get(file_at(server), tmp_path / "a.gz")
    assert not server.requests


@pytest.mark.parametrize("cut", [1, 33_333, 100_002])
def test_killed_it_goes_on(cut: int, tmp_path: Path) -> None:
    """K33: kill -9 while it waits for more; the target is absent, and the next call asks for the rest alone."""
    target = tmp_path / "a.gz"
    server = Server(CONTENT, [holding(cut), whole])
    with serving(server):
        file = file_at(server)
        child = os.fork()
        if child == 0:
            download(file, target, schemes=("http",))
            os._exit(0)
        until = time.monotonic() + 60
        while not (part := tmp_path / "a.gz.part").exists() or part.stat().st_size < cut:
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert names(tmp_path) == ["a.gz.etag", "a.gz.part"]
        get(file, target)
    assert target.read_bytes() == CONTENT and names(tmp_path) == ["a.gz"]
    assert server.requests[1][1] == f"bytes={cut}-"


def test_the_catalogue_is_complete() -> None:
    for name, found in entries().items():
        assert found.name == name and found.files and found.about and found.terms
        for file in found.files:
            assert len(file.sha256) == 64 and file.num_bytes > 0
            assert all(address.startswith("https://") for address in file.addresses) and file.addresses
    assert entry("Fashion_MNIST").name == "fashion-mnist" and entry("CIFAR-10").name == "cifar10"


def test_the_page_names_every_data_set_with_its_hosts() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "fetch.md").read_text("utf-8")
    for each in entries().values():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{each.name}` |")]
        assert size(each.num_bytes) in row and each.about in row
        assert {urlsplit(place).netloc for file in each.files for place in file.places} <= set(
            re.findall(r"[\w.-]+", row)
        )


def test_the_catalogue_agrees_with_the_files_themselves(shared_data) -> None:
    for name, folder in (("fashion-mnist", "fashion_mnist"), ("mnist", "mnist")):
        for file in entry(name).files:
            content = (shared_data(folder) / file.name).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file.num_bytes, file.sha256)
