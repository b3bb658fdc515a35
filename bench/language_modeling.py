"""How fast the LSTM language model trains on WikiText-2 by words, against a bare loop over the same windows.

Both train a fresh network of deepen's, in turns in one process, for the same number of steps after ten that are not
counted: windows of 35 words in 64 lanes, the state carried on and detached, the gradient clipped, torch's fused Adam.
In the bare loop dropout draws from torch's own generator. Evaluation is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import torch
from torch import Tensor

from bench.loops import WARM_UP_STEPS, Clock, ClockEvents
from bench.places import data_set
from bench.rounds import Contender, append, interleaved, ratio, say_machine, table
from deepen.engine.fit import fit
from deepen.engine.options import FitOptions
from deepen.nn.next_token import output_layer_of
from deepen.prepare.encoded import Draws
from deepen.verbs.options import resolved
from deepen.verbs.prepared import Prepared, prepare

TASK = "language-modeling"
AIM = "<= 1.05"


def main() -> None:
    """Measures and prints a table."""
    arguments = _arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    say_machine()
    chosen = resolved(TASK, {"model": "lstm", "steps": 1, **dict(each.split("=") for each in arguments.options)})
    prepared = prepare(TASK, data_set("wikitext2", arguments.data) / "wikitext-2", chosen)
    contenders = [deepen(prepared, chosen.fit, arguments.steps), bare(prepared, chosen.fit, arguments.steps)]
    times = interleaved(contenders, rounds=arguments.rounds)
    compared = ratio(times["deepen"], times["bare loop"])
    tokens = arguments.steps * chosen.fit.batch_size * chosen.task.sequence_length  # type: ignore[attr-defined]
    rows = [
        [name, f"{tokens / sorted(seconds)[len(seconds) // 2]:,.0f}", f"deepen / it {compared}", AIM]
        if name != "deepen"
        else [name, f"{tokens / sorted(seconds)[len(seconds) // 2]:,.0f}", "", ""]
        for name, seconds in times.items()
    ]
    print(f"\n{arguments.rounds} rounds of {arguments.steps} steps each\n")
    print(table(["contender", "tokens per second", "time, median (least to most)", "aim"], rows), flush=True)
    append(arguments.out, {"bench": "language_modeling", "steps": arguments.steps, "seconds": times})


def deepen(prepared: Prepared, options: FitOptions, steps: int) -> Contender:
    """`engine.fit` as a user gets it; without evaluation."""
    options = dataclasses.replace(options, epochs=None, steps=WARM_UP_STEPS + steps)

    def run() -> float:
        clock = Clock(steps)
        fit(prepared.task, prepared.encoded["train"], None, options, events=ClockEvents(clock))
        return clock.seconds()

    return Contender("deepen", run)


def bare(prepared: Prepared, options: FitOptions, steps: int) -> Contender:
    """A loop over the same windows, ready in memory: forward, loss, backward, clip, step."""
    task: Any = prepared.task
    train = prepared.encoded["train"]
    per_epoch = -(-len(train) // options.batch_size)
    draws, windows = Draws(options.seed, 0), list[dict[str, Tensor]]()
    for rows in task.order(train, per_epoch, seed=options.seed, epoch=0)[: WARM_UP_STEPS + steps]:
        windows.append(dict(task.batch(train, rows, draws).tensors))
    assert len(windows) == WARM_UP_STEPS + steps, "an epoch has fewer windows than steps"

    def run() -> float:
        network: Any = task.build().train()
        layer, clock = output_layer_of(network), Clock(steps)
        optimizer = torch.optim.Adam(network.parameters(), lr=options.optimizer.learning_rate or 0.003, fused=True)
        state: tuple[Tensor, ...] | None = None
        for number, window in enumerate(windows, start=1):
            ids, targets = window["ids"], window["targets"]
            optimizer.zero_grad(set_to_none=True)
            if state is not None:
                state = tuple(each[: len(ids)].detach() for each in state)
            hidden, state = network(ids, state)
            rows_of = torch.arange(len(ids)).repeat_interleave(ids.shape[1])
            loss = layer.loss_sum(hidden.flatten(0, 1), targets.flatten(), rows_of, len(ids))
            (loss / targets.numel()).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm or 0.25)
            optimizer.step()
            clock.done(number)
        return clock.seconds()

    return Contender("bare loop", run)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.language_modeling", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("data", nargs="?", help="the folder of WikiText-2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; default: all")
    parser.add_argument("--options", nargs="*", default=[], help="further options, such as width=320")
    parser.add_argument("--out", help="a file that gets a line of JSON with all seconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
