"""Whole or absent: writing, reading with suspicion, sweeping and locking."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys

import pytest

from deepen.core import files
from deepen.core.disk import file_error
from deepen.core.errors import FileError, RunError
from deepen.core.jsontext import finite, json_text
from deepen.core.lock import LOCK_NAME, FolderLock

OLD, NEW = b"old " * 1000, b"new " * 700


def temporaries(folder):
    return [name for name in os.listdir(folder) if files.TEMPORARY.fullmatch(name)]


def test_written_bytes_text_and_json_come_back(tmp_path):
    files.write_bytes(tmp_path / "a", NEW)
    files.write_text(tmp_path / "b", "é\n")
    value = {"z": [1, 2.5, None, True], "a": {"é": "\u4e2d"}}
    files.write_json(tmp_path / "c", value)
    assert (tmp_path / "a").read_bytes() == NEW
    assert (tmp_path / "b").read_text("utf-8") == "é\n"
    assert files.read_json(tmp_path / "c") == value
    assert list(files.read_json(tmp_path / "c")) == ["z", "a"]
    assert "é" in (tmp_path / "c").read_text("utf-8")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


def test_the_same_value_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        files.write_json(tmp_path / name, {"x": 0.1, "y": [1]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_the_umask_and_is_private_until_then(tmp_path, mask):
    before = os.umask(mask)
    try:
        with files.atomic_write(tmp_path / "a") as file:
            file.write(b"x")
            (name,) = temporaries(tmp_path)
            assert os.stat(tmp_path / name).st_mode & 0o777 == 0o600
        assert os.stat(tmp_path / "a").st_mode & 0o777 == 0o666 & ~mask
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, OSError])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, fault):
    files.write_bytes(tmp_path / "a", OLD)
    with pytest.raises(fault), files.atomic_write(tmp_path / "a") as file:
        file.write(b"x" * 3_000_000)
        raise fault("of the caller, and passed on as it is")
    assert (tmp_path / "a").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "aim").write_bytes(OLD)
    (tmp_path / "link").symlink_to("aim")
    files.write_bytes(tmp_path / "link", NEW)
    assert (tmp_path / "aim").read_bytes() == OLD
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, ["disk full: needs 2.8 kB, ", " free at "]),
        (errno.EDQUOT, ["quota"]),
        (errno.EFBIG, ["larger than the system allows"]),
        (errno.EROFS, ["read-only"]),
        (errno.EACCES, ["no permission to write"]),
        (errno.EMFILE, ["too many open files", "ulimit -n"]),
        (errno.EIO, ["input/output error", "disk may be failing"]),
        (errno.EXDEV, ["another file system"]),
        (errno.ENOENT, ["folder does not exist"]),
        (errno.EPROTO, ["refuses to write it: protocol error"]),
    ],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace", "fchmod"])
def test_every_refusal_of_every_call_is_a_sentence_and_the_old_file_stands(tmp_path, monkeypatch, call, code, words):
    files.write_bytes(tmp_path / "a", OLD)
    real = getattr(os, call)

    def refusing(*given, **named):
        if call == "open" and "dir_fd" not in named:
            return real(*given, **named)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refusing)
    with pytest.raises(FileError) as caught:
        files.write_bytes(tmp_path / "a", NEW)
    monkeypatch.undo()
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'a'}: ") and "\n" not in text and "Error" not in text and "Errno" not in text
    assert all(word in text for word in words), text
    assert (tmp_path / "a").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_device_is_a_sentence(tmp_path, monkeypatch):
    files.write_bytes(tmp_path / "a", OLD)
    real = os.write
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "write", lambda _descriptor, content: real(full, content))
    with pytest.raises(FileError, match=r"disk full: needs 2\.8 kB"):
        files.write_bytes(tmp_path / "a", NEW)
    os.close(full)
    assert (tmp_path / "a").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a"]


def test_a_disk_too_small_is_refused_before_the_first_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 8_000_000}))
    monkeypatch.setattr(os, "write", None)
    with (
        pytest.raises(FileError, match=r"disk full: needs 23\.0 MB, 8\.0 MB free"),
        files.atomic_write(tmp_path / "a", num_bytes=23_000_000),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_a_limit_on_the_size_of_files_is_a_sentence(tmp_path):
    files.write_bytes(tmp_path / "a", OLD)
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            files.write_bytes(tmp_path / "a", NEW)
        except FileError as error:
            os._exit(0 if "ulimit -f" in str(error) else 3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "a").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a"]


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, memoryview(content)[:997]))
    files.write_bytes(tmp_path / "a", NEW * 11)
    assert (tmp_path / "a").read_bytes() == NEW * 11


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "expected a place for a file, but is a folder"),
        ("pipe", "expected a place for a file, but is a pipe"),
        ("missing/a", "its folder does not exist"),
        ("file/a", "a part of this path is a file"),
        ("n" * 300, "the name is longer"),
    ],
)
def test_places_where_no_file_can_be(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match=words) as caught:
        files.write_bytes(tmp_path / name, NEW)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', r"the key 'a' stands twice"),
        (b"[NaN]", "NaN is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"[1e999]", "too large"),
        (b"1" * 5000, "too large"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64"),
        (b'{"a":\n 1,}', r"line 2, column 4: not JSON"),
        (b'{"a": 1', r"line 1, column 8: not JSON"),
        (b"", "not JSON"),
        (b'"\xff"', r"not UTF-8 text \(byte 1\)"),
        (b'{"a": no}', "not JSON"),
        (b"[012]", "not JSON"),
        (b"a: !!python/object/apply:os.system [id]", "not JSON"),
    ],
)
def test_doubtful_json_is_refused_with_its_file_and_line(tmp_path, content, words):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=words) as caught:
        files.read_json(tmp_path / "run.json", error=RunError)
    assert str(caught.value).startswith(str(tmp_path / "run.json"))


def test_json_up_to_the_limits_is_read(tmp_path):
    deep = b"[" * 64 + b"]" * 64
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + deep)
    assert files.read_json(tmp_path / "a", max_bytes=len(deep) + 3) == json.loads(deep)
    with pytest.raises(FileError, match="131 bytes, but at most 130 bytes"):
        files.read_json(tmp_path / "a", max_bytes=130)


def test_template_strings_stay_what_they_are(tmp_path):
    texts = ["{__class__}", "%s", "{{7*7}}", "$(id)", "`id`"]
    files.write_json(tmp_path / "a", texts)
    assert files.read_json(tmp_path / "a") == texts
    with pytest.raises(FileError, match=r"the key '\{0\.__class__\} %s' stands twice"):
        (tmp_path / "b").write_bytes(b'{"{0.__class__} %s": 1, "{0.__class__} %s": 2}')
        files.read_json(tmp_path / "b")


@pytest.mark.parametrize("read", [files.read_json, files.sha256_file, lambda p: files.read_bytes(p, max_bytes=9)])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, words in (("pipe", "is a pipe"), ("missing", "does not exist"), ("loop", "links that lead"), (".", "fo")):
        with pytest.raises(FileError, match=words):
            read(tmp_path / name)
    with pytest.raises(FileError, match="is a device"):
        read("/dev/zero")


def test_surrogates_nan_and_infinity():
    assert json.loads(json_text({"name": "\udcff"})) == {"name": "\udcff"}
    assert finite({"a": [float("nan"), 1.5], "b": (float("inf"),)}) == {"a": [None, 1.5], "b": [None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        json_text(float("nan"))


def test_the_digest_is_that_of_the_whole_content(tmp_path):
    (tmp_path / "a").write_bytes(NEW * 1003)
    assert files.sha256_file(tmp_path / "a") == hashlib.sha256(NEW * 1003).hexdigest()


def test_sweep_takes_only_what_a_dead_writer_of_ours_left(tmp_path):
    mine = ".deepen-0123456789abcdef.tmp"
    (tmp_path / mine).write_bytes(b"left")
    kept = [".deepen-0123456789abcdeX.tmp", ".deepen-0123456789abcdef.tmp2", "a.tmp", "results.csv"]
    for name in kept:
        (tmp_path / name).write_bytes(b"kept")
    (tmp_path / "aim").write_bytes(b"kept")
    (tmp_path / ".deepen-1111111111111111.tmp").symlink_to("aim")
    (tmp_path / ".deepen-2222222222222222.tmp").mkdir()
    with files.atomic_write(tmp_path / "live") as file:
        file.write(b"x")
        assert files.sweep(tmp_path) == [mine]
    assert (tmp_path / "live").read_bytes() == b"x"
    assert (tmp_path / "aim").read_bytes() == b"kept"
    left = [*kept, "aim", ".deepen-1111111111111111.tmp", ".deepen-2222222222222222.tmp", "live"]
    assert sorted(os.listdir(tmp_path)) == sorted(left)
    assert files.sweep(tmp_path / "missing") == []


def test_a_temporary_taken_for_a_dead_ones_is_made_anew(tmp_path, monkeypatch):
    """The moment between making the file and locking it: a sweep that comes then costs nothing."""
    real, swept = files._locked, []

    def sweeping(descriptor):
        if not swept:
            swept.append(True)
            (name,) = temporaries(tmp_path)
            os.unlink(tmp_path / name)
        return real(descriptor)

    monkeypatch.setattr(files, "_locked", sweeping)
    files.write_bytes(tmp_path / "a", NEW)
    assert (tmp_path / "a").read_bytes() == NEW
    assert os.listdir(tmp_path) == ["a"]


def test_two_writers_of_one_name_both_end_well(tmp_path):
    with files.atomic_write(tmp_path / "a") as first, files.atomic_write(tmp_path / "a") as second:
        first.write(b"first")
        second.write(b"second")
    assert (tmp_path / "a").read_bytes() == b"first"  # the block entered first ends last
    assert os.listdir(tmp_path) == ["a"]


def test_the_folder_may_be_renamed_while_a_file_is_written(tmp_path):
    (tmp_path / "before").mkdir()
    with files.atomic_write(tmp_path / "before" / "a") as file:
        (tmp_path / "before").rename(tmp_path / "after")
        file.write(b"x")
    assert (tmp_path / "after" / "a").read_bytes() == b"x"


def test_the_folder_may_vanish_while_a_file_is_written(tmp_path):
    (tmp_path / "gone").mkdir()
    with (
        pytest.raises(FileError, match="its folder does not exist, or was removed meanwhile"),
        files.atomic_write(tmp_path / "gone" / "a") as file,
    ):
        (name,) = temporaries(tmp_path / "gone")
        os.unlink(tmp_path / "gone" / name)
        (tmp_path / "gone").rmdir()
        file.write(b"x")


def test_check_writable_makes_the_folder_and_leaves_it_empty(tmp_path):
    files.check_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="file"):
        files.check_writable(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_a_folder_of_another_user_is_refused_at_the_start(tmp_path):
    os.chmod(tmp_path, 0o755)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            files.check_writable(tmp_path)
        except FileError as error:
            os._exit(0 if "no permission" in str(error) else 3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_descriptor_is_left_open(tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(5):
        files.write_bytes(tmp_path / "a", NEW)
        files.sweep(tmp_path)
        files.sha256_file(tmp_path / "a")
        files.check_writable(tmp_path)
        with FolderLock(tmp_path):
            pass
        with pytest.raises(FileError):
            files.write_bytes(tmp_path / "no" / "a", NEW)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_second_holder_is_refused_with_the_process_of_the_first(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(FileError, match=rf"process {os.getpid()} is working in this folder"), FolderLock(tmp_path):
            pass
        assert os.listdir(tmp_path) == [LOCK_NAME]
    assert os.listdir(tmp_path) == []
    with FolderLock(tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    ready = multiprocessing.get_context("fork").Event()
    child = os.fork()
    if child == 0:
        FolderLock(tmp_path).__enter__()
        ready.set()
        signal.pause()
    ready.wait(10)
    with pytest.raises(FileError, match=f"process {child} is working"), FolderLock(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.listdir(tmp_path) == [LOCK_NAME]
    with FolderLock(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("holder", "held"), [(1, True), (0, False), (2**22 + 5, False)])
def test_where_the_file_system_knows_no_locks_the_process_decides(tmp_path, monkeypatch, holder, held):
    (tmp_path / LOCK_NAME).write_text(f"{holder}\n")

    def broken(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", broken)
    if held:
        with pytest.raises(FileError, match="process 1 is working"), FolderLock(tmp_path):
            pass
    else:
        with FolderLock(tmp_path):
            pass


def test_a_planted_link_for_a_lock_is_refused(tmp_path):
    (tmp_path / "aim").write_bytes(OLD)
    (tmp_path / LOCK_NAME).symlink_to("aim")
    with pytest.raises(FileError, match="a link"), FolderLock(tmp_path):
        pass
    assert (tmp_path / "aim").read_bytes() == OLD


def test_long_paths_are_shortened():
    text = str(file_error(OSError(errno.EIO, "x"), "/a/" + "b" * 5000))
    assert len(text) < 400 and "..." in text


def test_core_never_imports_torch():
    code = "import sys; import deepen.core.files, deepen.core.lock, deepen.core.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "src"}).returncode == 0


def test_the_file_works_with_what_wants_a_binary_file(tmp_path):
    with files.atomic_write(tmp_path / "a") as file:
        assert file.writable() and isinstance(file.fileno(), int)
        io.TextIOWrapper(file, "utf-8", newline="\n").write("é")  # its buffer is flushed when it is dropped
    assert (tmp_path / "a").exists()
