"""The pictures of docs/regularization.md and docs/augmentation.md: `python -m bench.craft_regularization`.

Augmentations, mixing and contrast normalization are shown on a picture that this script paints and on scikit-learn's
digits; regularizers by networks trained on few digits, with the repository's own loop. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bench.places import ROOT
from deepen.core import rng
from deepen.core.figures import Curves
from deepen.engine.evaluate import evaluate
from deepen.engine.fit import Fitted, fit
from deepen.ops.augment import AUGMENTATIONS, augment
from deepen.ops.augment_policy import POLICIES
from deepen.ops.mixing import cutmix, mixup
from deepen.parallel.ranks import Alone
from deepen.prepare import image
from deepen.prepare.encoded import Encoded
from deepen.report import svg
from deepen.verbs.options import resolved
from deepen.verbs.prepared import Prepared, prepare

SIDE = 64
COLUMNS = 9
GAP = 4
NAMES_WIDTH = 92
CPU = torch.device("cpu")
FEW = 150  # digits that the networks learn from
STYLE = (
    "<style>svg{background:#fff;font:11px system-ui,sans-serif}text{fill:#5a636d}.middle{text-anchor:middle}"
    ".end{text-anchor:end}.grid{stroke:#e3e4df}.line{fill:none;stroke-width:2}.dot{stroke:none}"
    ".s0{stroke:#1f5fbf}.s1{stroke:#c2500f;stroke-dasharray:7 4}.s2{stroke:#2b7d4f;stroke-dasharray:2 4}"
    ".s3{stroke:#8548ad;stroke-dasharray:9 3 2 3}.s4{stroke:#9a6b00;stroke-dasharray:12 4}"
    ".s5{stroke:#55606c;stroke-dasharray:4 3}</style>"
)
LEGEND_WIDTH = 150
PLACES = ("crop", "flip", "affine", "rotate", "shear", "translate", "elastic")

BASE: dict[str, Any] = {
    "model": "mlp",
    "network.dropout": 0.0,
    "epochs": 60,
    "batch_size": 25,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 0.05,
    "optimizer.weight_decay": 0.0,
    "schedule.kind": "constant",
    "schedule.warm_up": 0.0,
}
ON_WEIGHTS: dict[str, dict[str, Any]] = {
    "none": {},
    "--l2 0.01": {"l2": 0.01},
    "--l1 0.001": {"l1": 0.001},
    "--max-norm 1": {"max_norm": 1.0},
    "--weight-noise 0.05": {"weight_noise": 0.05},
    "--swa 0.5": {"swa": 0.5},
}
ON_SAMPLES: dict[str, dict[str, Any]] = {
    "none": {},
    "--network.dropout 0.5": {"network.dropout": 0.5},
    "--label-smoothing 0.1": {"label_smoothing": 0.1},
    "--input-noise 0.5": {"input_noise": 0.5},
    "--mixup 0.4": {"mixup": 0.4},
    "--augment affine": {"augment": ("affine",)},
}


def main() -> int:
    """Writes every picture, or those whose names hold --only."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each line of the table")
    parser.add_argument("--only", default="", help="part of a picture's name")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    makers = {
        "augmentation-places.png": lambda: changed([name for name in AUGMENTATIONS if name in PLACES]),
        "augmentation-values.png": lambda: changed([n for n in AUGMENTATIONS if n not in (*PLACES, *POLICIES)]),
        "augmentation-policies.png": lambda: changed([name for name in POLICIES for _ in range(2)]),
        "mixing.png": mixing,
        "normalization.png": normalizations,
        "regularization-weights.svg": lambda: curves_of(ON_WEIGHTS, "validation cross-entropy, penalties and limits"),
        "regularization-samples.svg": lambda: curves_of(ON_SAMPLES, "validation cross-entropy, noise and mixing"),
        "regularization-histograms.svg": histograms,
    }
    for name, make in makers.items():
        if given.only in name:
            data = make()
            (given.out / name).write_bytes(data)
            print(f"{name}: {len(data):,} bytes", flush=True)
    if given.only in "table":
        table({**ON_WEIGHTS, **ON_SAMPLES}, given.seeds)
    return 0


