"""Chosen files out of a .tar.gz, and nothing else of it.

Python's own filters for archives have let files out of their folder more than once, so names in an archive never decide
where something is written: the members that are wanted are known beforehand, and each goes to a plain name of ours.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from deepen.core.errors import FileError
from deepen.core.files import atomic_write
from deepen.core.units import size

CHUNK_BYTES = 1 << 20
MOST_MEMBERS = 1_000_000
MOST_RATIO = 200  # unpacked bytes to packed ones


def extract(
    path: Path, members: Sequence[str], folder: Path, *, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Puts these members of the archive into the folder, each under the last part of its name.

    progress  called with the number of bytes written so far

    Raises FileError, naming the member, for one that is missing, comes twice, is no plain file or would unpack to far
    more than was packed, and for an archive that is damaged; then nothing of it is left in the folder.
    """
    wanted = set(members)
    assert len({PurePosixPath(name).name for name in wanted}) == len(wanted), "two members would have one name"
    left, most_bytes, written = set(wanted), path.stat().st_size * MOST_RATIO, 0
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            for number, member in enumerate(archive):
                if number >= MOST_MEMBERS:
                    raise FileError(f"{path}: holds more than {MOST_MEMBERS:,} members; it is not what it should be.")
                if member.offset_data + member.size > most_bytes:
                    raise FileError(
                        f"{path}: {member.name[:80]!r} would unpack to {size(member.size)}, more than {MOST_RATIO} "
                        "times the archive; it is not what it should be."
                    )
                if member.name not in wanted:
                    continue
                if member.name not in left:
                    raise FileError(f"{path}: {member.name!r} stands in it twice; get the archive again.")
                if not member.isreg() or member.issparse():
                    raise FileError(f"{path}: {member.name!r} is no plain file; get the archive again.")
                left.discard(member.name)
                source = archive.extractfile(member)
                assert source is not None
                with atomic_write(folder / PurePosixPath(member.name).name, num_bytes=member.size) as out:
                    while chunk := source.read(CHUNK_BYTES):
                        out.write(chunk)
                        written += len(chunk)
                        progress(written)
            while packed.read(CHUNK_BYTES):  # to the check sum at the end
                pass
    except BaseException as error:
        for name in wanted - left:
            (folder / PurePosixPath(name).name).unlink(missing_ok=True)
        if isinstance(error, (tarfile.TarError, EOFError, zlib.error, OSError)):
            raise FileError(f"{path}: the archive is damaged or cut; get it again.") from error
        raise
    if left:
        raise FileError(f"{path}: expected {sorted(left)[0]!r} in it, but there is no such member; get it again.")
