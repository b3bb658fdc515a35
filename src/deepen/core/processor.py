"""What this machine's processor is and can do, without torch."""

from __future__ import annotations

import functools
import os
import platform

X86 = ("x86_64", "amd64", "i386", "i686")
WHOLE_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8"}  # as Linux names them


def name() -> str:
    """As the processor calls itself."""
    return _told("model name") or platform.processor() or "unknown"


def available_cores() -> int:
    """Cores that this process may use, where the system says so, else all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def adds_whole_products() -> bool:
    """Whether products of 8-bit whole numbers are added up in 32 bits (VNNI, or a processor other than x86).

    Older x86 processors add each two of them up in 16 bits, where 255 * 127 + 255 * 127 is cut to 32,767: integer
    kernels are as fast as they are wrong there. Where nothing says what an x86 processor can do, it counts as older.

    Source: Intel 64 and IA-32 Architectures Software Developer's Manual, VPMADDUBSW and VPDPBUSD.
    """
    if platform.machine().lower() not in X86:
        return True
    return bool(WHOLE_PRODUCTS & set(_told("flags").split()))


def _told(field: str) -> str:
    """What Linux says of the first processor, "" where there is no such word."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == field:
                    return value.strip()
    except OSError:
        pass
    return ""
