"""Report contents for the tests: a plain one, and one whose every text is hostile."""

from __future__ import annotations

import struct
import zlib

from deepen.core.figures import Bars, Curves, Figure, Gallery, MarkedText, Matrix, Points, Rows, Sample
from deepen.report.content import ReportContent

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style></title></svg></script><script>alert(3)</script>",
    "javascript:alert(4)",
    "' onmouseover='alert(5)",
    "{{7*7}} {% raw %} %s {0} ${x} `id`",
    "$x^2$ & \\frac{1}{2}",
    "猫和狗",
    "قطة سوداء",
    "abc\u202egnp.exe",
    "line\nbreak\r\x1b[31m\x00",
    "bytes \udcff",
    "long " * 500,
    "[a link](http://192.0.2.1/x) <http://192.0.2.1/y> ![p](http://192.0.2.1/z) www.example.com",
    "# heading | cell | *bold* _it_ ~~no~~",
    "    - item",
    "1. one",
    "---",
    "",
]


def png(width: int = 5, height: int = 3) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\x00" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def figures(names: list[str]) -> list[Figure]:
    """One figure of every kind, named by `names`."""
    a, b = names[0], names[1]
    size = len(names)
    values = [[float(7 if i == j else (i + j) % 2) for j in range(size)] for i in range(size)]
    samples = [Sample([name, name], text=name) for name in names] + [Sample(names[:3], png=png())]
    return [
        Matrix(a, names, names, values, a, b, note=a),
        Matrix(a, names * 3, names * 3, [row * 3 for row in values] * 3),
        Rows(b, [a, b, "number"], [[name, name, index / 7] for index, name in enumerate(names)], note=b),
        Curves(a, a, b, {name: [(0.0, 1.0), (1.0, float(i))] for i, name in enumerate(names)}, note=a, diagonal=True),
        Points(b, a, b, [(1.0, 2.0), (3.0, 5.0)], note=b, diagonal=True),
        Bars(
            a, names, [float(i) - 2 for i in range(size)], b, spread=[(i - 3.0, i - 1.0) for i in range(size)], note=a
        ),
        Gallery(b, samples, note=b),
        MarkedText(a, names, [index / size - 0.5 for index in range(size)], note=b),
    ]


def plain() -> ReportContent:
    """A finished run with everything filled in."""
    history = [
        {"step": 11 * i, "epoch": float(i), "learning_rate": 0.1 / i, "train_loss": 2 / i, "val_accuracy": accuracy}
        for i, accuracy in enumerate([0.5, 0.9, None, 0.9, 0.7], start=1)
    ]
    return ReportContent(
        title="digits-lenet",
        task="some-task",
        model="lenet",
        command="deepen train some-task digits --model lenet",
        data="digits",
        layout="read as the built-in digits: 1,797 samples",
        split="split with seed 0: 1,257 train, 270 val, 270 test",
        fingerprint="3f0c9b2e",
        warnings=["labels.csv, row 7: something to look at."],
        notes=["2 duplicates were kept on one side."],
        metrics={"val": {"accuracy": 0.97, "cross_entropy": 0.1}, "test": {"cross_entropy": 0.2, "accuracy": 0.9593}},
        intervals={"test": {"accuracy": (0.9283, 0.9795)}},
        objective=("accuracy", "max"),
        history=history,
        pace=[{"step": 11 * i, "seconds": 2.0 * i, "samples_per_second": 1000.0 + i} for i in range(1, 4)],
        timing={"total_seconds": 125.0, "samples_per_second": 1234.5},
        parameters=61706,
        options={"epochs": 5, "optimizer": {"learning_rate": 0.1, "betas": (0.9, 0.999)}, "group": None},
        environment={"torch": "2.13.0", "device": "cpu"},
        figures=figures(["a", "b", "c"]),
        usage=["deepen predict runs/digits-lenet FILE"],
    )


def hostile() -> ReportContent:
    """Every text field, key and name is one of HOSTILE."""
    first, *rest = HOSTILE
    return ReportContent(
        title=first,
        task=rest[0],
        model=rest[1],
        command=rest[1],
        status=rest[0],
        data=rest[1],
        layout=first,
        split=rest[0],
        fingerprint=first,
        warnings=HOSTILE,
        notes=HOSTILE,
        metrics={first: dict.fromkeys(HOSTILE, 0.5), rest[1]: dict.fromkeys(HOSTILE, 0.5)},
        intervals={first: dict.fromkeys(HOSTILE, (0.1, 0.9))},
        objective=(rest[0], "max"),
        history=[{"epoch": i} | dict.fromkeys(HOSTILE, i / 3) | {f"val_{rest[0]}": i} for i in range(1, 4)],
        timing=dict.fromkeys(HOSTILE, 1.5),
        options={name: {name: name} for name in HOSTILE},
        environment={name: name for name in HOSTILE},
        figures=figures(HOSTILE),
        usage=HOSTILE,
        limits=HOSTILE,
    )
