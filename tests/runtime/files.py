"""A small .onnx file made by hand: two numbers of a table in, two classes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.prepare import table_graph, tabular
from deepen.prepare.tabular import ColumnOptions
from deepen.runtime import onnx_file

WEIGHTS = np.array([[1.0, -1.0], [0.5, 2.0]], np.float32)
BIAS = np.array([0.25, -0.5], np.float32)


def rows(count: int = 23) -> pa.Table:
    """Two columns of numbers, of which some are missing, and a target that tells."""
    draw = np.random.default_rng(3)
    first, second = draw.normal(size=count), draw.normal(size=count)
    cells = {
        "first": [f"{value:.3f}" for value in first],
        "second": [f"{value:.3f}" for value in second],
        "kind": ["up" if value > 0 else "down" for value in first],
    }
    table = pa.table({name: pa.array(column, pa.string()) for name, column in cells.items()})
    return table.append_column("source", pa.array([f"rows.csv, row {row + 2}" for row in range(count)]))


def graph(**changes: Any) -> bytes:
    """y = x W + b, and what a test wants changed in the model before it is serialized."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["numbers"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["x", "w", "b"], ["outputs"]),
    ]
    held = [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b")]
    inputs = [helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["batch", 2])]
    outputs = [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", 2])]
    model = helper.make_model(
        helper.make_graph(nodes, "small", inputs, outputs, held), opset_imports=[helper.make_opsetid("", 20)]
    )
    model.ir_version = 10
    checker.check_model(model)
    if "change" in changes:
        changes["change"](model)
    return model.SerializeToString()


def description(**changes: Any) -> dict[str, Any]:
    """What such a file says of itself."""
    state = tabular.learn(rows(), "kind", ColumnOptions(), [])
    known = {
        "format_version": 1,
        "opset": 20,
        "task": "tabular-classification",
        "model": "linear",
        "options": {},
        "schema": {"readers": ["table_file"], "inputs": [], "target": ""},
        "reading": {"target": "kind"},
        "preparation": {"kind": "table", "table": table_graph.without_scaling(state)},
        "sizes": {"batch": [1, None]},
        "answer": {
            "kind": "classes",
            "labels": ["down", "up"],
            "target": "kind",
            "given": False,
            "top": 5,
            "cells": True,
        },
        "run": {"name": "small", "weights_sha256": "0" * 64, "metrics": {}},
        "checked": {"engines": ["onnxruntime"]},
        "versions": {},
    }
    return known | changes


def written(path: Path, content: bytes | None = None, **changes: Any) -> Path:
    """The file, sealed."""
    path.write_bytes(onnx_file.sealed(graph() if content is None else content, description(**changes)))
    return path
