"""What rank 1 runs in the tests: importable by name, as another process needs it."""

from __future__ import annotations

import os
import signal

import torch
from small_task import SmallTask, points

from deepen.core.errors import DataError
from deepen.engine.evaluate import evaluate
from deepen.engine.fit import fit


def train(ranks, options):
    torch.set_num_threads(1)
    return fit(SmallTask(), points(211, 0), points(53, 1), options, ranks=ranks)


def score(ranks, num_rows):
    torch.manual_seed(0)
    data = points(num_rows, 1)
    return evaluate(SmallTask(), SmallTask().build(), data, device=torch.device("cpu"), ranks=ranks, batch_size=7)


def gather(ranks, _):
    own = torch.arange(3 + 2 * ranks.rank)
    return ranks.gather_tensors({"a": own, "b": torch.tensor(float(ranks.rank))}), ranks.from_first(
        {"x": [1, "zwei"]} if ranks.rank == 0 else None
    )


def refuse(ranks, _):
    raise DataError(f"labels.csv, row 7: planted for rank {ranks.rank}.")


def die(ranks, _):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(ranks, _):
    raise SystemExit(0)


def fail(ranks, _):
    raise ValueError("planted")


class DyingTask(SmallTask):
    """Rank 1 is killed in the middle of an evaluation."""

    def __init__(self, rank):
        super().__init__()
        self.rank = rank

    def score(self, model, batch, metrics):
        if self.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        super().score(model, batch, metrics)


def die_in_evaluation(ranks, options):
    torch.set_num_threads(1)
    return fit(DyingTask(ranks.rank), points(211, 0), points(53, 1), options, ranks=ranks)


def die_preparing(_):
    os.kill(os.getpid(), signal.SIGKILL)


def stop_preparing(_):
    os.kill(os.getpid(), signal.SIGSTOP)


def double(number):
    return 2 * number


def send(ranks, number):
    return ranks.gather_tensors({"a": torch.tensor(number)})


def wait(ranks, _):
    ranks.wait()


def has_word(ranks, word):
    if os.environ["DEEPEN_TEST_WORD"] != word:
        raise DataError(f"rank {ranks.rank} lives in another environment.")
    ranks.wait()
