"""A loaded run as something that answers rows: what `predict` does with files, done with the rows of a request."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from deepen.core.errors import DeepenError, RunError
from deepen.core.faults import Fault, refuse
from deepen.core.jsontext import finite, json_text
from deepen.data.dataset import Dataset, content_key
from deepen.engine.evaluate import rows_at_once
from deepen.engine.task import Asks, SharedOutputs
from deepen.explain.explaining import Explainable
from deepen.prepare import fields, image_decode, image_guard
from deepen.prepare.encoded import Encoded
from deepen.prepare.fields import Field
from deepen.prepare.image import encode_png
from deepen.prepare.image_decode import Wanted
from deepen.prepare.image_faults import Unusable
from deepen.serve.answering import About, Outcome, Row
from deepen.verbs.explain import explain
from deepen.verbs.loaded import Loaded, schema_of

EXAMPLE_WORDS = 24
MOST_LABELS = 1_000


@dataclass(frozen=True)
class Ready:
    """Rows ready for the network: encoded tables, whose column `source` holds each row's place, and what is wrong."""

    count: int
    encoded: tuple[Encoded, ...]
    errors: Mapping[int, str]


class RunAnswers:
    """A loaded run as something that answers rows."""

    def __init__(self, model: Loaded, *, max_pixels: int) -> None:
        self._model, self._max_pixels = model, max_pixels
        self._fields = fields_of(model)
        self._size = rows_at_once(model.task)
        header = model.header
        self.about = About(
            task=str(header["task"]),
            model=str(header["model"]),
            version=hashlib.sha256(json_text(finite(header)).encode()).hexdigest()[:12],
            fields=[dataclasses.asdict(field) for field in self._fields],
            card=card_of(model),
            explains=isinstance(model.task, Explainable) and isinstance(model.task, SharedOutputs),
        )

    def prepare(self, rows: Sequence[Row]) -> Ready:
        """Rows of one kind become one table, which the task encodes."""
        errors = self._refused_pictures(rows)
        by_kind: dict[tuple[str, ...], list[int]] = {}
        for place, row in enumerate(rows):
            if place not in errors:
                by_kind.setdefault(tuple(sorted(row)), []).append(place)
        encoded = []
        for places in by_kind.values():
            faults: list[Fault] = []
            table = table_of([rows[place] for place in places], places)
            encoded.append(self._model.task.encode(table, "predict", faults))
            errors |= {places[each.row]: each.message for each in faults if each.row >= 0 and _is_bad(each)}
            _refuse(faults)
        return Ready(len(rows), tuple(encoded), errors)

    def answer(self, prepared: Ready) -> list[Outcome]:
        """What `predict` answers, by the rows' places."""

        nothing = "holds nothing to answer for."
        found = [Outcome(error=prepared.errors.get(place, nothing)) for place in range(prepared.count)]
        model = self._model
        for encoded in prepared.encoded:
            # a task may put more behind the place that it was given
            places = [int(source.partition(":")[0]) for source in encoded.table.column("source").to_pylist()]
            for start in range(0, len(encoded), self._size):
                some = places[start : start + self._size]
                batch = model.task.batch(encoded, np.arange(start, start + len(some), dtype=np.int64), None)
                sources = [f"rows[{place}]" for place in some]
                with torch.inference_mode():
                    answers = model.task.answer(model.model, batch.to(model.device), sources)
                for place, answer in zip(some, answers, strict=True):
                    found[place] = Outcome(plain(answer))
        return found

    def explain(self, row: Row) -> str:
        """The page that `explain` makes of this one sample."""

        refused = self._refused_pictures([row])
        if refused:
            raise RunError(refused[0])
        data = Dataset("request", "one row of a request", {"all": table_of([row], [0], "row of the request")})
        with tempfile.TemporaryDirectory(prefix="deepen-explain-") as folder:
            try:
                page = explain(self._model, data, {}, out=Path(folder, "explanation")).page
            except DeepenError as error:
                raise RunError(self._without_paths(str(error))) from None
            return page.read_text("utf-8")

    def example(self) -> Row:
        """Cells as the fields' own examples; a picture of the size that the network reads."""
        return {field.name: _example(field) for field in self._fields}

    def _refused_pictures(self, rows: Sequence[Row]) -> dict[int, str]:
        """Pictures that their own headers say are too large or no pictures; nothing of them is decoded."""

        found: dict[int, str] = {}
        for name in (field.name for field in self._fields if field.kind == "picture"):
            held = {place: cell for place, row in enumerate(rows) if isinstance(cell := row.get(name), bytes)}
            headers = _headers(list(held.values()), Wanted(max_pixels=self._max_pixels))
            pairs = zip(held, headers, strict=True)
            found |= {place: str(each) for place, each in pairs if isinstance(each, Unusable)}
        return found

    def _without_paths(self, text: str) -> str:
        """A sentence for clients, who need not know where things lie."""
        data = str(self._model.header["data"].get("path", ""))
        text = text.replace(str(self._model.folder), self._model.folder.name)
        return text.replace(data, "the training data") if os.sep in data else text


