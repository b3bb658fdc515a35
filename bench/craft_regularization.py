"""The pictures and tables of docs/regularization.md, and of clipping: `python -m bench.craft_regularization`.

Each problem is small, and each of its options is trained on it with the repository's own loop, over seeds that bring
data and a start of their own, the same for every option. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from bench.places import ROOT
from deepen.core import rng
from deepen.core.figures import Curves
from deepen.core.files import write_text
from deepen.engine.evaluate import evaluate
from deepen.engine.fit import Fitted, fit
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Encoded
from deepen.report.svg_file import document
from deepen.verbs.options import resolved
from deepen.verbs.prepared import Prepared, prepare

CPU = torch.device("cpu")
NONE = "none"
GROUPS = 8  # of pixels, by how much they vary
PLAIN: dict[str, Any] = {  # so that nothing but the options of a case regularizes
    "optimizer.kind": "sgd",
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "constant",
    "schedule.warm_up": 0.0,
    "label_smoothing": 0.0,
    "augment": (),
    "ema": 0.0,
}


@dataclass(frozen=True)
class Metric:
    """A figure of an evaluation, as the tables show it."""

    name: str
    heading: str
    factor: float = 1.0
    digits: int = 3


@dataclass(frozen=True)
class Problem:
    """What is trained, with which options, and what is said of it.

    rows     training samples, drawn anew for each seed
    cases    options by the name of the line, beside `options`; the first is what the others are compared with
    metrics  of the table; the last one is drawn, and compared
    spoil    changes the training samples' tensors in place, given the seed
    """

    title: str
    task: str
    data: str
    rows: int
    options: dict[str, Any]
    cases: dict[str, dict[str, Any]]
    metrics: tuple[Metric, ...]
    spoil: Callable[[dict[str, Tensor], int], None] = lambda _tensors, _seed: None


def few_wrong(tensors: dict[str, Tensor], seed: int) -> None:
    """One target in fifty is twenty times too far from the mean."""
    tensors["learned"][seed % 50 :: 50] *= 20


def all_noisy(tensors: dict[str, Tensor], seed: int) -> None:
    """Every target, whose deviation is about 1, has noise of deviation 0.5."""
    draw = torch.Generator().manual_seed(seed)
    tensors["learned"] += 0.5 * torch.randn(len(tensors["learned"]), generator=draw)


OF_CLASSES = (Metric("accuracy", "accuracy %", 100, 1), Metric("cross_entropy", "cross-entropy (nats)"))
OF_NUMBERS = (Metric("rmse", "root mean square error", digits=0),)
DIGITS = {"model": "mlp", "network.dropout": 0.0, "epochs": 60, "batch_size": 25, "optimizer.learning_rate": 0.05}
FLATS = {"model": "mlp", "network.hidden": (64, 64), "network.dropout": 0.0, "batch_size": 20}

ON_WEIGHTS = Problem(
    "penalties and limits",
    "image-classification",
    "digits",
    150,
    DIGITS,
    {
        NONE: {},
        "--l2 0.01": {"l2": 0.01},
        "--l1 0.001": {"l1": 0.001},
        "--max-norm 1": {"max_norm": 1.0},
        "--weight-noise 0.05": {"weight_noise": 0.05},
    },
    OF_CLASSES,
)
ON_SAMPLES = dataclasses.replace(
    ON_WEIGHTS,
    title="noise and mixing",
    cases={
        NONE: {},
        "--network.dropout 0.5": {"network.dropout": 0.5},
        "--label-smoothing 0.1": {"label_smoothing": 0.1},
        "--input-noise 0.5": {"input_noise": 0.5},
        "--mixup 0.4": {"mixup": 0.4},
        "--augment affine": {"augment": ("affine",)},
    },
)
AVERAGES = dataclasses.replace(
    ON_WEIGHTS,
    title="means of weights",
    options={**DIGITS, "epochs": 40, "batch_size": 10, "optimizer.learning_rate": 0.03, "augment": ("affine",)},
    cases={NONE: {}, "--ema 0.99": {"ema": 0.99}, "--swa 0.5": {"swa": 0.5}},
)
RESIDUAL = dataclasses.replace(
    ON_WEIGHTS,
    title="a residual network",
    options={"model": "wren", "epochs": 30, "batch_size": 25, "optimizer.learning_rate": 0.05},
    cases={
        NONE: {},
        "--network.stochastic-depth 0.2": {"network.stochastic_depth": 0.2},
        "--network.stochastic-depth 0.5": {"network.stochastic_depth": 0.5},
        "--cutmix 1": {"cutmix": 1.0},
    },
)
DECAY = dataclasses.replace(
    ON_WEIGHTS,
    title="decay in Adam and AdamW",
    options={"model": "softmax-regression", "epochs": 60, "batch_size": 25, "optimizer.learning_rate": 0.01},
    cases={
        "adam": {"optimizer.kind": "adam"},
        "adam --l2 0.05": {"optimizer.kind": "adam", "l2": 0.05},
        "adamw --optimizer.weight-decay 0.5": {"optimizer.kind": "adamw", "optimizer.weight_decay": 0.5},
    },
)
STOPPING = Problem(
    "early stopping",
    "tabular-regression",
    "tiny",
    100,
    {**FLATS, "epochs": 200, "optimizer.kind": "adamw", "optimizer.learning_rate": 0.003},
    {NONE: {}, "--patience 5": {"patience": 5}},
    OF_NUMBERS,
    all_noisy,
)
CLIPPING = Problem(
    "one target in fifty is wrong",
    "tabular-regression",
    "tiny",
    300,
    {**FLATS, "epochs": 30, "optimizer.learning_rate": 0.02},
    {NONE: {}, "--clip-norm 1": {"clip_norm": 1.0}, "--clip-value 0.1": {"clip_value": 0.1}},
    OF_NUMBERS,
    few_wrong,
)


@dataclass(frozen=True)
class Effort:
    """How much is computed: over how many seeds, and the part of each training's epochs."""

    seeds: int = 5
    part: float = 1.0


