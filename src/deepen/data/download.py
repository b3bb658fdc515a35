"""One file from the network: whole, with the SHA-256 it must have, or not there at all.

A download that was cut goes on where it stands (HTTP ranges; `If-Range`, so that a file that changed begins anew). What
has come so far lies beside the target as `NAME.part`, with the server's name for this state of the file in `NAME.etag`.
Only https, and no redirect to another host. A server that falls silent or trickles is given up after a deadline.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import string
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from deepen.core.disk import file_error
from deepen.core.errors import FileError
from deepen.core.files import sha256_file
from deepen.core.units import duration, size
from deepen.data.catalogue import RemoteFile

CHUNK_BYTES = 1 << 18
MOST_REDIRECTS = 5
MOST_DIGITS = 18  # of a number in a header; no file and no pause needs more
SHOWN = 120
AGENT = "deepen (https; resumes; verifies)"


class FetchError(FileError):
    """What could not be downloaded, and why."""


@dataclass(frozen=True)
class Patience:
    """How long and how often to wait.

    silent_seconds  without a byte
    least_rate      bytes a second, over `silent_seconds`, below which a server counts as silent
    tries           attempts in a row at one address that brought nothing new
    most_wait       the longest pause that a server may ask for (Retry-After), in seconds
    """

    silent_seconds: float = 30.0
    least_rate: float = 256.0
    tries: int = 4
    most_wait: float = 120.0


class _Temporary(Exception):
    """A failure that may pass; after so many seconds it is worth another try."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


