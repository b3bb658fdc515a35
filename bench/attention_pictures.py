"""The pictures of docs/attention.md: kernel regression and attention maps.

`python -m bench.attention_pictures` writes them into docs/pictures/ in seconds. The same command writes the same files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from markupsafe import Markup
from torch import Tensor, nn

from bench.places import ROOT
from deepen.core.figures import Curves
from deepen.nn.attention import MultiHeadAttention
from deepen.nn.attention_record import recording
from deepen.nn.position import SinusoidalPositions
from deepen.ops.kernel_regression import kernel_regression, leave_one_out_error
from deepen.report.svg_file import document, sheet

DIGITS = (3, 1, 4, 1, 5, 9, 2, 6)
CELL = 26
STEPS = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes both files."""
    parser = argparse.ArgumentParser(prog="python -m bench.attention_pictures")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that everything can be drawn")
    given = parser.parse_args(arguments)
    folder: Path = given.out
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel-regression.svg").write_text(document(regression(), columns=2), "utf-8")
    (folder / "attention-map.svg").write_text(maps(3 if given.quick else STEPS), "utf-8")
    return 0


def regression() -> list[Curves]:
    """One chart for each width, the last with the learned one."""
    draw = torch.Generator().manual_seed(0)
    x = (torch.rand(60, generator=draw) * 6).sort().values
    y = torch.sin(2 * x) + 0.5 * x + 0.4 * torch.randn(60, generator=draw)
    grid = torch.linspace(0, 6, 121)
    truth = torch.sin(2 * grid) + 0.5 * grid
    learned = _learned_width(x, y)
    charts = []
    for title, width in (("too narrow", 0.05), ("learned", learned), ("wide", 0.6), ("too wide", 1.5)):
        answer = kernel_regression(grid, x, y, width)
        error = float((answer - truth).pow(2).mean().sqrt())
        lines = {"curve": _pairs(grid, truth), "answer": _pairs(grid, answer), "measured": _pairs(x, y)}
        charts.append(Curves(f"{title}: h = {width:.2f}, off by {error:.2f}", "x", "y", lines))
    return charts


def maps(steps: int) -> str:
    """The weights of the layer that writes digits backwards, before and after training."""
    torch.manual_seed(1)
    model = _Backwards()
    before = _weights(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        digits = torch.randint(0, 10, (64, 8))
        loss = nn.functional.cross_entropy(model(digits).flatten(0, 1), digits.flip(1).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    titles = ("before training", f"after {steps} steps")
    side = CELL * (len(DIGITS) + 1)
    return sheet(titles, [_map(weights) for weights in (before, _weights(model))], side, side)


class _Backwards(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(10, width), SinusoidalPositions(width)
        self.attention, self.linear = MultiHeadAttention(width, heads=1), nn.Linear(width, 10)

    def forward(self, digits: Tensor) -> Tensor:
        x = self.positions(self.embedding(digits))
        return self.linear(self.attention(x, x, x))


def _learned_width(x: Tensor, y: Tensor) -> float:
    log_width = torch.tensor(0.0, requires_grad=True)
    optimizer = torch.optim.Adam([log_width], lr=0.1)
    for _ in range(80):
        optimizer.zero_grad()
        leave_one_out_error(x, y, log_width.exp()).backward()
        optimizer.step()
    return float(log_width.detach().exp())


def _weights(model: nn.Module) -> Tensor:
    with torch.no_grad(), recording(model) as found:
        model(torch.tensor([DIGITS]))
    return found[0][1][0, 0]


def _map(weights: Tensor) -> Markup:
    """A square for each weight: from which digit it looks (down) at which (across)."""
    square = Markup(
        '<rect x="{}" y="{}" width="{}" height="{}" rx="3" style="fill:var(--s1);stroke:none;fill-opacity:{:.3f}"/>'
    )
    text = Markup('<text x="{}" y="{}" class="middle">{}</text>')
    parts = []
    for row, digit in enumerate(DIGITS):
        at = CELL * (row + 1)
        parts += [text.format(at + CELL / 2, CELL - 8, digit), text.format(CELL / 2, at + 17, digit)]
        for column in range(len(DIGITS)):
            weight = float(weights[row, column])
            parts.append(square.format(CELL * (column + 1) + 1, at + 1, CELL - 2, CELL - 2, 0.04 + 0.96 * weight))
    return Markup("").join(parts)


def _pairs(x: Tensor, y: Tensor) -> list[tuple[float, float]]:
    return [(round(a, 4), round(b, 4)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]


if __name__ == "__main__":
    sys.exit(main())
