"""Explaining answers about rows of a table: which columns matter, how, and for a single row.

A row is one vector here: its numbers [F], then its categories [G] as numbers. Columns are those of the user's table;
what one became (a number and whether it is missing, the four numbers of a date) always goes together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepen.core import rng
from deepen.core.errors import OptionError
from deepen.core.figures import Bars, Curves, Figure, Rows, Sample
from deepen.core.names import did_you_mean
from deepen.core.units import plural
from deepen.engine.task import SharedOutputs
from deepen.explain.explaining import Explanation, Method, Request, Unfit, class_index
from deepen.ops.partial_dependence import individual_expectations
from deepen.ops.permutation_importance import permutation_importance
from deepen.ops.shapley import Shares, shapley_values
from deepen.prepare import tabular
from deepen.prepare.column_places import ColumnPlace, column_places, level_name, values_of
from deepen.prepare.encoded import Batch, Encoded

ROWS_AT_ONCE = 2048
MOST_SCORED = 20_000
NUM_DRAWN = 6  # columns whose partial dependence is drawn
MOST_LINES = 6  # classes in one chart
MOST_LEVELS = 20
NUM_SINGLE = 40  # lines of single rows


class TableExplainer:
    """Explains a task that brings rows of a table to classes or a number.

    task    the task; its batches hold `numbers` [B, F] and `categories` [B, G]
    state   what preparing learned of the columns (prepare/tabular)
    truth   the name of the encoded targets: class numbers where the task has classes, else numbers
    """

    def __init__(self, task: SharedOutputs, state: Mapping[str, Any], *, truth: str) -> None:
        self._task, self._state, self._truth = task, state, truth
        self._labels = task.terms.labels
        self._places = column_places(state)
        self.methods: dict[str, Method] = {
            "permutation": Method(
                "what the figures lose when a column is shuffled (Breiman 2001)",
                "table",
                self._permutation,
                is_default=True,
                needs_targets=True,
                reads=("repeats",),
            ),
            "partial-dependence": Method(
                "the mean answer as a column changes, with single rows (Friedman 2001)",
                "table",
                self._partial_dependence,
                is_default=True,
                reads=("of_class", "curves", "rows", "grid"),
            ),
            "shapley": Method(
                "each column's fair share in the answer for a row (Strumbelj and Kononenko 2014)",
                "samples",
                self._shapley,
                is_default=True,
                needs_reference=True,
                reads=("references", "orders"),
            ),
            "occlusion": Method(
                "what the answer for a row loses without a column (Robnik-Sikonja and Kononenko 2008)",
                "samples",
                self._occlusion,
                needs_reference=True,
                reads=("references",),
            ),
        }

    def worst(self, metrics: Any, number: int) -> list[int]:
        """The rows with the worst answers."""
        return [each.row for each in metrics.worst(number)]

    def samples(self, request: Request) -> list[tuple[Sample, dict[str, Any]]]:
        """The rows with their answers, and the truth where it is known."""
        class_index(request.options.of_class, self._labels)  # a wrong name is said before anything takes long
        self._asked_places(request)
        rows = self._vectors(request.encoded)[torch.from_numpy(request.rows)]
        outputs = self._answers(request)(rows)
        found = []
        for index, row in enumerate(request.rows.tolist()):
            told = self._answer(outputs[index])
            said = [f"answer: {told['answer']}" + (f" ({told['probability']:.0%} sure)" if self._labels else "")]
            if request.has_targets:
                truth = request.encoded.tensors[self._truth][row].item()
                told["truth"] = self._labels[int(truth)] if self._labels else truth
                said.insert(0, f"truth: {told['truth'] if self._labels else f'{truth:,.6g}'}")
            cells = request.encoded.table.slice(row, 1).to_pylist()[0]
            text = "\n".join(f"{name}: {cell}" for name, cell in cells.items() if name not in tabular.OURS)
            found.append((Sample([*said, request.encoded.source(row)], text=text), told))
        return found

    def _permutation(self, request: Request) -> Explanation:
        options = request.options
        encoded = request.encoded
        if len(encoded) < 2:
            raise Unfit("--method permutation: shuffling needs two rows or more.")
        drawn = _drawn(len(encoded), MOST_SCORED, options.seed, "permutation")
        names = list(self._figures(request, drawn, self._vectors(encoded)[torch.from_numpy(drawn)]))
        done = 0

        def score(rows: Tensor) -> Tensor:
            nonlocal done
            figures = self._figures(request, drawn, rows)
            done += 1
            request.progress(min(1.0, done / (1 + len(self._places) * options.repeats)))
            return torch.tensor([figures.get(name, math.nan) for name in names], dtype=torch.float64)

        def orders(group: int) -> list[Tensor]:
            name = self._places[group].name
            return [
                torch.from_numpy(rng.generator(options.seed, "shuffle", name, k).permutation(len(drawn)))
                for k in range(options.repeats)
            ]

        vectors = self._vectors(encoded)[torch.from_numpy(drawn)]
        whole, scores = permutation_importance(score, vectors, [place.inputs for place in self._places], orders)
        return self._importances(request, names, whole, scores, len(drawn))

    def _importances(
        self, request: Request, names: list[str], whole: Tensor, scores: Tensor, num_rows: int
    ) -> Explanation:
        """Means and deviations over the shuffles as a chart, a table and numbers, the largest first."""
        metric, direction = request.task.objective
        sign = 1.0 if direction == "min" else -1.0
        index = names.index(metric)
        changes = sign * (scores - whole)  # [G, R, S]: of the objective, above 0 is worse
        mean, deviation = changes[:, :, index].mean(1), changes[:, :, index].std(1)
        order = mean.argsort(descending=True, stable=True).tolist()
        columns = [self._places[g].name for g in order]
        found = Explanation()
        what = f"{'rise' if direction == 'min' else 'fall'} of {metric.replace('_', ' ')}"
        found.figures.append(
            Bars(
                "Permutation importance",
                columns,
                [float(mean[g]) for g in order],
                what,
                [(float(mean[g] - deviation[g]), float(mean[g] + deviation[g])) for g in order],
                note=f"{what.capitalize()} (now {float(whole[index]):.4f}) when the column is shuffled among "
                f"{plural(num_rows, 'row')}: mean of {request.options.repeats} shuffles, and one deviation either way.",
            )
        )
        table: list[list[str | float | int]] = [
            [self._places[g].name, *(float(scores[g, :, s].mean() - whole[s]) for s in range(len(names)))]
            for g in order
        ]
        found.figures.append(Rows("Change of every figure", ["column", *names], table, note="Shuffled minus as it is."))
        found.numbers = {
            "metric": metric,
            "value": float(whole[index]),
            "rows": num_rows,
            "repeats": request.options.repeats,
            "columns": {
                self._places[g].name: {
                    "importance": float(mean[g]),
                    "deviation": float(deviation[g]),
                    "figures": {name: float(scores[g, :, s].mean() - whole[s]) for s, name in enumerate(names)},
                }
                for g in order
            },
        }
        found.notes.append(
            "Columns that tell the same share their importance: shuffling one leaves the other, so both may look small."
        )
        return found

    def _partial_dependence(self, request: Request) -> Explanation:
        options = request.options
        encoded = request.encoded
        if len(encoded) < 2:
            raise Unfit("--method partial-dependence: it needs two rows or more to average over.")
        drawn = torch.from_numpy(_drawn(len(encoded), options.rows, options.seed, "partial dependence"))
        vectors = self._vectors(encoded)
        shown = self._shown_outputs(request, vectors[drawn])
        places = self._curves(request, vectors)
        found = Explanation()
        for index, place in enumerate(places):
            points = self._points(encoded, vectors, place, options.grid)
            values = vectors[torch.tensor([row for row, _, _ in points])][:, list(place.inputs)]
            expected = individual_expectations(
                self._answers(request), vectors[drawn], place.inputs, values
            )  # [V, N, K]
            expected = expected[:, :, [k for k, _ in shown]]
            found.figures.append(self._dependence_figure(place, points, expected, [name for _, name in shown], options))
            found.numbers[place.name] = {
                "kind": place.kind,
                "values": [x if place.kind != "category" else name for _, x, name in points],
                "mean": {name: expected[:, :, k].mean(1).tolist() for k, (_, name) in enumerate(shown)},
            }
            found.tensors[place.name] = expected
            request.progress((index + 1) / len(places))
        found.notes.append(
            f"Partial dependence sets a column to a value in {plural(len(drawn), 'row')} and takes the mean answer; it "
            "may ask for rows that cannot exist where columns depend on each other. Thin lines are single rows."
        )
        return found

    def _shapley(self, request: Request) -> Explanation:
        options = request.options
        found = Explanation()
        references = self._references(request)
        count = len(references) * options.orders
        for index, row, vector, output, name, answers in self._each(request):
            draw = rng.generator(options.seed, "shapley", row)
            half = np.stack([draw.permutation(len(self._places)) for _ in range((count + 1) // 2)])
            orders = torch.from_numpy(np.concatenate([half, half[:, ::-1]])[:count].copy())  # and each one backwards
            orders = orders[torch.from_numpy(draw.permutation(count))]
            groups = [place.inputs for place in self._places]
            shares = shapley_values(lambda x, k=output, f=answers: f(x)[:, k], vector, references, groups, orders)
            self._add_row(found, request, row, ("Shapley values", name), shares)
            request.progress((index + 1) / len(request.rows))
        found.notes.append(
            f"Shapley values add up to the answer minus its mean over {plural(len(references), 'reference row')}, "
            f"exactly; each comes from {plural(count, 'order')} of the columns, its standard error beside it."
        )
        return found

    def _occlusion(self, request: Request) -> Explanation:
        found = Explanation()
        references = self._references(request)
        for index, row, vector, output, name, answers in self._each(request):
            whole = answers(vector[None])[0, output].double().item()
            drops = []
            for place in self._places:
                changed = vector.repeat(len(references), 1)
                changed[:, list(place.inputs)] = references[:, list(place.inputs)]
                drops.append(whole - answers(changed)[:, output].double().mean().item())
            reference = answers(references)[:, output].double().mean().item()
            self._add_row(found, request, row, ("Occlusion", name), Shares(torch.tensor(drops), None, whole, reference))
            request.progress((index + 1) / len(request.rows))
        found.notes.append(
            f"Occlusion takes one column's cells from {plural(len(references), 'reference row')} and averages the "
            "answers; the drops need not add up."
        )
        return found

    def _add_row(self, found: Explanation, request: Request, row: int, title: tuple[str, str], shares: Shares) -> None:
        """A chart and the numbers of one row's shares, the largest first; `title` is the method and the output."""
        values, error = shares.values, shares.standard_error
        order = values.abs().argsort(descending=True, stable=True).tolist()
        names = [self._places[g].name for g in order]
        cells = request.encoded.table.slice(row, 1)
        said = [f"{name} = {cells.column(name)[0].as_py()}" for name in names]
        spread = [] if error is None else [(float(values[g] - error[g]), float(values[g] + error[g])) for g in order]
        note = f"{shares.answer:.4g} here, {shares.reference:.4g} over the reference rows; by column, the difference."
        shown = [float(values[g]) for g in order]
        found.panels[row] = [Bars(f"{title[0]} for {title[1]}", said, shown, "share", spread, note)]
        found.by_row[row] = {
            "of": title[1],
            "value": shares.answer,
            "reference": shares.reference,
            "columns": dict(zip(names, shown, strict=True)),
        }
        if error is not None:
            found.by_row[row]["standard_error"] = {self._places[g].name: float(error[g]) for g in order}

    def _each(self, request: Request) -> Any:
        """(index, row, vector [D], output, its name, vectors -> outputs) of each sample."""
        asked = class_index(request.options.of_class, self._labels)
        vectors = self._vectors(request.encoded)
        answers = self._answers(request)
        for index, row in enumerate(request.rows.tolist()):
            output = 0 if not self._labels else asked
            if output is None:
                output = int(answers(vectors[row][None])[0].argmax())
            yield (
                index,
                row,
                vectors[row],
                output,
                self._labels[output] if self._labels else self._task.terms.target,
                answers,
            )

    def _references(self, request: Request) -> Tensor:
        assert request.reference is not None
        vectors = self._vectors(request.reference)
        drawn = _drawn(len(vectors), request.options.references, request.options.seed, "references")
        return vectors[torch.from_numpy(drawn)]

    def _vectors(self, encoded: Encoded) -> Tensor:
        """[N, F + G] float32 on the CPU: the numbers, then the categories."""
        return torch.cat([encoded.tensors["numbers"], encoded.tensors["categories"].float()], dim=1)

    def _answers(self, request: Request) -> Callable[[Tensor], Tensor]:
        """Vectors [N, D] to probabilities [N, K], or to the number [N, 1] in the target's unit, in bounded batches."""

        def answers(vectors: Tensor) -> Tensor:
            found = []
            with torch.inference_mode():
                for part in vectors.split(ROWS_AT_ONCE):
                    outputs = self._task.outputs(request.model, self._batch(part, {}, _rows(part)).to(request.device))
                    found.append((outputs.softmax(1) if self._labels else outputs.reshape(-1, 1)).cpu())
            return torch.cat(found)

        return answers

    def _batch(self, vectors: Tensor, others: Mapping[str, Tensor], rows: np.ndarray) -> Batch:
        width = vectors.shape[1] - sum(place.kind == "category" for place in self._places)
        inputs = {"numbers": vectors[:, :width], "categories": vectors[:, width:].long()}
        return Batch({**others, **inputs}, len(vectors), rows)

    def _figures(self, request: Request, drawn: np.ndarray, vectors: Tensor) -> dict[str, float]:
        """The figures of merit of the drawn rows with other inputs."""
        metrics = request.task.metrics()
        with torch.inference_mode():
            for start in range(0, len(drawn), ROWS_AT_ONCE):
                rows = drawn[start : start + ROWS_AT_ONCE]
                others = request.encoded.take(rows)
                batch = self._batch(vectors[start : start + ROWS_AT_ONCE], others, rows)
                request.task.score(request.model, batch.to(request.device), metrics)
        return metrics.result()

    def _answer(self, outputs: Tensor) -> dict[str, Any]:
        if not self._labels:
            return {"answer": float(outputs[0])}
        best = int(outputs.argmax())
        return {"answer": self._labels[best], "probability": round(float(outputs[best]), 6)}

    def _shown_outputs(self, request: Request, vectors: Tensor) -> list[tuple[int, str]]:
        """Which outputs partial dependence is drawn for, with their names."""
        asked = class_index(request.options.of_class, self._labels)
        if not self._labels:
            return [(0, self._task.terms.target)]
        if asked is not None:
            return [(asked, self._labels[asked])]
        if len(self._labels) == 2:
            return [(1, self._labels[1])]
        common = self._answers(request)(vectors).mean(0).argsort(descending=True, stable=True)[:MOST_LINES]
        return [(k, self._labels[k]) for k in sorted(common.tolist())]

    def _curves(self, request: Request, vectors: Tensor) -> list[ColumnPlace]:
        """The columns asked for, or those that move the answer most when shuffled."""
        if request.options.curves:
            return self._asked_places(request)
        rows = vectors[torch.from_numpy(_drawn(len(vectors), 500, request.options.seed, "most moving"))]
        order = torch.from_numpy(rng.generator(request.options.seed, "most moving", 1).permutation(len(rows)))
        answers = self._answers(request)
        plain = answers(rows)
        moved = []
        for place in self._places:
            changed = rows.clone()
            changed[:, list(place.inputs)] = rows[order][:, list(place.inputs)]
            moved.append(float((answers(changed) - plain).abs().mean()))
        first = sorted(range(len(moved)), key=lambda g: -moved[g])[:NUM_DRAWN]
        return [self._places[g] for g in first]

    def _asked_places(self, request: Request) -> list[ColumnPlace]:
        names = [place.name for place in self._places]
        for name in request.options.curves:
            if name not in names:
                raise OptionError(f"--curves {name}: no column of that name is learned from{did_you_mean(name, names)}")
        return [place for place in self._places if place.name in request.options.curves]

    def _points(self, encoded: Encoded, vectors: Tensor, place: ColumnPlace, grid: int) -> list[tuple[int, float, str]]:
        """(a row with the value, the value as a number, the value's name) for each value the column is set to.

        Numbers and dates at evenly spaced quantiles, all of them where there are no more; categories by frequency.
        """
        if place.kind == "category":
            codes = vectors[:, place.inputs[0]].long().numpy()
            found, rows, counts = np.unique(codes, return_index=True, return_counts=True)
            order = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
            return [(int(rows[i]), float(found[i]), level_name(place, int(found[i]))) for i in order]
        numbers = values_of(encoded.table, place)
        known = np.flatnonzero(np.isfinite(numbers))
        if not len(known):
            return [(0, math.nan, "missing")]
        distinct, rows = np.unique(numbers[known], return_index=True)
        if len(distinct) > grid:
            ordered = np.sort(numbers[known])
            at = np.round(np.linspace(0, len(ordered) - 1, grid)).astype(int)
            wanted = np.unique(ordered[at])
            kept = np.searchsorted(distinct, wanted)
            distinct, rows = distinct[kept], rows[kept]
        return [(int(known[row]), float(value), f"{value:.6g}") for value, row in zip(distinct, rows, strict=True)]

    def _dependence_figure(
        self,
        place: ColumnPlace,
        points: Sequence[tuple[int, float, str]],
        expected: Tensor,
        names: Sequence[str],
        options: Any,
    ) -> Figure:
        means = expected.mean(1)  # [V, K]
        what = f"probability of {names[0]}" if self._labels else names[0]
        if place.kind != "category":
            xs = [x for _, x, _ in points]
            lines = {name: list(zip(xs, means[:, k].tolist(), strict=True)) for k, name in enumerate(names)}
            behind = []
            if len(names) == 1:
                some = np.linspace(0, expected.shape[1] - 1, min(NUM_SINGLE, expected.shape[1])).round().astype(int)
                behind = [list(zip(xs, expected[:, n, 0].tolist(), strict=True)) for n in some.tolist()]
            label = what if len(names) == 1 else "probability"
            return Curves(f"Partial dependence on {place.name}", place.name, label, lines, behind=behind)
        levels = [name for _, _, name in points]
        title = f"Partial dependence on {place.name}"
        if len(names) > 1:
            rows: list[list[str | float | int]] = [[level, *means[v].tolist()] for v, level in enumerate(levels)]
            return Rows(title, [place.name, *names], rows, note="Mean probability of each class.")
        low, high = (torch.quantile(expected[:, :, 0].double(), q, dim=1).tolist() for q in (0.1, 0.9))
        spread = list(zip(low, high, strict=True))
        note = f"Mean {what}; the line spans the middle 80 % of the rows."
        return Bars(title, levels, means[:, 0].tolist(), "mean", spread, note=note)


def _drawn(count: int, most: int, seed: int, use: str) -> np.ndarray:
    """Up to `most` of `count` rows, drawn without putting back, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(rng.generator(seed, "explain", use).choice(count, most, replace=False))


def _rows(vectors: Tensor) -> np.ndarray:
    return np.arange(len(vectors), dtype=np.int64)