def download(
    file: RemoteFile,
    target: Path,
    *,
    progress: Callable[[int], None] = lambda _: None,
    patience: Patience = Patience(),
    schemes: tuple[str, ...] = ("https",),
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Puts the file at `target`, complete and verified; what is there already and right is kept.

    progress  called with the number of bytes that are there

    Raises FetchError, naming the address, if no address gives the right file; what came so far stays for the next try,
    unless it is wrong. Raises FileError for a full disk.
    """
    if target.exists() and sha256_file(target) == file.sha256:
        progress(file.num_bytes)
        return
    _check_space(target, file)
    failures = []
    for address in file.addresses:
        try:
            _from(address, file, target, progress, patience, schemes, pause)
            return
        except FetchError as error:
            failures.append(str(error))
    raise FetchError("\n".join(failures))


def _from(
    address: str,
    file: RemoteFile,
    target: Path,
    progress: Callable[[int], None],
    patience: Patience,
    schemes: tuple[str, ...],
    pause: Callable[[float], None],
) -> None:
    part, failed, has_restarted = _part(target), 0, False
    while True:
        before = _length(part)
        try:
            _continue(address, file, target, progress, patience, schemes)
        except _Temporary as error:
            failed = 0 if _length(part) > before else failed + 1
            if failed >= patience.tries or (error.wait or 0) > patience.most_wait:
                raise FetchError(
                    f"{address}: {error}; {size(_length(part))} of {size(file.num_bytes)} are kept, and the same "
                    "command goes on from there."
                ) from error
            pause(error.wait if error.wait is not None else min(2.0**failed, patience.most_wait))
            continue
        found = _digest(part)
        if found == file.sha256:
            _finish(part, target)
            return
        _forget(target)
        if has_restarted or before == 0:
            raise FetchError(
                f"{address}: expected a file with the SHA-256 {file.sha256}, but what came has {found}; the file was "
                "changed there or on the way, and nothing of it is kept."
            )
        has_restarted = True  # the part that an earlier download left may have been of another state of the file


def _continue(
    address: str,
    file: RemoteFile,
    target: Path,
    progress: Callable[[int], None],
    patience: Patience,
    schemes: tuple[str, ...],
) -> None:
    """One request, from where the part ends; returns when all bytes are there. Raises _Temporary or FetchError."""
    part, note = _part(target), _note(target)
    start = _length(part)
    if start == file.num_bytes:
        return
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag := _text(note):
            headers["If-Range"] = etag
    with _answer(address, headers, patience, schemes) as answer:
        if answer.status == 206 and start and _begins_at(answer, start):
            mode = os.O_APPEND
        elif answer.status == 200:
            start, mode = 0, os.O_TRUNC
        else:
            _forget(target)
            raise _Temporary(f"answers {answer.status} to a request for a part of the file", 0.0)
        said = _number(answer.headers.get("Content-Length"))
        if said is not None and start + said != file.num_bytes:
            _forget(target)
            raise FetchError(
                f"{address}: expected {file.num_bytes:,} bytes, but the server has {start + said:,}; the file was "
                "changed there, and nothing of it is kept."
            )
        with _written(part, file.num_bytes):
            out = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | mode, 0o666)
        try:
            with _written(note):  # after the part was emptied, so that it never speaks for bytes of another state
                note.write_text(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "", "utf-8")
            for chunk in _chunks(answer, patience, file.num_bytes - start):
                with _written(part, file.num_bytes):
                    _append(out, chunk)
                start += len(chunk)
                progress(start)
        finally:
            os.close(out)
    if _length(part) < file.num_bytes:
        raise _Temporary("the connection ended early")


def _answer(address: str, headers: dict[str, str], patience: Patience, schemes: tuple[str, ...]) -> Any:
    """The server's answer, redirects followed within its host. Raises _Temporary or FetchError."""
    opener = urllib.request.build_opener(_NoRedirects)
    host, current = urlsplit(address).netloc, address
    for _ in range(MOST_REDIRECTS + 1):
        parts = urlsplit(current)
        if parts.scheme not in schemes or parts.netloc != host:
            raise FetchError(f"{address}: leads to {current}; only {schemes[0]} on {host} is followed.")
        try:
            return opener.open(urllib.request.Request(current, headers=headers), timeout=patience.silent_seconds)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (301, 302, 303, 307, 308) and (where := error.headers.get("Location")):
                    current = _led(address, current, where)
                    continue
                if error.code == 416:
                    raise _Temporary("has no such part of the file", 0.0) from error
                if error.code == 429 or error.code >= 500:
                    raise _Temporary(f"answers {error.code} ({error.reason})", _retry_after(error)) from error
                raise FetchError(f"{address}: the server answers {error.code} ({error.reason}).") from error
        except urllib.error.URLError as error:
            reason = error.reason if isinstance(error.reason, Exception) else error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise FetchError(f"{address}: {_said(reason)}.") from error
            raise _Temporary(_said(reason)) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Temporary(_said(error)) from error
    raise FetchError(f"{address}: redirects more than {MOST_REDIRECTS} times.")


def _led(address: str, current: str, where: str) -> str:
    """Where a redirect leads: what a header says, its bytes beyond ASCII and its spaces quoted. Raises FetchError."""
    try:
        found = urljoin(current, quote(where, safe=string.punctuation, encoding="latin-1"))
        urlsplit(found)
        return found
    except ValueError as error:
        raise FetchError(f"{address}: leads to {where[:SHOWN]!r}, which is no address; try again later.") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to us, before it has parsed where it leads."""

    def http_error_302(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _chunks(answer: Any, patience: Patience, most_bytes: int) -> Iterator[bytes]:
    """What comes, until it ends or has `most_bytes`. Raises _Temporary where the connection fails or trickles."""
    since, got = time.monotonic(), 0
    while most_bytes > 0:
        try:
            chunk = answer.read1(min(CHUNK_BYTES, most_bytes))
        except (OSError, http.client.HTTPException) as error:
            raise _Temporary(_said(error)) from error
        if not chunk:
            return
        most_bytes -= len(chunk)
        got += len(chunk)
        yield chunk
        elapsed = time.monotonic() - since
        if elapsed > patience.silent_seconds:
            if got < patience.least_rate * elapsed:
                raise _Temporary(f"only {got:,} bytes came in {duration(elapsed)}")
            since, got = time.monotonic(), 0


def _append(descriptor: int, chunk: bytes) -> None:
    """Writes all of it: a disk that is nearly full takes a part, and says so only in the number of bytes."""
    left = memoryview(chunk)
    while left:
        left = left[os.write(descriptor, left) :]


def _begins_at(answer: Any, start: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    said = _number(error.headers.get("Retry-After"))
    return float(said) if said is not None else None


def _number(said: str | None) -> int | None:
    """The whole number that a header says, None where it says none: of other scripts' digits not all are numbers."""
    return int(said) if said is not None and said.isascii() and said.isdigit() and len(said) <= MOST_DIGITS else None


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"the encrypted connection fails ({(error.reason or 'no reason given').replace('_', ' ').lower()})"
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended early"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be reached ({(text or type(error).__name__).lower()})"


def _check_space(target: Path, file: RemoteFile) -> None:
    import shutil

    free = shutil.disk_usage(target.parent).free
    if free < file.num_bytes - _length(_part(target)):
        raise FileError(f"{target.parent}: disk full: needs {size(file.num_bytes)}, {size(free)} free.")


def _finish(part: Path, target: Path) -> None:
    """Puts the verified part at its place, its note gone before it: one killed in between leaves nothing over."""
    with _written(target):
        _note(target).unlink(missing_ok=True)
        _sync(part, os.O_RDONLY)
        os.replace(part, target)
        _sync(target.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _written(path: Path, num_bytes: int = 0) -> Iterator[None]:
    """Says in a sentence about `path` what the system refuses within the block."""
    try:
        yield
    except OSError as error:
        raise file_error(error, path, num_bytes=num_bytes) from error


def _forget(target: Path) -> None:
    for path in (_part(target), _note(target)):
        with suppress(FileNotFoundError):
            path.unlink()


def _digest(path: Path) -> str:
    return sha256_file(path) if path.exists() else hashlib.sha256().hexdigest()


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.etag")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
