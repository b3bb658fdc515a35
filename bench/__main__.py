"""All measurements of speed, one after the other: `python -m bench`; `make bench` runs it in its own environment."""

from __future__ import annotations

import subprocess
import sys

SCRIPTS = ("startup", "folder_speed", "fit_speed")


def main() -> int:
    """Runs each script in a process of its own, with the arguments given; the worst exit code."""
    codes = []
    for name in SCRIPTS:
        print(f"\n## {name}\n", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", f"bench.{name}", *sys.argv[1:]], check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
