"""How fast TextCNN trains on movie reviews (rt_polarity), against a bare loop and against Keras 3 on torch.

The network is the same everywhere: word vectors of 300, windows of 3, 4 and 5 with 100 filters, padded as in Kim 2014,
the maximum over the text, dropout, one linear layer; Keras builds it from its own layers, and the number of parameters
is checked. All contenders take turns in one process: each round, each of them trains a fresh network for the same
number of steps after ten that are not counted. deepen and the bare loop train on batches of texts of like length. Keras
trains both on the usual arrays, padded to the longest text, and on the very batches that deepen trains on. In Keras the
maximum sees the padding too: it has no mask for it, which saves it some work.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.loops import WARM_UP_STEPS, Clock, ClockEvents
from bench.places import data_set
from bench.rounds import Contender, append, interleaved, ratio, say_machine, table
from deepen.engine.fit import fit
from deepen.engine.options import FitOptions
from deepen.verbs.options import resolved
from deepen.verbs.prepared import Prepared, prepare

TASK = "text-classification"
AIM = "> 1"


@dataclass(frozen=True)
class Problem:
    """The prepared texts, and how all contenders train on them.

    options  without what Keras has no counterpart for: the average of weights, the limit on norms
    recipe   as a user gets it
    """

    prepared: Prepared
    options: FitOptions
    recipe: FitOptions

    @property
    def num_words(self) -> int:
        """The vocabulary."""
        return len(self.prepared.state["text"]["vocabulary"])

    @property
    def steps_per_epoch(self) -> int:
        """Updates in a pass over the training texts."""
        return -(-len(self.prepared.encoded["train"]) // self.options.batch_size)

    def network(self) -> nn.Module:
        """A fresh TextCNN of deepen's."""
        return self.prepared.task.build().train()

    def batches(self, steps: int) -> list[dict[str, Tensor]]:
        """The first batches that deepen trains on."""
        task: Any = self.prepared.task
        train, found = self.prepared.encoded["train"], []
        for epoch in range(-(-steps // self.steps_per_epoch)):
            for rows in task.order(train, self.steps_per_epoch, seed=self.options.seed, epoch=epoch):
                found.append(dict(task.batch(train, rows, None).tensors))
        return found[:steps]


def main() -> None:
    """Measures and prints a table."""
    arguments = _arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    say_machine()
    problem = problem_of(arguments.data)
    steps, missing = arguments.steps, importlib.util.find_spec("keras") is None
    contenders = [
        deepen(problem, steps, problem.options, "deepen"),
        deepen(problem, steps, problem.recipe, "deepen, its whole recipe"),
        bare(problem, steps),
    ]
    if missing:
        print("left out: Keras (not installed here; `make bench` has an environment with it)")
    else:
        contenders += [keras_peer(problem, steps, padded=True), keras_peer(problem, steps, padded=False)]
    times = interleaved(contenders, rounds=arguments.rounds)
    count = len(problem.prepared.encoded["train"])
    print(
        f"\ntextcnn, batches of {problem.options.batch_size}, {count:,} texts an epoch, {problem.num_words:,} words; "
        f"{arguments.rounds} rounds of {steps} steps each\n"
    )
    rows = []
    for name, seconds in times.items():
        epoch = statistics.median(seconds) / steps * problem.steps_per_epoch
        compared = "" if name == "deepen" else f"it / deepen {ratio(seconds, times['deepen'])}"
        rows.append([name, f"{epoch:.2f}", compared, AIM if name.startswith("Keras") else ""])
    print(table(["contender", "seconds per epoch", "time, median (least to most)", "aim"], rows), flush=True)
    append(arguments.out, {"bench": "text_classification", "steps": steps, "seconds": times})


def problem_of(path: str | None = None) -> Problem:
    """rt_polarity, prepared for TextCNN."""
    chosen = resolved(TASK, {"model": "textcnn", "steps": 1})
    prepared = prepare(TASK, data_set("rt_polarity", path), chosen)
    plain = dataclasses.replace(chosen.fit, ema=0.0, max_norm=None)
    return Problem(prepared, plain, chosen.fit)


def deepen(problem: Problem, steps: int, options: FitOptions, name: str) -> Contender:
    """`engine.fit` as a user gets it; without evaluation."""
    options = dataclasses.replace(options, epochs=None, steps=WARM_UP_STEPS + steps)

    def run() -> float:
        clock = Clock(steps)
        fit(problem.prepared.task, problem.prepared.encoded["train"], None, options, events=ClockEvents(clock))
        return clock.seconds()

    return Contender(name, run)


def bare(problem: Problem, steps: int) -> Contender:
    """A loop over the same batches, ready in memory: forward, loss, backward, step."""
    batches = problem.batches(WARM_UP_STEPS + steps)

    def run() -> float:
        network, clock = problem.network(), Clock(steps)
        optimizer = torch.optim.AdamW(network.parameters(), fused=True, **_numbers(problem))
        for number, batch in enumerate(batches, start=1):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(network(batch["ids"], batch["mask"]), batch["truth"]).backward()
            optimizer.step()
            clock.done(number)
        return clock.seconds()

    return Contender("bare loop, batches ready", run)


def keras_peer(problem: Problem, steps: int, *, padded: bool) -> Contender:
    """`model.fit`, on arrays padded to the longest text or on deepen's batches."""
    os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is first imported
    import keras

    assert keras.backend.backend() == "torch", "Keras was imported before with another backend"
    total = WARM_UP_STEPS + steps

    class Watch(keras.callbacks.Callback):
        def __init__(self, clock: Clock) -> None:
            super().__init__()
            self.clock, self.count = clock, 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.count += 1
            if self.clock.done(self.count):
                self.model.stop_training = True

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            found = problem.batches(total)
            self.held = [(batch["ids"].numpy(), batch["truth"].numpy()) for batch in found]

        def __len__(self) -> int:
            return len(self.held)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return self.held[index]

    arrays = _arrays(problem) if padded else None
    batches = None if padded else Batches()

    def run() -> float:
        clock = Clock(steps)
        model = _keras_model(keras, problem)
        numbers = _numbers(problem)
        optimizer = keras.optimizers.AdamW(numbers["lr"], weight_decay=numbers["weight_decay"], epsilon=numbers["eps"])
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        if arrays is not None:
            epochs = -(-total // problem.steps_per_epoch)
            size = problem.options.batch_size
            model.fit(*arrays, batch_size=size, epochs=epochs, shuffle=True, verbose=0, callbacks=[Watch(clock)])
        else:
            model.fit(batches, shuffle=False, verbose=0, callbacks=[Watch(clock)])
        return clock.seconds()

    return Contender(f"Keras {keras.__version__}, {'padded arrays' if padded else 'the same batches'}", run)


def _keras_model(keras: Any, problem: Problem) -> Any:
    """TextCNN of Keras' own layers, with word vectors and filters as many as deepen's."""
    layers = keras.layers
    ids = keras.Input((None,), dtype="int64")
    x = layers.Embedding(problem.num_words, 300)(ids)
    largest = []
    for window in (3, 4, 5):
        padded = layers.ZeroPadding1D(window - 1)(x)
        largest.append(layers.GlobalMaxPooling1D()(layers.Conv1D(100, window, activation="relu")(padded)))
    hidden = layers.Dropout(0.5)(layers.Concatenate()(largest))
    model = keras.Model(ids, layers.Dense(2)(hidden))
    ours = sum(parameter.numel() for parameter in problem.network().parameters())
    assert model.count_params() == ours, f"Keras' TextCNN has {model.count_params():,} parameters, deepen's {ours:,}"
    return model


def _arrays(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """All training texts padded to the longest, [N, T] int64, and their classes [N]."""
    train = problem.prepared.encoded["train"]
    ids, _ = train.ragged["ids"].padded(np.arange(len(train)))
    return ids.numpy(), train.tensors["truth"].numpy()


def _numbers(problem: Problem) -> dict[str, float]:
    said = problem.options.optimizer
    return {"lr": said.learning_rate or 0.0, "weight_decay": said.weight_decay or 0.0, "eps": said.epsilon or 1e-8}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.text_classification", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("data", nargs="?", help="the folder of rt_polarity")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; default: all")
    parser.add_argument("--out", help="a file that gets a line of JSON with all seconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
