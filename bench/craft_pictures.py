"""The pictures of docs/optimizers.md and docs/schedules.md: what each method does on a small problem.

`python -m bench.craft_pictures` writes them into docs/pictures/. The same command writes the same files.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor, nn

from bench.places import ROOT
from deepen.core.figures import Curves
from deepen.core.files import write_text
from deepen.engine import optim, optim_kinds
from deepen.engine.options import OptimizerOptions, ScheduleOptions
from deepen.engine.training import Training
from deepen.parallel.ranks import Alone
from deepen.report import svg
from deepen.report.svg_file import document, sheet
from deepen.verbs.find_rate import figure, find_rate
from deepen.verbs.options import resolved
from deepen.verbs.prepared import prepare
from deepen.verbs.show_schedule import figures, show_schedule

FOLDER = ROOT / "docs" / "pictures"
MOST_BYTES = 60_000
WIDTH, HEIGHT = 240, 170
LOWEST = -3.0  # of the logarithm of a loss: what newton does below would hide the others
UPDATES = 240  # 20 epochs of digits in batches of 128
FEW_UPDATES = 3
NUM_RATES = 150  # of a range test
CLIPPED = 5.0  # a gradient on the bent valley, which at the start is 66 times as long

# title -> optimizer and options: every optimizer, and what momentum adds to sgd
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd, no momentum": ("sgd", {"momentum": 0.0, "nesterov": False}),
    "sgd, momentum": ("sgd", {"nesterov": False}),
    "sgd, Nesterov": ("sgd", {}),
    **{kind: (kind, {}) for kind in optim_kinds.READS if kind != "sgd"},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes every picture, and says its name and size."""
    parser = argparse.ArgumentParser(prog="python -m bench.craft_pictures", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder of the pictures")
    parser.add_argument("--quick", action="store_true", help="a few updates, to see that everything can be drawn")
    given = parser.parse_args(arguments)
    folder, updates = given.out, FEW_UPDATES if given.quick else UPDATES
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name, draw in PICTURES.items():
        text = draw(updates)
        assert len(text) < MOST_BYTES, f"{name}: {len(text)} bytes"
        write_text(folder / name, text)
        print(f"{folder / name}: {len(text):,} bytes", flush=True)


@dataclass(frozen=True)
class Surface:
    """A function of two numbers, the part of the plane that is shown, and its lines of equal height.

    start     where all paths begin
    minimum   where they should end
    contours  each a list of (x, y)
    steps     updates of a path
    options   of each optimizer here, beside its defaults
    """

    value: Callable[[Tensor, Tensor], Tensor]
    x: tuple[float, float]
    y: tuple[float, float]
    start: tuple[float, float]
    minimum: tuple[float, float]
    contours: list[list[tuple[float, float]]]
    steps: int
    options: dict[str, dict[str, float]]


def quadratic() -> Surface:
    """(x^2 + 30 y^2) / 2: thirty times as steep one way as the other."""
    contours = []
    for level in (0.05, 0.5, 2.0, 5.0, 10.0, 18.0):
        a, b = math.sqrt(2 * level), math.sqrt(2 * level / 30)
        turns = [2 * math.pi * i / 48 for i in range(49)]
        contours.append([(a * math.cos(t), b * math.sin(t)) for t in turns])
    rates = {
        "sgd": {"learning_rate": 0.01},
        "adagrad": {"learning_rate": 0.5},
        "rmsprop": {"learning_rate": 0.05},
        "adadelta": {"learning_rate": 10.0},
        "adam": {"learning_rate": 0.15},
        "adamw": {"learning_rate": 0.15},
        "yogi": {"learning_rate": 0.15},
        "lars": {"learning_rate": 1.0, "trust": 0.02},
        "gradient-descent": {"learning_rate": 0.06},
    }
    return Surface(
        lambda x, y: (x * x + 30 * y * y) / 2, (-2.4, 2.4), (-1.3, 1.3), (-2.0, 1.0), (0.0, 0.0), contours, 60, rates
    )


def rosenbrock() -> Surface:
    """(1 - x)^2 + 20 (y - x^2)^2: a bent valley whose floor hardly falls."""
    contours = []
    for level in (0.2, 1.0, 3.0, 8.0, 20.0, 45.0):
        xs = [1 - math.sqrt(level) + 2 * math.sqrt(level) * i / 60 for i in range(61)]
        half = [math.sqrt(max(0.0, level - (1 - x) ** 2) / 20) for x in xs]
        upper = [(x, x * x + h) for x, h in zip(xs, half, strict=True)]
        contours.append(upper + [(x, x * x - h) for x, h in zip(reversed(xs), reversed(half), strict=True)])
    rates = {
        "sgd": {"learning_rate": 0.001},
        "adagrad": {"learning_rate": 0.5},
        "rmsprop": {"learning_rate": 0.02},
        "adadelta": {"learning_rate": 10.0},
        "adam": {"learning_rate": 0.1},
        "adamw": {"learning_rate": 0.1},
        "yogi": {"learning_rate": 0.1},
        "lars": {"learning_rate": 1.0, "trust": 0.005},
        "gradient-descent": {"learning_rate": 0.004},
    }
    return Surface(
        lambda x, y: (1 - x) ** 2 + 20 * (y - x * x) ** 2,
        (-1.7, 1.7),
        (-0.7, 2.0),
        (-1.2, 1.0),
        (1.0, 1.0),
        contours,
        150,
        rates,
    )


class Point(nn.Module):
    """A place on a surface, as a network of two numbers; of two dimensions, so that LARS takes it for a layer."""

    def __init__(self, start: tuple[float, float]) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor([start], dtype=torch.float64))


