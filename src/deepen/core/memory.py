"""How much memory this process may still take."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """The least of what the machine has free, its container allows and RLIMIT_AS leaves; None where nothing is said."""
    known = [_free_on_machine(), _free_in_container(), _left_by_limit()]
    return min((number for number in known if number is not None), default=None)


def _free_on_machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _free_in_container() -> int | None:
    with suppress(OSError, ValueError):
        most = int((CGROUP / "memory.max").read_text("ascii"))  # "max" where there is no limit
        return max(0, most - int((CGROUP / "memory.current").read_text("ascii")))
    return None


def _left_by_limit() -> int | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        return max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))
    return limit
