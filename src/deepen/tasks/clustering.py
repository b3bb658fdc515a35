"""Groups of like samples without labels: pictures, rows of a table, or the features that a run has learned.

A run of any task whose network makes a vector of a sample brings its own readers and its own preparation. Its network
and what it learned of preparing are kept inside the clustering, which then answers without that run.
Labels, where there are any, train nothing: they are compared with the clusters.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.bundle.load import load_header, load_prepare
from deepen.compress import changes
from deepen.core import names, options, rng
from deepen.core.errors import DataError, OptionError
from deepen.core.faults import Fault
from deepen.core.figures import Bars, Curves, Figure, Gallery, Matrix, Points, Sample
from deepen.core.units import plural
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset, Schema
from deepen.data.target import mark_target, target_of
from deepen.engine import run_samples
from deepen.engine.evaluate import rows_at_once
from deepen.engine.feature_graph import FeatureGraph
from deepen.engine.features import features_of
from deepen.engine.task import Asks, Exported, Tiny
from deepen.explain.clusters import Centres, ClusterExplainer, Made
from deepen.metrics.clusters import Clusters, contingency, silhouette
from deepen.nn.shapes import TableShape
from deepen.ops.lloyd import best_partition
from deepen.ops.losses import Loss, weighted_sum
from deepen.ops.projection import neighbour_map, principal_map
from deepen.prepare import image, labels, tabular, vectors
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.fields import Field, of_columns, of_images, of_table
from deepen.prepare.tabular import ColumnOptions
from deepen.prepare.vector_graph import BesideVectors, vector_graph
from deepen.runtime.answer_clusters import ClusterAnswer
from deepen.runtime.answer_features import NO_LABEL

CONTRACT = "vector clusterer"
COLUMNS = ColumnOptions()
OF_PICTURES, OF_TABLES = ("image_size", "resize"), ("columns.",)  # options that only these read
MOST_LABELS = 1_000
TRUTH = "label_number"
ROWS_COMPARED = 2_000  # on which the number of clusters is chosen
STARTS_COMPARED = 4
MOST_MAPPED, FEWEST_MAPPED = 1_000, 10
MOST_GROUPS = 18  # as many marks as a scatter has
NUM_TYPICAL = 5  # as many as stand side by side on the page
MOST_SHOWN = 400  # characters of a text in the report
MOST_GALLERY = 12  # clusters whose typical samples are shown


@dataclass(frozen=True)
class Options:
    """Samples in, clusters out."""

    model: str = field(default="k-means", metadata={"help": "the method; `deepen list` names them"})
    clusters: int | None = field(
        default=None, metadata={"help": "how many; default: the number with the best silhouette", "least": 2}
    )
    max_clusters: int = field(default=12, metadata={"help": "the largest number tried where none is given", "least": 2})
    features: str = field(
        default="",
        metadata={"help": "the run whose features are clustered; default: pixels, or the columns of a table"},
    )
    columns: ColumnOptions = COLUMNS
    image_size: int | None = field(
        default=None, metadata={"help": "side of the square that images are brought to; default: by a rule", "least": 4}
    )
    resize: Literal["crop", "stretch", "pad"] = field(
        default="crop", metadata={"help": "how images of another shape are brought to it"}
    )


def schema(options: Options) -> Schema:
    """Reads pictures in every layout, labelled or not, and any table; with a run whatever that run reads."""
    if options.features:
        module, own, _ = _of_run(load_header(Path(options.features)), Path(options.features))
        return run_samples.without_target(module.schema(own))
    readers = ("digits", "mnist_idx", "cifar_binary", "npz", "image_manifest", "image_folder", "table_file")
    return Schema(readers=readers, inputs=(), target="", needs_target=False)


def unread(options: Options) -> dict[str, str]:
    """The search for a number of clusters that is given, and how samples are read, where a run reads them."""
    found = {}
    if options.clusters is not None:
        found["max_clusters"] = f"with a given number of clusters ({options.clusters})"
    if options.features:
        found |= dict.fromkeys((*OF_PICTURES, *OF_TABLES), "on the features of a run")
    return found


def unread_of_data(options: Options, state: Mapping[str, Any]) -> dict[str, str]:
    """How tables are read where there are pictures, and the other way round."""
    kind = state["inputs"]["kind"]
    if kind == "images":
        return dict.fromkeys(OF_TABLES, "on pictures")
    return dict.fromkeys(OF_PICTURES, "on rows of a table") if kind == "table" else {}


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """How a sample becomes a vector, how many clusters there are, and label names if there are any.

    Raises RunError or DataError where the run is no run or takes other data, and OptionError for more clusters than
    samples.
    """
    of_run = _run_state(options, table) if options.features else {}
    task = _inner_task(of_run) if of_run else None
    inputs = of_run or vectors.learn(
        table, target_of(table), vectors.ImageRules(options.image_size, options.resize), options.columns, faults
    )
    column = _label_column(table, _reads(task))
    known = len({str(text) for text in table.column(column).to_pylist() if text is not None}) if column else 0
    state: dict[str, Any] = {
        "inputs": inputs,
        "label_column": column,
        "labels": labels.learn(table, column, faults=faults, given=dataset.labels) if 1 < known <= MOST_LABELS else [],
        "clusters": options.clusters or 0,
        "silhouettes": {},
    }
    if any(fault.level == "error" for fault in faults):
        return state | {"clusters": options.clusters or 2, "width": int(inputs.get("width", 1))}
    sample = _vectors_of_some(options, state, table)
    state["width"] = sample.shape[1]
    if options.clusters is None:
        found = _silhouettes(sample, options.max_clusters)
        best = max(found, key=lambda count: (found[count], -count))
        state |= {"clusters": best, "silhouettes": {str(count): value for count, value in found.items()}}
        chosen = f"{plural(best, 'cluster')} chosen by silhouette ({found[best]:.3f} of at most 1)"
        faults.append(Fault("note", "clusters-chosen", "", f"{chosen}; --clusters N sets another number."))
    if state["clusters"] > table.num_rows:
        raise OptionError(
            f"--clusters {state['clusters']}: there are only {table.num_rows} training samples; expected at most that."
        )
    return state


class Task:
    """Clustering with what it learned from the training table."""

    objective = ("mean_squared_distance", "min")
    instead_of_features = "is a clustering itself"

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.state, self.network = options, state, network
        self.labels: list[str] = list(state["labels"])
        self.num_clusters = int(state["clusters"])
        self._inputs: dict[str, Any] = state["inputs"]
        self._inner = _inner_task(self._inputs) if self._inputs["kind"] == "run" else None
        if self._inner is not None:
            self.evaluation_batch_size = rows_at_once(self._inner)
        self._training: Encoded | None = None

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """What the vectors are made from, and label numbers, -1 where there is none. The training rows are kept for
        `build`."""
        if self._inner is not None:
            found: list[Fault] = []
            try:
                encoded = self._inner.encode(run_samples.with_numbers(table), "predict", found)
            finally:
                faults.extend(run_samples.known(found, split))
            encoded, kept = run_samples.numbered(encoded, table)
        else:
            encoded, kept = vectors.encode(table, self._inputs, split, faults)
        truth = torch.full((table.num_rows,), NO_LABEL)
        if self.labels and split != "predict" and self.state["label_column"] in table.column_names:
            numbers, rows = labels.encode(table, self.state["label_column"], self.labels, split, [])
            truth[torch.from_numpy(rows)] = numbers
        tensors = {**encoded.tensors, TRUTH: truth[torch.from_numpy(kept)]}
        encoded = replace(encoded, tensors=tensors)
        if split == "train":
            self.start_from(encoded)
        return encoded

    def start_from(self, encoded: Encoded) -> None:
        """Takes the training rows that `build` starts from."""
        self._training = encoded

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """What vectors are made of, or what the run's network takes; label numbers [B]. Nothing is random."""
        if self._inner is not None:
            made = self._inner.batch(encoded, rows, None).tensors
        else:
            made = vectors.inputs_of(encoded, self._inputs, rows)
        index = torch.from_numpy(rows).to(encoded.device)
        beside = {name: encoded.tensors[name] for name in (TRUTH, "weight") if name in encoded.tensors}
        taken = {name: tensor.index_select(0, index) for name, tensor in beside.items()}
        return Batch({**made, **taken}, len(rows), rows)

    def build(self) -> nn.Module:
        """The clusters, which start from the training rows, behind the run's network where there is one."""
        named = names.model(self.options.model, CONTRACT)
        module = importlib.import_module(named.module)
        shape = TableShape(self.state["width"])
        clusters = module.build(named.name, shape, self.num_clusters, self.network or module.Options())
        model = Clustering(clusters, self._inner.build() if self._inner is not None else None)
        if self._training is not None:
            if model.extractor is not None:
                run_samples.load_extractor(model.extractor, Path(self.options.features))
            start: Callable[[Iterator[Tensor], int, Tensor | None], None] | None = getattr(clusters, "start", None)
            if start is not None:
                weights = self._training.tensors.get("weight")
                start(self._all_vectors(model, self._training), torch.initial_seed(), weights)
        return model

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The clusters' own loss, each row's by its `weight` where there are any."""
        losses = model.clusters.loss(self.vectors(model, batch))  # type: ignore[union-attr, operator]
        return Loss(weighted_sum(losses, batch.tensors.get("weight")))

    def metrics(self) -> Clusters:
        """Distances, silhouette, and agreement with labels."""
        return Clusters(self.num_clusters)

    def score(self, model: nn.Module, batch: Batch, metrics: Clusters) -> None:
        """Adds a batch's distances to the centres."""
        found = self.vectors(model, batch)
        metrics.add(model.clusters(found), batch[TRUTH], found, batch.rows)  # type: ignore[operator]

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[ClusterAnswer]:
        """The nearest and the second nearest cluster of each sample."""
        squares, order = model.clusters(self.vectors(model, batch)).sort(dim=1, stable=True)  # type: ignore[operator]
        distances, order = squares.clamp(min=0).sqrt()[:, :2].tolist(), order[:, :2].tolist()
        return [
            ClusterAnswer(source, first, near, second, far)
            for source, (first, second), (near, far) in zip(sources, order, distances, strict=True)
        ]

    def fields(self) -> list[Field]:
        """A picture, the columns that were learned from, or what the run whose features are clustered asks for."""
        if self._inner is None:
            of_pictures = self._inputs["kind"] == "images"
            return of_images(self._inputs["image"]) if of_pictures else of_table(self._inputs["table"])
        if isinstance(self._inner, Asks):
            return self._inner.fields()
        return of_columns(self.own_schema().inputs, self.own_schema().readers)

    def own_schema(self) -> Schema:
        """That of the run whose features are clustered, without its folder."""
        return schema(replace(self.options, features="")) if self._inner is None else _schema_of(self._inner)

    def exported(self, model: nn.Module) -> Exported:
        """Squared distances to the centres and the vectors that they are of, from what a sample is prepared to."""
        most: Mapping[str, int] = {}
        if self._inner is None:
            made, inputs, preparation = vector_graph(self._inputs)
            free: Mapping[str, Mapping[int, str]] = {name: {0: "batch"} for name in inputs}
        else:
            made = FeatureGraph(self._inner, model.extractor, place=self.options.features)  # type: ignore[arg-type]
            inputs, free, most = made.inputs, made.free, made.most
            preparation = {"kind": "of_run", "of": made.preparation}
        known = {"clusters": self.num_clusters, "labels": self.labels, "label_column": self.state["label_column"] or ""}
        return Exported(
            network=BesideVectors(made, model.clusters).eval(),  # type: ignore[arg-type]
            inputs=inputs,
            free=free,
            preparation=preparation,
            answer={"kind": "clusters", **known},
            outputs=self._columns,
            most=most,
        )

    def _columns(self, model: nn.Module, batch: Batch) -> Tensor:
        """What an exported graph gives, [B, K + D]."""
        found = self.vectors(model, batch)
        return torch.cat([model.clusters(found), found], dim=1)  # type: ignore[operator]

    def figures(self, metrics: Clusters, encoded: Encoded) -> list[Figure]:
        """Sizes, agreement with labels, maps, typical samples, and how the number was chosen."""
        if not metrics.result():
            return []
        found: list[Figure] = [self._sizes(metrics), *self._against_labels(metrics), *_maps(metrics)]
        if self.state["silhouettes"]:
            line = [(float(count), float(value)) for count, value in self.state["silhouettes"].items()]
            note = f"On up to {ROWS_COMPARED:,} training samples."
            found.append(Curves("Silhouette by number of clusters", "clusters", "silhouette", {"": line}, note=note))
        return [*found, self._typical(metrics, encoded)]

    def vectors(self, model: nn.Module, batch: Batch) -> Tensor:
        """The vectors that are clustered, [B, D] float."""
        if self._inner is None:
            return vectors.of_inputs(batch.tensors, self._inputs)
        with torch.no_grad():
            return features_of(self._inner, model.extractor, batch)  # type: ignore[arg-type]

    def features(self, model: nn.Module, batch: Batch) -> Tensor:
        """The distances to the centres, [B, K]."""
        return model.clusters(self.vectors(model, batch)).clamp(min=0).sqrt()  # type: ignore[operator]

    def explainer(self) -> ClusterExplainer:
        """Explains what makes a cluster, and what keeps a sample in its own, as far as samples have parts."""
        if self._inner is None:
            made = Made(image=self._inputs.get("image", {}), table=self._inputs.get("table", {}))
        else:
            prepared = self._inputs["prepare"]
            pictures, mean = prepared.get("image", {}), prepared.get("mean_image")
            if mean is not None:
                mean = torch.tensor(mean, dtype=torch.float32).view(pictures["channels"], *pictures["size"])
            made = Made(pictures, prepared if _reads(self._inner) == run_samples.TABLES else {}, mean)
        return ClusterExplainer(self.features, self._sample, made, self._centres())

    def _centres(self) -> Centres:
        """What can be shown of centres among what is prepared here: pictures, or values of columns."""
        if self._inner is not None:
            return Centres()
        if self._inputs["kind"] == "images":
            state = self._inputs["image"]
            shape = (-1, state["channels"], *state["size"])
            mean, deviation = (torch.tensor(state[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
            return Centres(pictures=lambda model: _centres_of(model).view(shape) * deviation + mean)
        return Centres(
            columns=lambda model: (
                vectors.place_names(self._inputs),
                vectors.place_values(_centres_of(model), self._inputs),
            )
        )

    def _sample(self, encoded: Encoded, row: int) -> Sample:
        return Sample([], png=self._picture(encoded, row), text=self._words(encoded, row))

    def _all_vectors(self, model: nn.Module, encoded: Encoded) -> Iterator[Tensor]:
        size = rows_at_once(cast(Any, self))
        for start in range(0, len(encoded), size):
            rows = np.arange(start, min(start + size, len(encoded)), dtype=np.int64)
            yield self.vectors(model.eval(), self.batch(encoded, rows, None))

    def _sizes(self, metrics: Clusters) -> Bars:
        _, clusters, _, _ = metrics.assigned()
        counts = np.bincount(clusters, minlength=self.num_clusters)
        return Bars("Samples by cluster", [str(k) for k in range(len(counts))], [float(n) for n in counts], "samples")

    def _against_labels(self, metrics: Clusters) -> list[Figure]:
        _, clusters, _, numbers = metrics.assigned()
        known = numbers >= 0
        if not known.any():
            return []
        used = np.unique(numbers[known])
        table = contingency(clusters[known], numbers[known])
        rows = [str(k) for k in np.unique(clusters[known])]
        columns = [self.labels[int(k)] for k in used]
        title, note = "Clusters and labels", "Labels were not used to find the clusters."
        return [Matrix(title, rows, columns, table.astype(float).tolist(), "cluster", "label", note=note)]

    def _typical(self, metrics: Clusters, encoded: Encoded) -> Gallery:
        rows, clusters, distances, _ = metrics.assigned()
        samples = []
        for k in np.unique(clusters)[:MOST_GALLERY]:
            own = np.flatnonzero(clusters == k)
            for at in own[np.argsort(distances[own], kind="stable")][:NUM_TYPICAL]:
                row = int(rows[at])
                samples.append(replace(self._sample(encoded, row), caption=[f"cluster {k}", encoded.source(row)]))
        more = f" The first {MOST_GALLERY} clusters." if self.num_clusters > MOST_GALLERY else ""
        return Gallery("Typical samples", samples, note=f"Those nearest to the centre of each cluster.{more}")

    def _picture(self, encoded: Encoded, row: int) -> bytes:
        if "image" not in encoded.table.column_names or target_of(encoded.table):
            return b""
        state = self._inputs.get("image") or self._inputs.get("prepare", {}).get("image")
        if not state:
            return b""
        return image.encode_png(image.pixels_at(encoded, np.array([row]), state)[0])

    def _words(self, encoded: Encoded, row: int) -> str:
        if vectors.is_of_images(encoded.table, target_of(encoded.table)):
            return ""
        cells = encoded.table.slice(row, 1).to_pylist()[0]
        shown = {name: _shown(cell) for name, cell in cells.items() if name not in tabular.OURS}
        return (
            shown["text"] if list(shown) == ["text"] else "\n".join(f"{name}: {cell}" for name, cell in shown.items())
        )


def _centres_of(model: nn.Module) -> Tensor:
    """[K, D] on the CPU."""
    return model.clusters.centres.detach().cpu()  # type: ignore[union-attr, return-value]


class Clustering(nn.Module):
    """Clusters, behind the network of a run where its features are clustered; that one is never trained."""

    def __init__(self, clusters: nn.Module, extractor: nn.Module | None) -> None:
        super().__init__()
        self.clusters = clusters
        self.extractor = extractor.requires_grad_(False).eval() if extractor is not None else None

    def train(self, mode: bool = True) -> Clustering:
        """The clusters alone change their mode."""
        super().train(mode)
        if self.extractor is not None:
            self.extractor.eval()
        return self

    def forward(self, vectors: Tensor) -> Tensor:
        return self.clusters(vectors)


def _label_column(table: pa.Table, reads: str) -> str:
    """The column of labels: of a user's table its target, of anything else `label`; "" where there is none.

    reads  what the run takes whose features are clustered, "" where there is none
    """
    is_table = reads == run_samples.TABLES if reads else not vectors.is_of_images(table, target_of(table))
    return target_of(table) if is_table else "label" if "label" in table.column_names else ""


def _run_state(chosen: Options, table: pa.Table) -> dict[str, Any]:
    """All that a clustering must remember of the run whose features it clusters, but its weights.

    Raises DataError where the samples are not such as the run takes.
    """
    folder = Path(chosen.features)
    header = load_header(folder)
    module, own, _ = _of_run(header, folder)
    inputs = module.schema(own).inputs
    if run_samples.is_other(table, inputs):
        taken, given = run_samples.kind(inputs), run_samples.kind_of(table)
        raise DataError(f"--features {folder}: this run takes {taken}, but these data are {given}; name another run.")
    state = {"kind": "run", "task": header["task"], "options": header["options"], "prepare": load_prepare(folder)}
    return state | ({changes.FIELD: found} if (found := changes.of_header(header)) else {})


def _of_run(header: Mapping[str, Any], folder: Path) -> tuple[Any, Any, Any]:
    """A run's task as a module, its options, and those of its network.

    Raises OptionError for a task whose networks make no features of samples.
    """
    module = importlib.import_module(names.task(str(header["task"])).module)
    instead = getattr(module.Task, "instead_of_features", "")
    if instead:
        fitting = [name for name, each in names.tasks().items() if not _makes_none(each)]
        raise OptionError(
            f"--features {folder}: {instead}; expected a run of {', '.join(fitting[:-1])} or {fitting[-1]}."
        )
    flat: dict[str, Any] = header["options"]
    own = _built(module.Options, flat)
    network = importlib.import_module(names.model(own.model, module.CONTRACT).module)
    of_network = {name.removeprefix("network."): value for name, value in flat.items() if name.startswith("network.")}
    return module, own, _built(network.Options, of_network)


def _makes_none(task: names.Named) -> bool:
    return bool(getattr(importlib.import_module(task.module).Task, "instead_of_features", ""))


def _inner_task(inputs: dict[str, Any]) -> Any:
    """The task of the run whose features are clustered, as it was."""
    module, own, network = _of_run(inputs, Path())
    return changes.with_changes(module.Task(own, inputs["prepare"], network), inputs.get(changes.FIELD, []))


def _schema_of(inner: Any) -> Schema:
    """How the samples of a run are read to be clustered."""
    return run_samples.without_target(importlib.import_module(type(inner).__module__).schema(inner.options))


def _reads(inner: Any) -> str:
    """What the run takes whose features are clustered, "" where there is none."""
    return run_samples.kind(_schema_of(inner).inputs) if inner is not None else ""


def _shown(cell: Any) -> str:
    """A cell in the report, the beginning of a long one."""
    text = " ".join(map(str, cell)) if isinstance(cell, list) else str(cell)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ..."


def _built(group: type, flat: dict[str, Any]) -> Any:
    fields = options.fields_of(group)
    return options.build(group, options.resolve(fields, {name: flat[name] for name in fields if name in flat}))


def _vectors_of_some(given: Options, state: dict[str, Any], table: pa.Table) -> Tensor:
    """The vectors of up to 2,000 training rows (they are in the order of a hash), [n, D] float64."""
    rows = table.slice(0, ROWS_COMPARED if given.clusters is None else 2)
    task = Task(given, {**state, "clusters": 2, "width": 1})
    encoded = task.encode(rows, "predict", [])
    if len(encoded) == 0:
        raise DataError("expected samples to cluster, but none of the first training samples is usable.")
    extractor = task._inner.build() if task._inner is not None else None
    if extractor is not None:
        run_samples.load_extractor(extractor, Path(given.features))
    model = Clustering(nn.Identity(), extractor)
    return torch.cat(list(task._all_vectors(model, encoded))).double()


def _silhouettes(sample: Tensor, most: int) -> dict[int, float]:
    """The silhouette of k-means with 2, 3, ... clusters, by the number."""
    distinct = len(torch.unique(sample, dim=0))
    if distinct < 3:
        raise DataError(
            f"expected at least 3 samples that differ to choose a number of clusters, but there are {distinct}."
        )
    draw = rng.generator(0, "number of clusters")
    found = {}
    for count in range(2, min(most, distinct - 1) + 1):
        groups = best_partition(sample, count, draw, starts=STARTS_COMPARED).groups.numpy()
        found[count] = silhouette(sample.numpy(), groups)
    return found


def _maps(metrics: Clusters) -> list[Figure]:
    _, clusters, found = metrics.first()
    clusters, found = clusters[:MOST_MAPPED], found[:MOST_MAPPED]
    if len(found) < FEWEST_MAPPED or not np.isfinite(found).all():
        return []
    groups = [f"cluster {k}" for k in clusters.tolist()] if len(np.unique(clusters)) <= MOST_GROUPS else []
    plane = torch.from_numpy(found)
    note = f"{len(found):,} samples{', marked by their cluster' if groups else ''}."
    far = f"{note} Near neighbours stay near; distances between far groups mean little."
    return [
        _map("Map of the clusters: principal components", principal_map(plane), groups, note),
        _map("Map of the clusters: t-SNE", neighbour_map(plane), groups, far),
    ]


def _map(title: str, places: np.ndarray, groups: list[str], note: str) -> Points:
    points = [(float(a), float(b)) for a, b in places]
    return Points(title, "first", "second", points, note=note, groups=groups)


def _tiny(seed: int) -> Dataset:
    """Three kinds of leaf by length, width and edge, with their kind as the label."""
    draw = rng.generator(seed, "tiny leaves")
    count = 300
    kind = draw.integers(0, 3, count)
    length = np.array([4.0, 7.0, 9.5])[kind] + draw.normal(0, 0.5, count)
    width = np.array([3.0, 1.0, 4.0])[kind] + draw.normal(0, 0.3, count)
    columns = {
        "length": [f"{value:.2f}" for value in length],
        "width": [f"{value:.2f}" for value in width],
        "edge": [("smooth", "toothed")[int(each == 1)] for each in kind],
        "kind": [("lilac", "willow", "lime")[each] for each in kind],
    }
    table = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    table = with_origin(table, [f"tiny.csv, row {row + 2}" for row in range(count)])
    return Dataset("tiny", f"made up: {count} rows, 3 kinds", {"all": mark_target(table, "kind")})


TINY = Tiny(
    options={
        "clusters": 3,
        "network.start": "k-means++",
        "optimizer.learning_rate": 0.05,
        "epochs": 12,
        "batch_size": 16,
    },
    make=_tiny,
    metric="adjusted_rand_index",
    beats=0.9,
)