class SurfaceObjective:
    """The height, and products with the Hessian, for Newton's method."""

    def __init__(self, surface: Surface, point: Point) -> None:
        self.surface, self.point = surface, point

    def value(self) -> float:
        """The height."""
        return float(self.surface.value(*self.point.at.detach()[0]))

    def product(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """The Hessian times a vector."""
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self.surface.value(*self.point.at[0]), self.point.at, create_graph=True)
            return list(torch.autograd.grad((slope * vectors[0]).sum(), self.point.at))


def path(
    surface: Surface, title: str, *, clip: Callable[[Tensor], object] = lambda _point: None
) -> list[tuple[float, float]]:
    """Where a method goes, from the start; `clip` may shorten the gradient of the place."""
    point = Point(surface.start)
    kind, changes = METHODS[title]
    options = OptimizerOptions(kind=kind, **{"weight_decay": 0.0, **surface.options.get(kind, {}), **changes})  # type: ignore[arg-type]
    if kind == "adamw":
        options = dataclasses.replace(options, weight_decay=0.5)
    optimizer = optim.build(options, point)
    objective, places = SurfaceObjective(surface, point), [surface.start]
    for _ in range(surface.steps):
        optimizer.zero_grad()
        surface.value(*point.at[0]).backward()
        clip(point.at)
        optim.step(optimizer, objective=objective)
        x, y = point.at.detach()[0].tolist()
        places.append((x, y))
    return places


def paths(surface: Surface) -> str:
    """A panel for each method, over the surface's lines of equal height."""
    return panels(surface, {title: path(surface, title) for title in METHODS})


def clipped() -> str:
    """Gradient descent from a steep place, as it is and with either clipping."""
    surface = dataclasses.replace(rosenbrock(), start=(-1.5, -0.3), options={"sgd": {"learning_rate": 0.01}})
    clips: dict[str, Callable[[Tensor], object]] = {
        "as it is": lambda _point: None,
        f"--clip-norm {CLIPPED:g}": lambda point: nn.utils.clip_grad_norm_(point, CLIPPED),
        f"--clip-value {CLIPPED:g}": lambda point: nn.utils.clip_grad_value_(point, CLIPPED),
    }
    return panels(surface, {name: path(surface, "sgd, no momentum", clip=clip) for name, clip in clips.items()})


def panels(surface: Surface, found: dict[str, list[tuple[float, float]]]) -> str:
    """A panel for each path, with its first thirty updates as dots; what leaves the plane is cut off."""
    x, y = (svg.Axis(*ends, *pixels, 1.0) for ends, pixels in ((surface.x, (0, WIDTH)), (surface.y, (HEIGHT, 0))))

    def line(points: Sequence[tuple[float, float]], style: str) -> Markup:
        text = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in points)
        return Markup('<polyline points="{}" class="{}"/>').format(text, style)

    clip = Markup('<clipPath id="clip"><rect width="{}" height="{}"/></clipPath>').format(WIDTH, HEIGHT)
    ground = Markup('<g id="ground" clip-path="url(#clip)">{}</g>').format(
        Markup("").join(line(c, "contour") for c in surface.contours)
    )
    dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"/>')
    end = dot.format(x.at(surface.minimum[0]), y.at(surface.minimum[1]), 5, "ring")
    drawn = []
    for title, walked in found.items():
        places = _near(walked)
        dots = Markup("").join(dot.format(x.at(a), y.at(b), 2, "dot s0") for a, b in places[:30])
        way = Markup('<g clip-path="url(#clip)">{}{}</g>').format(line(places, "line s0"), dots)
        first = Markup('<use href="#ground"/>') if drawn else clip + ground
        kind = METHODS[title][0] if title in METHODS else "sgd"
        rate = surface.options.get(kind, {}).get("learning_rate", 1.0)
        words = Markup('<text x="4" y="{}">{}</text>').format(HEIGHT - 4, f"rate {rate:g}, {_end(surface, walked)}")
        drawn.append(first + end + way + words)
    return sheet(list(found), drawn, WIDTH, HEIGHT, columns=3)


