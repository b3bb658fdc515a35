"""Training that is killed and resumed, against the same training left alone."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from deepen.bundle import checkpoint, load, save
from deepen.core.lock import FolderLock
from deepen.engine.events import Silent
from deepen.verbs.train import train
from tests.torture.kills import content_of, killed_after, killed_at, succeeds

STEPS = 60
OPTIONS = {"steps": STEPS, "checkpoint_every": "1ms", "seed": 3, "device": "cpu"}
Moment = Literal["step", "evaluated", "operation", "torn", "seconds"]


@dataclass(frozen=True)
class Kill:
    """When the process is killed.

    step, evaluated   after so many updates or evaluations of this sitting
    operation, torn   before, or in the middle of, its n-th operation on files
    seconds           so long after it began
    """

    moment: Moment
    at: float


class _Killing(Silent):
    """Kills its own process after some updates or evaluations."""

    def __init__(self, kill: Kill) -> None:
        self._left = {kill.moment: int(kill.at)}

    def step(self, step: int, progress: float, seconds_left: float | None) -> None:
        self._count("step")

    def evaluated(self, record: Mapping[str, Any]) -> None:
        self._count("evaluated")

    def _count(self, moment: str) -> None:
        if moment in self._left:
            self._left[moment] -= 1
            if self._left[moment] == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def sitting(task: str, folder: Path, options: Mapping[str, Any], events: Silent | None = None) -> Callable[[], object]:
    """One sitting of training on the task's tiny data: begun, or gone on with, in `folder`."""
    return lambda: train(task, "tiny", {**OPTIONS, **options}, out=folder, resume=True, events=events or Silent())


def warm_up(task: str, folder: Path) -> None:
    """A short sitting in this process, so that its children need not import again what a sitting imports."""
    sitting(task, folder, {"steps": 2})()


def die(task: str, folder: Path, kill: Kill, options: Mapping[str, Any]) -> bool:
    """Whether a sitting was killed as told; False if it was done before."""
    if folder.exists() and is_done(folder):
        return False
    if kill.moment in ("step", "evaluated"):
        return killed_at(10**9, sitting(task, folder, options, _Killing(kill)))
    if kill.moment == "seconds":
        return killed_after(kill.at, sitting(task, folder, options))
    return killed_at(int(kill.at), sitting(task, folder, options), torn=kill.moment == "torn")


def undisturbed(task: str, folder: Path, options: Mapping[str, Any]) -> None:
    """The run that nobody killed."""
    assert succeeds(sitting(task, folder, options))


def killed_and_resumed(task: str, folder: Path, kills: Sequence[Kill], options: Mapping[str, Any]) -> int:
    """A run killed at each of `kills` and then left to end; returns how often it was really killed."""
    num_killed = sum(die(task, folder, kill, options) for kill in kills)
    if not is_done(folder):
        assert succeeds(sitting(task, folder, options)), f"{folder} cannot be resumed after {kills}"
    return num_killed


def is_done(folder: Path) -> bool:
    """Whether the run in the folder, if there is one, has ended well."""
    return (folder / "run.json").exists() and load.load_header(folder)["status"] == "done"


def assert_same(folder: Path, expected: Path) -> None:
    """Weights, metrics, figures and the last checkpoint's tensors are equal bit for bit, and nothing is left over."""
    for name in ("weights.safetensors", "metrics.jsonl", "prepare.json"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), f"{folder}: {name} differs"
    ours, theirs = load.load_header(folder), load.load_header(expected)
    assert {k: ours[k] for k in ("metrics", "options", "data", "status")} == {
        k: theirs[k] for k in ("metrics", "options", "data", "status")
    }
    (tensors, _, note), (wanted, _, _) = checkpoint.load_checkpoint(folder), checkpoint.load_checkpoint(expected)
    assert not note and list(tensors) == list(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(
            tensors[name].view(torch.uint8) if tensor.dim() else tensors[name],
            tensor.view(torch.uint8) if tensor.dim() else tensor,
        ), f"{folder}: {name} differs"
    with FolderLock(folder):  # that of one killed after its run was done is free, and goes with its next holder
        assert not save.sweep(folder)
    assert not [name for name in content_of(folder) if ".deepen" in name]


def chosen(number: int) -> list[Kill]:
    """One to five kills, aimed at steps mostly, the same for the same number."""
    chance = random.Random(number)
    kills = []
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        moment: Moment = chance.choice(("step", "step", "step", "evaluated", "operation", "torn", "seconds"))
        most = {"step": STEPS // 2, "evaluated": 2, "operation": 1200, "torn": 1200, "seconds": 0.6}[moment]
        kills.append(Kill(moment, chance.uniform(0.05, most) if moment == "seconds" else chance.randint(1, int(most))))
    return kills
