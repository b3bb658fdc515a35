"""The command line in a forked child: a process of its own, but one that has imported already what it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence

from deepen.cli.main import main


class Fork:
    """`deepen WORDS` in a child of this process, with as much of `subprocess.Popen` as tests need."""

    def __init__(self, words: Sequence[str]) -> None:
        self.returncode: int | None = None
        self._said = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115, closed with this object
        self.pid = os.fork()
        if self.pid == 0:
            _become(words, [file.fileno() for file in self._said])

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal to the child, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the child at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 600.0) -> tuple[str, str]:
        """What it said on stdout and stderr, once it has ended. Raises subprocess.TimeoutExpired."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("deepen", timeout)
            time.sleep(0.005)
        for file in self._said:
            file.seek(0)
        out, err = (file.read().decode() for file in self._said)
        return out, err


def _become(words: Sequence[str], descriptors: Sequence[int]) -> None:
    """Runs the command in this process, as one that a shell started, and ends it."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for standard, descriptor in enumerate(descriptors, start=1):
            os.dup2(descriptor, standard)
        sys.stdout, sys.stderr = (os.fdopen(standard, "w", closefd=False) for standard in (1, 2))
        code = main(list(words))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