def _near(walked: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The path up to where it is lost from sight."""
    far = (number for number, place in enumerate(walked) if not all(abs(each) < 100 for each in place))
    return walked[: next(far, len(walked))]


def _end(surface: Surface, walked: list[tuple[float, float]]) -> str:
    height = float(surface.value(*torch.tensor(walked[-1], dtype=torch.float64)))
    return f"ends at {height:.1e}" if math.isfinite(height) else "has no end"


def losses(title: str, updates: int) -> list[tuple[float, float]]:
    """The loss of softmax regression over all training digits, as its logarithm, over updates at the defaults."""
    kind, changes = METHODS[title]
    given = {"model": "softmax-regression", "augment": (), "optimizer.kind": kind, "steps": updates, "threads": 1}
    own = optim_kinds.defaults(kind)  # stated, since the recipe's numbers would stand before them for its own kind
    own |= {f"optimizer.{name}": value for name, value in changes.items()}
    stated = {**given, **own, "schedule.kind": "constant", "schedule.warm_up": 0.0}
    chosen = resolved("image-classification", stated)
    prepared = prepare("image-classification", "digits", chosen)
    train = prepared.encoded["train"]
    training = Training(prepared.task, train, chosen.fit, device=torch.device("cpu"), ranks=Alone())
    found = []
    while training.budget.progress < 1:
        for rows in training.order():
            if training.step <= 20 or training.step % 6 == 0:
                found.append((float(training.step), math.log10(_whole_loss(training))))
            training.update(rows)
    found.append((float(training.step), math.log10(_whole_loss(training))))
    return [point for point in found if point[1] > LOWEST]


def _whole_loss(training: Training) -> float:
    batch = training.task.batch(training.train, torch.arange(len(training.train)).numpy(), None)
    with torch.no_grad():
        return float(training.task.loss(training.model, batch).sum) / batch.count


def on_digits(updates: int) -> str:
    """The training loss of each method, those with one rate for all weights beside the adaptive ones."""
    adaptive = [title for title, (kind, _) in METHODS.items() if "epsilon" in optim_kinds.READS[kind]]
    halves = {
        "One rate for all weights, and Newton": [title for title in METHODS if title not in adaptive],
        "A rate for each weight": adaptive,
    }
    assert all(len(titles) <= svg.NUM_STROKES for titles in halves.values()), "two lines would look the same"
    drawn = [
        Curves(name, "updates", "log10 of the training loss", {title: losses(title, updates) for title in titles})
        for name, titles in halves.items()
    ]
    return document(drawn, columns=2)


def schedules() -> str:
    """Every schedule at its defaults."""
    return document(figures(show_schedule("all")), columns=3, from_zero=True)


def variants() -> str:
    """What the options of schedules and warm-ups do."""
    wanted: dict[str, dict[str, object]] = {
        "Warm-up, linear and constant": {
            "linear": {"kind": "constant", "warm_up": 0.2},
            "constant": {"kind": "constant", "warm_up": 0.2, "warm_up_shape": "constant"},
        },
        "Cosine": {
            "restarts 2": {"kind": "cosine", "warm_up": 0.0, "restarts": 2},
            "stretch 2": {"kind": "cosine", "warm_up": 0.0, "restarts": 2, "stretch": 2.0},
        },
        "Cyclic": {
            "shrink 1": {"kind": "cyclic", "warm_up": 0.0},
            "shrink 0.5": {"kind": "cyclic", "warm_up": 0.0, "shrink": 0.5},
        },
        "Polynomial": {
            f"power {p:g}": {"kind": "polynomial", "power": p, "warm_up": 0.0} for p in (0.5, 1.0, 2.0, 4.0)
        },
        "Inverse root": {
            "as warm-up": {"kind": "inverse-root"},
            "0.2": {"kind": "inverse-root", "timescale": 0.2},
        },
        "Step and factor": {
            "step": {"kind": "step", "warm_up": 0.0, "factor": 0.5, "size": 0.2},
            "factor": {"kind": "factor", "warm_up": 0.0, "factor": 0.5, "size": 0.2},
        },
    }
    drawn = []
    for title, lines in wanted.items():
        made = {}
        for name, options in lines.items():
            assert isinstance(options, dict)
            assert not set(options) - {field.name for field in dataclasses.fields(ScheduleOptions)}
            given = {f"schedule.{option}": value for option, value in options.items()}
            result = show_schedule("", given)
            made[name] = [tuple(p) for p in result["schedules"][options["kind"]]["points"][::2]]
        drawn.append(Curves(title, "part of training", "part of the peak", made))
    return document(drawn, columns=3, from_zero=True)


def rates(updates: int) -> str:
    """The range test of LeNet on digits."""
    given = {"model": "lenet", "augment": (), "threads": 1}
    found = find_rate("image-classification", "digits", given, num_steps=min(NUM_RATES, 5 * updates))
    return document([figure(found)], columns=1)


# name -> the picture, given the number of updates where it is trained
PICTURES: dict[str, Callable[[int], str]] = {
    "optimizers-quadratic.svg": lambda _updates: paths(quadratic()),
    "optimizers-rosenbrock.svg": lambda _updates: paths(rosenbrock()),
    "optimizers-digits.svg": on_digits,
    "clipping-valley.svg": lambda _updates: clipped(),
    "schedules.svg": lambda _updates: schedules(),
    "schedule-options.svg": lambda _updates: variants(),
    "learning-rates.svg": rates,
}


if __name__ == "__main__":
    main()
