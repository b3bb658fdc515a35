"""The pictures of images in docs/augmentation.md and docs/regularization.md: `python -m bench.craft_images`.

Augmentations, mixing and contrast normalization are shown on a picture that this script paints and on scikit-learn's
digits. It takes seconds, and the same command writes the same files.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bench.places import ROOT
from deepen.core import rng
from deepen.ops.augment import AUGMENTATIONS, augment
from deepen.ops.augment_policy import POLICIES
from deepen.ops.mixing import cutmix, mixup
from deepen.prepare import image
from deepen.verbs.options import resolved
from deepen.verbs.prepared import prepare

SIDE = 64
COLUMNS = 9
GAP = 4
NAMES_WIDTH = 92
PLACES = ("crop", "flip", "affine", "rotate", "shear", "translate", "elastic")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes every picture, and says its name and size."""
    parser = argparse.ArgumentParser(prog="python -m bench.craft_images", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures", help="the folder of the pictures")
    folder: Path = parser.parse_args(arguments).out
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    makers = {
        "augmentation-places.png": lambda: changed([name for name in AUGMENTATIONS if name in PLACES]),
        "augmentation-values.png": lambda: changed([n for n in AUGMENTATIONS if n not in (*PLACES, *POLICIES)]),
        "augmentation-policies.png": lambda: changed([name for name in POLICIES for _ in range(2)]),
        "mixing.png": mixing,
        "normalization.png": normalizations,
    }
    for name, make in makers.items():
        data = make()
        (folder / name).write_bytes(data)
        print(f"{folder / name}: {len(data):,} bytes", flush=True)
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


if __name__ == "__main__":
    sys.exit(main())