def fields_of(model: Loaded) -> list[Field]:
    """What a row consists of: the task's own word, or the input columns of its schema."""

    if isinstance(model.task, Asks):
        return model.task.fields()
    schema = schema_of(model)
    found = fields.of_columns(schema.inputs, schema.readers)
    if not found:
        raise RunError(f"{model.folder}: {model.header['task']} does not say what a row consists of.")
    return found


def plain(answer: Any) -> Any:
    """An answer as JSON holds it, as `dataclasses.asdict` makes it, which takes five times as long for its copies."""
    if dataclasses.is_dataclass(answer):
        return {name: plain(getattr(answer, name)) for name in answer.__dataclass_fields__}
    if isinstance(answer, (list, tuple)):
        return [plain(part) for part in answer]
    if isinstance(answer, dict):
        return {name: plain(part) for name, part in answer.items()}
    return answer


def table_of(rows: Sequence[Row], places: Sequence[int], source: str = "") -> pa.Table:
    """Rows of the same columns as the table that a reader would make; `source` holds their places.

    source  stands in its place, where there is one row
    """

    columns: dict[str, pa.Array] = {}
    for name in rows[0]:
        cells = [row[name] for row in rows]
        kinds = {bytes: pa.binary(), list: pa.list_(pa.string())}
        kind = next((kinds[type(cell)] for cell in cells if type(cell) in kinds), pa.string())
        columns[name] = pa.array(cells, kind)
    keys = [content_key(*(_key_bytes(cell) for cell in row.values())) for row in rows]
    sources = [source or str(place) for place in places]
    return pa.table({**columns, "source": pa.array(sources, pa.string()), "key": pa.array(keys, pa.string())})


def card_of(model: Loaded) -> dict[str, Any]:
    """What people should know of a run, without paths: figures, classes, how large it is."""

    metrics = dict(model.header["metrics"])
    split = str(metrics.get("of", ""))
    figures = {name: value for name, value in dict(metrics.get(split, {})).items() if isinstance(value, (int, float))}
    labels = model.task.terms.labels if isinstance(model.task, SharedOutputs) else ()
    found = {
        "split": split,
        "metrics": figures,
        "parameters": sum(each.numel() for each in model.model.parameters()),
        "labels": list(labels[:MOST_LABELS]) if all(len(each) < 200 for each in labels) else [],
        "target": model.task.terms.target if isinstance(model.task, SharedOutputs) else "",
    }
    return finite(found)  # type: ignore[return-value]


def _key_bytes(cell: object) -> bytes:
    return cell if isinstance(cell, bytes) else repr(cell).encode("utf-8", "backslashreplace")


def _headers(pictures: Sequence[bytes], wanted: Wanted) -> list[Any]:
    """What the headers say, read by the processes that decode, where there are any."""

    guard = image_guard.current()
    if guard is not None and pictures:
        try:
            return guard.each(list(pictures), wanted, lambda each: each)
        except image_guard.NotStarted:
            pass  # no process can be started here, so this one reads
    return [image_decode.answer(each, wanted) for each in pictures]


def _example(field: Field) -> Any:
    if field.kind == "picture":
        height, width = field.size or (64, 64)
        return encode_png(np.zeros((height, width, field.channels or 3), np.uint8))
    if field.kind in ("text", "line"):
        return " ".join(["word"] * EXAMPLE_WORDS)
    return ["word"] * EXAMPLE_WORDS if field.kind == "words" else field.example


def _is_bad(fault: Fault) -> bool:
    return fault.level in ("error", "sample")


def _refuse(faults: Sequence[Fault]) -> None:
    """Raises for what is wrong with the table and not with one row of it."""

    refuse([fault for fault in faults if fault.row < 0], skip_bad=False)
