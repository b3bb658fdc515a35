"""Folders that are whole or absent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepen.core.errors import FileError
from deepen.core.folders import atomic_folder, check_replaceable, sweep

SOURCE = Path(__file__).resolve().parents[2] / "src"


def is_ours(folder):
    return (folder / "mark").exists()


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.startswith(".deepen-")]


def test_a_folder_appears_whole_with_usual_rights(tmp_path):
    place = tmp_path / "new" / "out"
    with atomic_folder(place, is_ours=is_ours) as made:
        (made / "mark").write_text("1")
        assert not place.exists()
    assert (place / "mark").read_text() == "1" and not leftovers(place.parent)
    mask = os.umask(0)
    os.umask(mask)
    assert place.stat().st_mode & 0o777 == 0o777 & ~mask


def test_the_old_one_stays_until_the_new_one_is_whole(tmp_path):
    place = tmp_path / "out"
    for text in ("old", "new"):
        with atomic_folder(place, is_ours=is_ours) as made:
            (made / "mark").write_text(text)
            (made / text).mkdir()
    assert sorted(os.listdir(place)) == ["mark", "new"] and not leftovers(tmp_path)
    with pytest.raises(ValueError, match="half"), atomic_folder(place, is_ours=is_ours) as made:
        (made / "mark").write_text("half")
        raise ValueError("half")
    assert (place / "mark").read_text() == "new" and not leftovers(tmp_path)


def test_what_is_not_ours_is_not_touched(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    (tmp_path / "empty").mkdir()
    for name, words in (("photos", "holds 'cat.jpg'"), ("file", "is a file"), ("link", "is a link")):
        with pytest.raises(FileError, match=words), atomic_folder(tmp_path / name, is_ours=is_ours):
            pytest.fail("must not begin")
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "x"
    with atomic_folder(tmp_path / "empty", is_ours=is_ours) as made:
        (made / "mark").write_text("1")
    assert is_ours(tmp_path / "empty")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_right_to_write_is_said_first(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(FileError, match="no permission"):
        check_replaceable(closed / "out", is_ours=is_ours)


def test_a_killed_writer_leaves_nothing_that_the_next_one_does_not_sweep(tmp_path):
    text = (
        "import sys, time\nfrom pathlib import Path\nfrom deepen.core.folders import atomic_folder\n"
        "with atomic_folder(sys.argv[1], is_ours=lambda folder: True) as made:\n"
        "    (made / 'part').write_text('x')\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    assert sweep(tmp_path) == []  # its writer lives
    process.kill()
    process.wait()
    process.stdout.close()
    (name,) = leftovers(tmp_path)
    deadline = time.monotonic() + 10
    while sweep(tmp_path) != [name]:
        assert time.monotonic() < deadline
    assert not (tmp_path / "out").exists() and not leftovers(tmp_path)
