"""What the system refuses about files, said in a sentence."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path

from deepen.core.errors import DeepenError, FileError
from deepen.core.units import size

SENTENCES = {
    errno.EDQUOT: "your quota of disk space is used up; free some space or choose another folder.",
    errno.EFBIG: "the file would be larger than the system allows; see `ulimit -f`.",
    errno.EROFS: "the file system is read-only; choose a folder that can be written to.",
    errno.EIO: "input/output error: the disk may be failing; look at the system log and try another disk.",
    errno.ENOTDIR: "a part of this path is a file, where a folder was expected.",
    errno.EISDIR: "expected a file, but is a folder.",
    errno.ENAMETOOLONG: "the name is longer than the file system allows.",
    errno.ELOOP: "a link, or links that lead to each other, where a plain file or folder was expected.",
    errno.EBUSY: "in use by the system.",
    errno.ESTALE: "the network file system lost this file; try again.",
    errno.EXDEV: "lies on another file system than its folder, so it cannot be replaced in one step.",
}
SHOWN_LENGTH = 200


def file_error(
    error: OSError,
    path: Path | str,
    *,
    doing: str = "write",
    num_bytes: int = 0,
    error_class: type[DeepenError] = FileError,
) -> DeepenError:
    """The system's refusal as a FileError (or the class asked for) of one sentence, the path first."""
    return error_class(f"{_shown(path)}: {_sentence(error, Path(path), doing, num_bytes)}")


def _sentence(error: OSError, path: Path, doing: str, num_bytes: int) -> str:
    code = error.errno or 0
    if code == errno.ENOSPC:
        return _full(path, num_bytes)
    if code in (errno.EACCES, errno.EPERM):
        return f"no permission to {doing} here; change its owner or mode, or choose another place."
    if code in (errno.EMFILE, errno.ENFILE):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"too many open files (the limit is {limit}); raise it with `ulimit -n`."
    if code == errno.ENOENT:
        return "does not exist." if doing == "read" else "its folder does not exist, or was removed meanwhile."
    if code in SENTENCES:
        return SENTENCES[code]
    return f"the system refuses to {doing} it: {os.strerror(code).lower() if code else 'no reason given'}."


def _full(path: Path, num_bytes: int) -> str:
    folder = path if path.is_dir() else path.parent
    needs = f"needs {size(num_bytes)}, " if num_bytes else ""
    try:
        free = f"{size(shutil.disk_usage(folder).free)} free at {folder}"
    except OSError:
        free = f"no space left at {folder}"
    return f"disk full: {needs}{free}; free some space or choose another folder."


def _shown(path: Path | str) -> str:
    text = str(path)
    return text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH // 2]}...{text[-SHOWN_LENGTH // 2 :]}"