QUICK = Effort(seeds=1, part=0.02)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes every picture, or those whose names hold --only, and prints the table of each."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.craft_regularization", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures", help="the folder of the pictures")
    parser.add_argument("--seeds", type=int, default=Effort.seeds, help="trainings of each line")
    parser.add_argument("--only", default="", help="part of a picture's name")
    parser.add_argument("--quick", action="store_true", help="an epoch or few, to see that everything can be drawn")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    effort = QUICK if given.quick else Effort(given.seeds)
    for name, draw in PICTURES.items():
        if given.only in name:
            text = draw(effort)
            write_text(given.out / name, text)
            print(f"{given.out / name}: {len(text):,} bytes\n", flush=True)
    return 0


def trained(problem: Problem, case: str, seed: int, effort: Effort, *, watched: str = "") -> tuple[Fitted, Prepared]:
    """A network trained on few samples; with the last weights, unless a part of the data is `watched` for the best."""
    base = _of_task({**PLAIN, **problem.options, **problem.cases[case]}, problem.task)
    base |= {"epochs": max(1, round(base["epochs"] * effort.part)), "seed": seed}
    chosen = resolved(problem.task, {}, base=base)
    found = prepare(problem.task, problem.data, chosen)
    train = found.encoded["train"]
    rows = rng.permutation(seed, 0, len(train))[: problem.rows]
    tensors = train.take(rows)
    problem.spoil(tensors, seed)
    few = Encoded(tensors, train.table.take(pa.array(rows)))
    return fit(found.task, few, found.encoded[watched] if watched else None, chosen.fit), found


def _of_task(options: dict[str, Any], task: str) -> dict[str, Any]:
    """Without what only pictures have."""
    only_pictures = () if task == "image-classification" else ("label_smoothing", "augment")
    return {name: value for name, value in options.items() if name not in only_pictures}


def course(problem: Problem, effort: Effort) -> str:
    """What is drawn of the held-out samples while training goes on, in the mean over seeds; prints the table."""
    drawn, lines, ends = problem.metrics[-1], {}, {}
    for case in problem.cases:
        histories = [trained(problem, case, seed, effort, watched="test")[0].history for seed in range(effort.seeds)]
        lines[case] = mean_course(histories, f"val_{drawn.name}")
        ends[case] = [{metric.name: last[-1][f"val_{metric.name}"] for metric in problem.metrics} for last in histories]
    print_table(problem, ends)
    figure = Curves(problem.title, "epoch", f"{drawn.heading}, held out", lines)
    return document([figure], columns=1, from_zero=True)


def mean_course(histories: Sequence[Sequence[dict[str, Any]]], name: str) -> list[tuple[float, float]]:
    """A figure over epochs, in the mean over trainings that were evaluated at the same times."""
    return [(at[0]["epoch"], statistics.mean(each[name] for each in at)) for at in zip(*histories, strict=True)]


def stopping(effort: Effort) -> str:
    """What a training would do without its stop, in the mean over seeds; prints what the stop costs and gains."""
    none, patient = STOPPING.cases
    whole = [trained(STOPPING, none, seed, effort, watched="val")[0].history for seed in range(effort.seeds)]
    lasts = [trained(STOPPING, none, seed, effort, watched="test")[0].history[-1] for seed in range(effort.seeds)]
    stopped = [trained(STOPPING, patient, seed, effort, watched="val") for seed in range(effort.seeds)]
    best = [min(fitted.history, key=lambda record: record["val_rmse"]) for fitted, _ in stopped]
    tested = [
        evaluate(found.task, fitted.model, found.encoded["test"], device=CPU, ranks=Alone()).result()
        for fitted, found in stopped
    ]
    for words, epochs in (
        ("best", [record["epoch"] for record in best]),
        ("stopped", [fitted.history[-1]["epoch"] for fitted, _ in stopped]),
    ):
        print(f"{words} after {spread(epochs, 0)} epochs")
    print_table(STOPPING, {none: [{"rmse": record["val_rmse"]} for record in lasts], patient: tested})
    held_out = mean_course(whole, "val_rmse")
    kept = statistics.mean(record["epoch"] for record in best)
    stop = statistics.mean(fitted.history[-1]["epoch"] for fitted, _ in stopped)
    highest = max(height for _, height in held_out)
    marks = {"kept": [(kept, 0.0), (kept, highest)], "--patience 5 stops": [(stop, 0.0), (stop, highest)]}
    training = {"training": mean_course(whole, "train_loss")}
    drawn = [
        Curves("on noisy training samples", "epoch", "mean squared error, scaled", training),
        Curves("on held-out samples", "epoch", "root mean square error", {"validation": held_out, **marks}),
    ]
    return document(drawn, columns=2, from_zero=True)


