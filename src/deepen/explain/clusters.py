"""Explaining clusters: the samples at their hearts, their centres, and what keeps a sample in its own.

How far a sample is inside its cluster is its margin: the distance to the next centre less that to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core import rng
from deepen.core.figures import Bars, Gallery, Rows, Sample
from deepen.core.units import plural
from deepen.explain.explaining import Explanation, Method, Request, Unfit, class_index
from deepen.explain.pictures import Pictures, batch_size, heat_png, patch_of, peak_of, shown
from deepen.ops import attribution
from deepen.ops.permutation_importance import permutation_importance
from deepen.prepare.column_places import column_places
from deepen.prepare.encoded import Batch, Encoded
from deepen.prepare.image import encode_png

ROWS_AT_ONCE = 2048
MOST_SCORED = 20_000
NUM_NEAREST = 5  # as many as stand side by side on the page
PIXELS, NUMBERS, CATEGORIES = "pixels", "numbers", "categories"


@dataclass(frozen=True)
class Centres:
    """The centres in terms of what samples are made of, where they have such.

    pictures  network -> [K, C, H, W] in 0 to 1
    columns   network -> what the vectors' places are called, and the centres' values there, [K, D]
    """

    pictures: Callable[[nn.Module], Tensor] | None = None
    columns: Callable[[nn.Module], tuple[list[str], Tensor]] | None = None


@dataclass(frozen=True)
class Made:
    """What the samples are made of, of which a part can be taken away.

    image   what preparing learned of pictures (prepare/image), whose batches hold `pixels`
    mean    [C, H, W], their mean, where a run kept it
    table   what it learned of columns (prepare/tabular), whose batches hold `numbers` and `categories`
    """

    image: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, Any] = field(default_factory=dict)
    mean: Tensor | None = None


class ClusterExplainer:
    """Explains to which of K centres samples are nearest.

    distances  (network, batch) -> [B, K]
    show       (samples, row) -> the sample as it is to be seen, without a word on it
    made       what parts samples have; without any, as of texts, only the nearest samples speak for a cluster
    centres    what can be shown of the centres
    """

    def __init__(
        self,
        distances: Callable[[nn.Module, Batch], Tensor],
        show: Callable[[Encoded, int], Sample],
        made: Made,
        centres: Centres,
    ) -> None:
        self._distances, self._show, self._centres = distances, show, centres
        self._places = column_places(made.table) if made.table else []
        self._originals = Pictures(made.image, made.mean) if made.image else None
        self.methods: dict[str, Method] = {
            "prototypes": Method("the samples nearest to each centre", "table", self._prototypes, is_default=True)
        }
        if centres.pictures is not None or centres.columns is not None:
            self.methods["centres"] = Method("the centres themselves", "network", self._shown_centres, is_default=True)
        if self._originals is not None:
            self.methods["occlusion"] = Method(
                "what the margin of a picture loses under a patch (Zeiler and Fergus 2014)",
                "samples",
                self._patches,
                is_default=True,
                reads=("baseline", "patch", "stride"),
            )
        if self._places:
            self.methods["permutation"] = Method(
                "how many rows change their cluster when a column is shuffled (Breiman 2001)",
                "table",
                self._permutation,
                is_default=True,
                reads=("repeats",),
            )
            self.methods["occlusion"] = Method(
                "what the margin of a row loses without a column (Robnik-Sikonja and Kononenko 2008)",
                "samples",
                self._columns,
                is_default=True,
                needs_reference=True,
                reads=("references",),
            )

    def worst(self, metrics: Any, number: int) -> list[int]:
        """The rows that are farthest from their centres."""
        rows, _, distances, _ = metrics.assigned()
        return rows[np.argsort(-distances, kind="stable")][:number].tolist()

    def samples(self, request: Request) -> list[tuple[Sample, dict[str, Any]]]:
        """The samples with their clusters."""
        class_index(request.options.of_class, ())  # there is none to be asked for
        distances = self._of_rows(request, request.rows)
        found = []
        for row, each in zip(request.rows.tolist(), distances, strict=True):
            near, order = each.sort(stable=True)
            answer, margin = f"cluster {int(order[0])}", float(near[1] - near[0])
            said = [answer, f"margin: {margin:.4g}", request.encoded.source(row)]
            told = {"distance": float(near[0]), "margin": margin, "most": f"margin {margin:.4g}"}
            sample = self._show(request.encoded, row)
            found.append((Sample(said, sample.png, sample.text), {"answer": answer, "nearness": told}))
        return found

    def _prototypes(self, request: Request) -> Explanation:
        found = Explanation()
        count = len(request.encoded)
        distances = self._of_rows(request, np.arange(count, dtype=np.int64), request.progress)
        near, own = distances.min(1)
        shown_samples = []
        for k in range(distances.shape[1]):
            members = torch.nonzero(own == k).squeeze(1)
            best = members[near[members].argsort(stable=True)[:NUM_NEAREST]].tolist()
            for row in best:
                sample = self._show(request.encoded, row)
                said = [f"cluster {k}", f"distance: {float(near[row]):.4g}", request.encoded.source(row)]
                shown_samples.append(Sample(said, sample.png, sample.text))
            nearest = [{"source": request.encoded.source(row), "distance": float(near[row])} for row in best]
            found.numbers[f"cluster {k}"] = {"samples": len(members), "nearest": nearest}
        note = f"The {NUM_NEAREST} of each cluster that are nearest to its centre, among {plural(count, 'sample')}."
        found.figures.append(Gallery("Prototypes", shown_samples, note=note))
        return found

    def _shown_centres(self, request: Request) -> Explanation:
        found = Explanation()
        if self._centres.pictures is not None:
            pictures = self._centres.pictures(request.model).detach().cpu()
            samples = [Sample([f"cluster {k}"], encode_png(shown(each * 255))) for k, each in enumerate(pictures)]
            found.figures.append(Gallery("Centres", samples, note="The mean picture of each cluster."))
            found.tensors["pictures"] = pictures
        if self._centres.columns is not None:
            names, values = self._centres.columns(request.model)
            rows: list[list[str | float | int]] = [
                [name, *values[:, place].tolist()] for place, name in enumerate(names)
            ]
            note = (
                "Numbers in deviations from the mean of the training rows; a category by the share of the cluster's "
                "rows that have it."
            )
            columns = ["column", *(f"cluster {k}" for k in range(len(values)))]
            found.figures.append(Rows("Centres", columns, rows, note=note))
            found.numbers = {
                f"cluster {k}": dict(zip(names, each, strict=True)) for k, each in enumerate(values.tolist())
            }
        return found

    def _patches(self, request: Request) -> Explanation:
        assert self._originals is not None
        originals, options, found = self._originals, request.options, Explanation()
        kind = originals.usual(options.baseline, "mean")
        patch = stride = 0
        for index, row in enumerate(request.rows.tolist()):
            picture = originals.originals(request.encoded, request.rows[index : index + 1]).to(request.device)
            patch, stride = patch_of(options, picture)

            def distances(x: Tensor) -> Tensor:
                return self._distances(request.model, _batch({PIXELS: originals.seen(x)}))

            own = int(distances(picture).argmin(1))
            result = attribution.occlusion(
                lambda x, own=own, distances=distances: _margins(distances(x), own)[:, None],
                picture[0],
                0,
                originals.empty(kind, picture)[0],
                patch=patch,
                stride=stride,
                batch_size=batch_size(picture),
            )
            values = result.drops.cpu()
            said = [f"occlusion of cluster {own}", f"margin from {result.whole:.4g} down to {result.lowest:.4g}"]
            found.panels[row] = [Sample(said, heat_png(picture[0], values, signed=True))]
            found.by_row[row] = {"margin": result.whole, "lowest": result.lowest, "peak": peak_of(values)}
            found.values[row] = {"": values}
            request.progress((index + 1) / len(request.rows))
        found.notes.append(
            f"Occlusion covers {patch}x{patch} pixels at a time, {plural(stride, 'pixel')} further each time, with "
            f"what is {originals.words(kind)}; orange is what keeps the picture in its cluster."
        )
        return found

    def _permutation(self, request: Request) -> Explanation:
        """The share of rows that are then nearest to another centre, by column."""
        options, count = request.options, len(request.encoded)
        if count < 2:
            raise Unfit("--method permutation: shuffling needs two rows or more.")
        drawn = rng.generator(options.seed, "permutation").permutation(count)[:MOST_SCORED]
        vectors = _rows_of(request.encoded)[torch.from_numpy(np.sort(drawn))]
        own = self._of_vectors(request, vectors).argmin(1)
        done = 0

        def score(rows: Tensor) -> Tensor:
            nonlocal done
            done += 1
            request.progress(min(1.0, done / (1 + len(self._places) * options.repeats)))
            return (self._of_vectors(request, rows).argmin(1) != own).double().mean()[None]

        def orders(group: int) -> list[Tensor]:
            name = self._places[group].name
            draws = (rng.generator(options.seed, "shuffle", name, k) for k in range(options.repeats))
            return [torch.from_numpy(draw.permutation(len(vectors))) for draw in draws]

        _, scores = permutation_importance(score, vectors, [place.inputs for place in self._places], orders)
        mean, deviation = scores[:, :, 0].mean(1), scores[:, :, 0].std(1)
        order = mean.argsort(descending=True, stable=True).tolist()
        names = [self._places[g].name for g in order]
        spread = [(float(mean[g] - deviation[g]), float(mean[g] + deviation[g])) for g in order]
        note = (
            f"The share of {plural(len(vectors), 'row')} that change their cluster when the column is shuffled among "
            f"them: mean of {options.repeats} shuffles, and one deviation either way."
        )
        values = [float(mean[g]) for g in order]
        found = Explanation(figures=[Bars("Permutation importance", names, values, "share that change", spread, note)])
        found.numbers = {
            "metric": "share_that_change",
            "rows": len(vectors),
            "repeats": options.repeats,
            "columns": {
                self._places[g].name: {"importance": float(mean[g]), "deviation": float(deviation[g])} for g in order
            },
        }
        found.notes.append(
            "Columns that tell the same share their importance: shuffling one leaves the other, so both may look small."
        )
        return found

    def _columns(self, request: Request) -> Explanation:
        assert request.reference is not None
        found, options = Explanation(), request.options
        references = _rows_of(request.reference)
        drawn = rng.generator(options.seed, "references").permutation(len(references))[: options.references]
        references = references[torch.from_numpy(np.sort(drawn))]
        vectors = _rows_of(request.encoded)
        for index, row in enumerate(request.rows.tolist()):
            distances = self._of_vectors(request, vectors[row][None])
            own = int(distances.argmin(1))
            whole = float(_margins(distances, own))
            drops = []
            for place in self._places:
                changed = vectors[row].repeat(len(references), 1)
                changed[:, list(place.inputs)] = references[:, list(place.inputs)]
                drops.append(whole - float(_margins(self._of_vectors(request, changed), own).mean()))
            order = sorted(range(len(drops)), key=lambda g: -abs(drops[g]))
            names, values = [self._places[g].name for g in order], [drops[g] for g in order]
            cells = request.encoded.table.slice(row, 1)
            said = [f"{name} = {cells.column(name)[0].as_py()}" for name in names]
            note = f"Its margin is {whole:.4g}; by column, what of it goes with the column."
            found.panels[row] = [Bars(f"Occlusion of cluster {own}", said, values, "margin lost", note=note)]
            found.by_row[row] = {"margin": whole, "columns": dict(zip(names, values, strict=True))}
            request.progress((index + 1) / len(request.rows))
        found.notes.append(
            f"Occlusion takes one column's cells from {plural(len(references), 'reference row')} and averages the "
            "margins; the drops need not add up."
        )
        return found

    def _of_rows(
        self, request: Request, rows: np.ndarray, progress: Callable[[float], None] = lambda part: None
    ) -> Tensor:
        """The distances of encoded rows, [n, K] on the CPU."""
        found, size = [], int(getattr(request.task, "evaluation_batch_size", 500))
        with torch.inference_mode():
            for start in range(0, len(rows), size):
                batch = request.task.batch(request.encoded, rows[start : start + size], None).to(request.device)
                found.append(self._distances(request.model, batch).cpu())
                progress(min(1.0, (start + size) / len(rows)))
        return torch.cat(found)

    def _of_vectors(self, request: Request, vectors: Tensor) -> Tensor:
        """The distances of rows of numbers and categories [n, F + G], [n, K] on the CPU."""
        width = vectors.shape[1] - sum(place.kind == "category" for place in self._places)
        found = []
        with torch.inference_mode():
            for part in vectors.split(ROWS_AT_ONCE):
                batch = _batch({NUMBERS: part[:, :width], CATEGORIES: part[:, width:].long()})
                found.append(self._distances(request.model, batch.to(request.device)).cpu())
        return torch.cat(found)


def _margins(distances: Tensor, own: int) -> Tensor:
    """The distance to the nearest other centre less that to the centre `own`: [B, K] to [B]."""
    others = torch.cat([distances[:, :own], distances[:, own + 1 :]], dim=1)
    return others.amin(1) - distances[:, own]


def _rows_of(encoded: Encoded) -> Tensor:
    """[N, F + G] float32 on the CPU: the numbers, then the categories."""
    return torch.cat([encoded.tensors[NUMBERS], encoded.tensors[CATEGORIES].float()], dim=1).cpu()


def _batch(tensors: Mapping[str, Tensor]) -> Batch:
    count = len(next(iter(tensors.values())))
    return Batch(tensors, count, np.zeros(count, np.int64))