def scene() -> Tensor:
    """[1, 3, 64, 64] uint8: a house under the sun, painted large and made small."""
    big = Image.new("RGB", (256, 256), (126, 182, 224))
    draw = ImageDraw.Draw(big)
    for y in range(150):
        draw.line((0, y, 255, y), (96 + y // 3, 150 + y // 4, 216 + y // 8))
    draw.ellipse((178, 22, 230, 74), (250, 214, 92))
    draw.rectangle((0, 176, 255, 255), (92, 140, 72))
    draw.rectangle((58, 104, 168, 208), (206, 110, 84))
    draw.polygon([(44, 108), (113, 48), (182, 108)], (112, 58, 52))
    draw.rectangle((98, 150, 130, 208), (70, 48, 40))
    for x in (70, 138):
        draw.rectangle((x, 122, x + 20, 142), (240, 236, 200))
    draw.ellipse((196, 128, 242, 190), (46, 96, 54))
    draw.rectangle((216, 180, 222, 206), (84, 60, 40))
    small = np.asarray(big.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return torch.from_numpy(small.copy()).permute(2, 0, 1)[None]


def changed(names: Sequence[str]) -> bytes:
    """One row for each augmentation: the picture as it is, and eight times changed."""
    rows = []
    for line, name in enumerate(names):
        u = rng.uniform(0, line, np.arange(COLUMNS), AUGMENTATIONS[name].draws, "picture")
        u[0] = 0.5
        rows.append((name, augment(scene().expand(COLUMNS, -1, -1, -1).contiguous(), (name,), torch.from_numpy(u))))
    return sheet(rows)


def mixing() -> bytes:
    """Mixup and cutmix of the picture with itself mirrored and inverted, at shares from 1 to 0.2."""
    own = scene().float()
    other = 255 - own.flip(3)
    share = torch.linspace(1, 0.2, COLUMNS)
    many, others = own.expand(COLUMNS, -1, -1, -1), other.expand(COLUMNS, -1, -1, -1)
    places = torch.from_numpy(rng.uniform(1, 0, np.arange(COLUMNS), 2, "picture"))
    cut, _ = cutmix(many, others, share, places)
    return sheet([("mixup", mixup(many, others, share)), ("cutmix", cut)])


def normalizations() -> bytes:
    """Nine digits, and nine shadings of the picture, as each normalization gives them to a network."""
    found = prepare("image-classification", "digits", resolved("image-classification", {}))
    digits = found.encoded["train"].tensors["pixels"][:COLUMNS]  # [9, 8, 8, 1]
    shade = torch.linspace(1, 0.15, COLUMNS).view(-1, 1, 1, 1)
    pictures = (scene().float() * shade).to(torch.uint8)
    rows: list[tuple[str, Tensor]] = [("digits", digits.permute(0, 3, 1, 2))]
    for name in ("global-contrast", "local-contrast", "whitening"):
        state = image.learn(found.tables["train"], faults=[], normalize=name)
        rows.append((name, _shown(image.normalized(digits, state))))
    rows.append(("pictures", pictures))
    for name in ("global-contrast", "local-contrast"):
        state = {**found.state["image"], "size": [SIDE, SIDE], "channels": 3, "normalize": name}
        rows.append((name, _shown(image.normalized(pictures, state))))
    return sheet(rows)


def _shown(normal: Tensor) -> Tensor:
    """Numbers about 0 as grey values: 0 is the middle, 2.5 is white."""
    return (127.5 + normal * 51).clamp(0, 255)


def sheet(rows: Sequence[tuple[str, Tensor]]) -> bytes:
    """A PNG of rows of images, each with its name in front, in 128 colours."""
    paper = Image.new("RGB", (NAMES_WIDTH + COLUMNS * (SIDE + GAP), len(rows) * (SIDE + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(11)
    for line, (name, images) in enumerate(rows):
        top = GAP + line * (SIDE + GAP)
        draw.text((4, top + SIDE // 2 - 7), name, "black", font)
        for column, each in enumerate(images):
            array = each.round().to(torch.uint8).permute(1, 2, 0).numpy()
            array = np.repeat(array, 3, 2) if array.shape[2] == 1 else array
            picture = Image.fromarray(np.ascontiguousarray(array)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            paper.paste(picture, (NAMES_WIDTH + column * (SIDE + GAP), top))
    buffer = io.BytesIO()
    paper.quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def trained(changes: dict[str, Any], seed: int, *, is_watched: bool) -> tuple[Fitted, Prepared]:
    """A perceptron trained on few digits with these options; its last weights, or, if watched, also how it went."""
    chosen = resolved("image-classification", {}, base={**BASE, **changes, "seed": seed})
    found = prepare("image-classification", "digits", chosen)
    train = found.encoded["train"]
    rows = rng.permutation(seed, 0, len(train))[:FEW]
    few = Encoded(train.take(rows), train.table.take(pa.array(rows)))
    return fit(found.task, few, found.encoded["test"] if is_watched else None, chosen.fit), found


def curves_of(cases: dict[str, dict[str, Any]], title: str) -> bytes:
    """Validation cross-entropy over epochs, one line for each case, one seed."""
    lines = {}
    for name, changes in cases.items():
        fitted, _ = trained(changes, 0, is_watched=True)
        lines[name] = [(record["epoch"], record["val_cross_entropy"]) for record in fitted.history]
    return chart(Curves(title, "epoch", "cross-entropy of held-out digits (nats)", lines))


def histograms() -> bytes:
    """How the weights of the first layer are spread after training."""
    lines = {}
    edges = np.linspace(-0.3, 0.3, 61)
    for name, changes in ON_WEIGHTS.items():
        if name != "--swa 0.5":
            weights = next(_long(changes).model.parameters()).detach().numpy()
            counts, _ = np.histogram(weights, edges)
            middles = (edges[:-1] + edges[1:]) / 2
            lines[name] = [(float(x), float(y)) for x, y in zip(middles, counts / weights.size, strict=True)]
    return chart(Curves("weights of the first layer", "weight", "share of the weights in a hundredth", lines))


def _long(changes: dict[str, Any]) -> Fitted:
    return trained({**changes, "epochs": 200}, 0, is_watched=False)[0]


def table(cases: dict[str, dict[str, Any]], seeds: int) -> None:
    """Prints accuracy and cross-entropy of each case after the last update: mean and deviation over seeds."""
    print(f"\n| option | accuracy % | cross-entropy | of {seeds} seeds, {FEW} digits each\n|---|---|---|")
    for name, changes in cases.items():
        results = [_last(changes, seed) for seed in range(seeds)]
        cells = [
            f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values) if seeds > 1 else 0:.{digits}f}"
            for values, digits in (([100 * a for a, _ in results], 1), ([c for _, c in results], 3))
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _last(changes: dict[str, Any], seed: int) -> tuple[float, float]:
    """Accuracy and cross-entropy on held-out digits, by the last weights, not the best."""
    fitted, found = trained(changes, seed, is_watched=False)
    result = evaluate(found.task, fitted.model, found.encoded["test"], device=CPU, ranks=Alone()).result()
    return result["accuracy"], result["cross_entropy"]


def chart(figure: Curves) -> bytes:
    """The chart as a file of its own: with its colours, and a legend to the right."""
    drawn = str(svg.curves(figure, from_zero=True))
    width = svg.WIDTH + LEGEND_WIDTH
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{svg.HEIGHT}" '
    drawn = drawn.replace("<svg ", opening, 1).replace(f'viewBox="0 0 {svg.WIDTH} ', f'viewBox="0 0 {width} ', 1)
    legend = "".join(
        f'<line x1="{svg.WIDTH}" x2="{svg.WIDTH + 22}" y1="{34 + 20 * i}" y2="{34 + 20 * i}" class="line s{i}"/>'
        f'<text x="{svg.WIDTH + 27}" y="{38 + 20 * i}">{name}</text>'
        for i, name in enumerate(figure.lines)
    )
    return drawn.replace(">", f">{STYLE}", 1).replace("</svg>", f"{legend}</svg>").encode()


if __name__ == "__main__":
    sys.exit(main())