def decays(effort: Effort) -> str:
    """What is left of the weights of quiet and of busy pixels; prints it for the quietest and the busiest eighth."""
    adam, *others = DECAY.cases
    left: dict[str, list[list[float]]] = {case: [] for case in others}
    deviations = np.zeros(GROUPS)
    for seed in range(effort.seeds):
        norms = {case: _pixel_norms(trained(DECAY, case, seed, effort)) for case in DECAY.cases}
        deviation = norms[adam][1]
        groups = np.array_split(np.argsort(deviation), GROUPS)
        deviations += [deviation[group].mean() / effort.seeds for group in groups]
        for case in others:
            share = norms[case][0] / norms[adam][0]
            left[case].append([float(share[group].mean()) for group in groups])
    lines = {}
    for case, shares in left.items():
        means = np.mean(shares, axis=0)
        lines[case] = [(float(x), float(y)) for x, y in zip(deviations, means, strict=True)]
        quiet, busy = ([each[place] for each in shares] for place in (0, -1))
        print(f"{case}: of the quietest pixels' weights {spread(quiet, 2)} are left, of the busiest {spread(busy, 2)}")
    label = "norm of a pixel's weights, as part of Adam's"
    return document([Curves(DECAY.title, "deviation of the pixel (grey values)", label, lines)], from_zero=True)


def _pixel_norms(result: tuple[Fitted, Prepared]) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel that is not always the same: the norm of its weights, and the deviation of its grey values."""
    fitted, found = result
    deviation = found.encoded["train"].tensors["pixels"].flatten(1).float().std(0).numpy()
    weights = next(p for p in fitted.model.parameters() if p.dim() > 1).detach()
    moving = deviation > 1
    return weights.norm(dim=0).numpy()[moving], deviation[moving]


def histograms(effort: Effort) -> str:
    """How the weights of the first layer are spread after a long training of the first seed."""
    problem = dataclasses.replace(ON_WEIGHTS, options={**ON_WEIGHTS.options, "epochs": 200})
    edges = np.linspace(-0.3, 0.3, 61)
    middles, lines = (edges[:-1] + edges[1:]) / 2, {}
    for case in problem.cases:
        weights = next(trained(problem, case, 0, effort)[0].model.parameters()).detach().numpy()
        counts, _ = np.histogram(weights, edges)
        lines[case] = [(float(x), float(y)) for x, y in zip(middles, counts / weights.size, strict=True)]
    figure = Curves("weights of the first layer after 200 epochs", "weight", "share of weights in a hundredth", lines)
    return document([figure], columns=1, from_zero=True)


def print_table(problem: Problem, ends: dict[str, list[dict[str, float]]]) -> None:
    """Each case's figures after the last update: mean and deviation over seeds; and against the first, seed by seed."""
    first, compared = next(iter(ends)), problem.metrics[-1]
    headings = [*(metric.heading for metric in problem.metrics), "less that of the first"]
    print(f"\n{problem.title}, {len(ends[first])} seeds\n\n| option | {' | '.join(headings)} |")
    print("|---|" + "---|" * len(headings))
    for case, results in ends.items():
        cells = [spread([m.factor * result[m.name] for result in results], m.digits) for m in problem.metrics]
        pairs = zip(results, ends[first], strict=True)
        less = spread([own[compared.name] - other[compared.name] for own, other in pairs], compared.digits, sign="+")
        print(f"| `{case}` | {' | '.join([*cells, '' if case == first else less])} |", flush=True)


def spread(values: Sequence[float], digits: int, *, sign: str = "") -> str:
    """Mean and deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{sign}.{digits}f} ± {deviation:.{digits}f}"


PICTURES: dict[str, Callable[[Effort], str]] = {
    "regularization-weights.svg": lambda effort: course(ON_WEIGHTS, effort),
    "regularization-samples.svg": lambda effort: course(ON_SAMPLES, effort),
    "regularization-averages.svg": lambda effort: course(AVERAGES, effort),
    "regularization-residual.svg": lambda effort: course(RESIDUAL, effort),
    "regularization-decay.svg": decays,
    "regularization-stopping.svg": stopping,
    "regularization-histograms.svg": histograms,
    "clipping-outliers.svg": lambda effort: course(CLIPPING, effort),
}


if __name__ == "__main__":
    sys.exit(main())
