"""Features of pictures without labels: a short code from which each picture can be given back.

Labels, where the layout has any, train nothing: they colour the maps of the report, and a probe says how much the code
knows of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.core import names, rng
from deepen.core.errors import OptionError
from deepen.core.faults import Fault
from deepen.core.figures import Figure, Gallery, Points, Rows, Sample
from deepen.data.dataset import Dataset, Schema, content_key
from deepen.engine.task import Exported, Tiny
from deepen.explain.reconstructions import ReconstructionExplainer
from deepen.metrics.reconstruction import Reconstruction
from deepen.nn.contracts import CONTRACTS
from deepen.nn.shapes import ImageShape
from deepen.ops.corruption import corrupted
from deepen.ops.losses import Loss, weighted_sum
from deepen.ops.projection import neighbour_map, principal_components, principal_map, total_variance
from deepen.prepare import coded_graph, image, image_graph, labels
from deepen.prepare.coded_graph import squared
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.fields import Field, of_images
from deepen.runtime.answer_features import NO_LABEL, NOISE_USE, FeatureAnswer

CONTRACT = "image autoencoder"
MOST_LABELS = 1_000
IMAGES_MEASURED = 2_048
BATCH_SIZE = 500
NUM_SHOWN, NUM_WORST, NUM_SAMPLES, NUM_WAYS, WAY_SIDE = 12, 6, 18, 6, 3
MOST_MAPPED = 1_000  # t-SNE takes seconds for so many, and minutes for ten times as many
FEWEST_MAPPED = 10
MOST_GROUPS = 18  # as many marks as a scatter has
GAP = 1  # pixels between pictures side by side
TINY_SIDE = 7


@dataclass(frozen=True)
class Options:
    """Pictures in, features out."""

    model: str = field(default="autoencoder", metadata={"help": "the network; `deepen list` names them"})
    code_size: int = field(default=32, metadata={"help": "how many features a picture gets", "least": 1})
    noise: Literal["none", "gaussian", "masking", "salt-and-pepper"] = field(
        default="none", metadata={"help": "what is done in training to the pictures that go in; the target stays clean"}
    )
    noise_level: float = field(
        default=0.25,
        metadata={
            "help": "deviation of the noise (pixels count from 0 to 1), or share of pixels changed",
            "least": 0.0,
        },
    )
    image_size: int | None = field(
        default=None, metadata={"help": "side of the square that images are brought to; default: by a rule", "least": 4}
    )
    resize: Literal["crop", "stretch", "pad"] = field(
        default="crop", metadata={"help": "how images of another shape are brought to it"}
    )
    max_megapixels: float = field(
        default=64.0, metadata={"help": "larger images are refused before they are decoded", "above": 0.0}
    )

    def __post_init__(self) -> None:
        """Raises OptionError for a share of pixels above 1."""
        if self.noise in ("masking", "salt-and-pepper") and self.noise_level > 1:
            raise OptionError(
                f"--noise-level {self.noise_level:g}: with --noise {self.noise} it is a share of the pixels; "
                "expected at most 1."
            )


def schema(options: Options) -> Schema:
    """Reads every layout of pictures, labelled or not."""
    readers = ("digits", "mnist_idx", "cifar_binary", "npz", "image_manifest", "image_folder")
    return Schema(readers=readers, inputs=("image",), target="", needs_target=False)


def unread(options: Options) -> dict[str, str]:
    """The level of a noise that there is not."""
    return {"noise_level": "without noise"} if options.noise == "none" else {}


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """Image size and channels, the mean image, how far the principal components get, and label names if any."""
    max_pixels = int(options.max_megapixels * 1e6)
    state = image.learn(
        table, faults=faults, image_size=options.image_size, resize=options.resize, max_pixels=max_pixels
    )
    state |= {"mean": [0.0] * state["channels"], "std": [1.0] * state["channels"]}  # pixels count from 0 to 1
    pixels, _ = image.some_pixels(table, state, IMAGES_MEASURED, max_pixels=max_pixels)
    flat = image.normalized(pixels, state).flatten(1)
    mean, _, variances = principal_components([flat], options.code_size)
    return {
        "image": state,
        "labels": labels_in(table, dataset, faults),
        "mean_image": [round(value, 6) for value in mean.tolist()],
        "linear_variance_explained": float(variances.sum()) / max(total_variance([flat]), 1e-12),
    }


def labels_in(table: pa.Table, dataset: Dataset, faults: list[Fault]) -> list[str]:
    """The class names of the training table, if it has two to a thousand; else none."""
    known = len({text for text in table.column("label").to_pylist() if text}) if "label" in table.column_names else 0
    return labels.learn(table, "label", faults=faults, given=dataset.labels) if 1 < known <= MOST_LABELS else []


class Task:
    """Representation learning with what it learned from the training table."""

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.network = options, network
        self.labels: list[str] = list(state["labels"])
        self.image: dict[str, Any] = state["image"]
        self.mean_image = torch.tensor(state["mean_image"], dtype=torch.float32)
        self._linear = float(state["linear_variance_explained"])
        self._module = importlib.import_module(names.model(options.model, CONTRACT).module)
        self.objective: tuple[str, str] = self._module.OBJECTIVE
        if options.noise != "none" and self.objective[0] == "mean_squared_error":
            self.objective = ("denoising_error", "min")
        self._training: Encoded | None = None

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """Pixels as uint8, and labels as numbers, -1 where there is none. The training rows are kept for `build`."""
        images = image.encode(table, self.image, split, faults, max_pixels=int(self.options.max_megapixels * 1e6))
        label = torch.full((table.num_rows,), NO_LABEL)
        if self.labels and "label" in table.column_names:
            numbers, rows = labels.encode(table, "label", self.labels, split, [])
            label[torch.from_numpy(rows)] = numbers
        tensors = {"label": label[torch.from_numpy(images.kept)]}
        if images.pixels is not None:
            tensors["pixels"] = images.pixels
        if len(images.kept) < table.num_rows:
            table = table.take(pa.array(images.kept))
        encoded = Encoded(tensors, table, is_whole=images.pixels is not None)
        if split == "train":
            self.start_from(encoded)
        return encoded

    def start_from(self, encoded: Encoded) -> None:
        """Takes the training rows that `build` starts from."""
        self._training = encoded

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Pixels [B, C, H, W] in 0 to 1, labels [B], and `noisy` pixels where noise is asked for.

        Without `draws` the noise of a row is always the same, so that the error under noise repeats.
        """
        tensors = encoded.take(rows)
        pixels = tensors.pop("pixels", None)
        if pixels is None:
            pixels = image.pixels_of(encoded.table.column("image"), rows, self.image).to(encoded.device)
        tensors["pixels"] = image.normalized(pixels, self.image)
        if self.options.noise != "none":
            seed, epoch = (draws.seed, draws.epoch) if draws is not None else (0, 0)
            use = "noise" if draws is not None else NOISE_USE
            numbers = rng.uniform(seed, epoch, rows, len(self.mean_image), use)
            uniform = torch.from_numpy(numbers).to(encoded.device)
            tensors["noisy"] = corrupted(tensors["pixels"], self.options.noise, self.options.noise_level, uniform)
        return Batch(tensors, len(rows), rows)

    def build(self) -> nn.Module:
        """The network for these images; one that starts from data (principal components) gets the training images.

        Raises ShapeError if they are too small for it.
        """
        options = self.network or self._module.Options()
        model = self._module.build(self.options.model, self._shape, self.options.code_size, options)
        start: Callable[[Iterator[Tensor], Tensor | None], None] | None = getattr(model, "start", None)
        if start is not None and self._training is not None:
            start(self._all_pixels(self._training), self._training.tensors.get("weight"))
        return model

    def sample(self) -> list[Tensor]:
        """A picture [1, C, H, W] of zeros."""
        return CONTRACTS[CONTRACT].sample(self._shape)

    @property
    def _shape(self) -> ImageShape:
        height, width = self.image["size"]
        return ImageShape(self.image["channels"], height, width)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The network's own loss of giving back the clean pictures, each by its `weight` where there are any."""
        pixels = batch["pixels"]
        return Loss(weighted_sum(model(batch.tensors.get("noisy", pixels), pixels).loss, batch.tensors.get("weight")))

    def metrics(self) -> Reconstruction:
        """Errors, the bound where the network has one, and probes."""
        further = ["denoised"] if self.options.noise != "none" else []
        return Reconstruction(*further, *(["bounds", "divergences"] if self._module.OBJECTIVE[0] == "elbo" else []))

    def score(self, model: nn.Module, batch: Batch, metrics: Reconstruction) -> None:
        """Adds a batch's errors and codes."""
        pixels = batch["pixels"]
        decoded, codes, _ = model(pixels)
        entries = {
            "errors": squared(decoded - pixels),
            "variations": squared(pixels.flatten(1) - self.mean_image.to(pixels.device)),
            "labels": batch["label"],
        }
        if "noisy" in batch.tensors:
            entries["denoised"] = squared(model(batch["noisy"]).images - pixels)
        if hasattr(model, "bound"):
            entries["bounds"], entries["divergences"] = model.bound(pixels)  # type: ignore[operator]
        metrics.model = model
        metrics.add(entries, codes, batch.rows)

    def features(self, model: nn.Module, batch: Batch) -> Tensor:
        """The codes [B, D]."""
        return model.encode(batch["pixels"])  # type: ignore[operator]

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[FeatureAnswer]:
        """The code of each picture, and how well it can be decoded."""
        decoded, codes, _ = model(batch["pixels"])
        errors = squared(decoded - batch["pixels"]).tolist()
        rows = zip(sources, codes.float().tolist(), errors, strict=True)
        return [FeatureAnswer(source, tuple(code), error) for source, code, error in rows]

    def fields(self) -> list[Field]:
        """A picture."""
        return of_images(self.image)

    def explainer(self) -> ReconstructionExplainer:
        """Explains what of a picture is given back, and what the network looks for."""
        shape = (self.image["channels"], *self.image["size"])
        return ReconstructionExplainer(
            self.image, self.mean_image.view(shape), lambda model, pixels: model(pixels).images, tuple(self.labels)
        )

    def exported(self, model: nn.Module) -> Exported:
        """Features, errors, and terms of the bound where there is one, from decoded pixels of the learned size."""
        has_noise = self.options.noise != "none"
        draws: Any = model.bound_draws() if hasattr(model, "bound") else np.zeros((0, 0))  # type: ignore[operator]
        zeros = coded_graph.zeros_of(self.image, has_noise=has_noise, draws=draws.shape[1])
        inputs = image_graph.examples(self.image)
        inputs |= {name: torch.zeros(2, *shape) for name, shape in zeros.items()}
        noise = {"kind": self.options.noise, "level": self.options.noise_level} if has_noise else None
        answer = {"size": self.options.code_size, "labels": self.labels, "noise": noise, "draws": draws.tolist()}
        preparation = {
            "image": image_graph.without_normalization(self.image),
            "max_pixels": int(self.options.max_megapixels * 1e6),
            "zeros": zeros,
        }
        return Exported(
            network=coded_graph.CodedGraph(model, self.image, self.mean_image, has_noise=has_noise).eval(),
            inputs=inputs,
            free={name: {0: "batch"} for name in inputs},
            preparation={"kind": "coded_image", **preparation},
            answer={"kind": "features", **answer},
            outputs=self._columns,
        )

    def _columns(self, model: nn.Module, batch: Batch) -> Tensor:
        """What an exported graph gives, of clean pictures and without a draw."""
        pixels = batch["pixels"]
        draws = pixels.new_zeros(len(pixels), self.options.code_size) if hasattr(model, "bound") else None
        return coded_graph.outputs_of(model, pixels, pixels, self.mean_image, draws)

    def figures(self, metrics: Reconstruction, encoded: Encoded) -> list[Figure]:
        """Beside the principal components, originals with reconstructions, maps, samples and interpolations."""
        if not metrics.result():
            return []
        shown = [self._against_linear(metrics), *self._reconstructions(metrics, encoded), *self._maps(metrics)]
        with torch.inference_mode():
            return [*shown, *self._samples(metrics.model), *self._interpolations(metrics.model, encoded)]

    def _all_pixels(self, encoded: Encoded) -> Iterator[Tensor]:
        for start in range(0, len(encoded), BATCH_SIZE):
            rows = np.arange(start, min(start + BATCH_SIZE, len(encoded)), dtype=np.int64)
            yield self.batch(encoded, rows, None)["pixels"]

    def _against_linear(self, metrics: Reconstruction) -> Rows:
        size = self.options.code_size
        rows: list[list[str | float | int]] = [
            [f"{self.options.model}, on these samples", metrics.result().get("variance_explained", 0.0)],
            [f"principal components, {size} of them, on training images", self._linear],
        ]
        note = f"From {size} numbers per picture. 1 would be a perfect copy, 0 the mean image for every picture."
        return Rows("Variance explained", ["code", "share"], rows, note=note)

    def _reconstructions(self, metrics: Reconstruction, encoded: Encoded) -> list[Figure]:
        what = "Original, " + ("with noise, " if self.options.noise != "none" else "") + "and what is decoded."
        first = list(range(min(NUM_SHOWN, len(encoded))))
        worst = metrics.worst(NUM_WORST)
        pictures = self._beside(metrics.model, encoded, [*first, *(row for row, _ in worst)])
        plain = [Sample([encoded.source(row)], png=png) for row, png in zip(first, pictures, strict=False)]
        odd = [
            Sample([f"error: {error:.4g}", encoded.source(row)], png=png)
            for (row, error), png in zip(worst, pictures[len(first) :], strict=True)
        ]
        return [Gallery("Reconstructions", plain, note=what), Gallery("Largest errors", odd, note=what)]

    def _beside(self, model: nn.Module, encoded: Encoded, rows: list[int]) -> list[bytes]:
        with torch.inference_mode():
            batch = self.batch(encoded, np.array(rows, np.int64), None).to(_device(model))
            fed = batch.tensors.get("noisy", batch["pixels"])
            decoded = model(fed).images
        parts = [batch["pixels"], *([fed] if "noisy" in batch.tensors else []), decoded]
        return [strip([part[i] for part in parts]) for i in range(len(rows))]

    def _maps(self, metrics: Reconstruction) -> list[Figure]:
        _, codes, numbers = metrics.codes()
        codes, numbers = codes[:MOST_MAPPED], numbers[:MOST_MAPPED]
        if len(codes) < FEWEST_MAPPED or not np.isfinite(codes).all():
            return []
        used = sorted({int(number) for number in numbers})
        is_coloured = 1 < len(used) <= MOST_GROUPS
        groups = [self.labels[n] if n >= 0 else "no label" for n in numbers.tolist()] if is_coloured else []
        vectors = torch.from_numpy(codes)
        note = f"{len(codes):,} samples{', marked by their label' if groups else ''}."
        far = f"{note} Near neighbours stay near; distances between far groups mean little."
        return [
            map_figure("Map of the features: principal components", principal_map(vectors), groups, note),
            map_figure("Map of the features: t-SNE", neighbour_map(vectors), groups, far),
        ]

    def _samples(self, model: Any) -> list[Figure]:
        """Pictures decoded from draws of the prior, of a network that has one."""
        if not hasattr(model, "bound"):
            return []
        draws = rng.generator(0, "samples of the prior").standard_normal((NUM_SAMPLES, self.options.code_size))
        decoded = model.decode(torch.from_numpy(draws).float().to(_device(model)))
        samples = [Sample([f"sample {index + 1}"], png=strip([one])) for index, one in enumerate(decoded)]
        return [Gallery("Samples from the prior", samples, note="Decoded from Normal(0, I): pictures that never were.")]

    def _interpolations(self, model: Any, encoded: Encoded) -> list[Figure]:
        """Pictures on the straight way between the codes of two."""
        rows = list(range(min(2 * NUM_WAYS, len(encoded)) // 2 * 2))
        if not rows:
            return []
        batch = self.batch(encoded, np.array(rows, np.int64), None).to(_device(model))
        codes = model.encode(batch["pixels"])
        samples = []
        for start in rows[::2]:
            weights = torch.linspace(0, 1, WAY_SIDE**2, device=codes.device)[1:-1, None]
            decoded = model.decode(torch.lerp(codes[start : start + 1], codes[start + 1 : start + 2], weights))
            ends = [batch["pixels"][start], *decoded, batch["pixels"][start + 1]]
            caption = [encoded.source(start), encoded.source(start + 1)]
            samples.append(Sample(caption, png=strip(ends, columns=WAY_SIDE)))
        note = "From one original (first) to another (last): what is decoded on the straight way from code to code."
        return [Gallery("Interpolations", samples, note=note)]


def strip(pictures: Sequence[Tensor], *, columns: int | None = None) -> bytes:
    """A PNG of pictures side by side, `columns` of them in a row, each [C, H, W] in 0 to 1."""
    columns = columns or len(pictures)
    shown = [picture.detach().float().cpu() for picture in pictures]
    rows = [_joined(shown[start : start + columns], dim=2) for start in range(0, len(shown), columns)]
    pixels = (_joined(rows, dim=1).clamp(0, 1) * 255).round().to(torch.uint8)
    return image.encode_png(pixels.permute(1, 2, 0))


def _joined(parts: Sequence[Tensor], *, dim: int) -> Tensor:
    """Pictures [C, H, W] one behind the other, with a white line between."""
    gap = torch.ones_like(parts[0].narrow(dim, 0, GAP))
    return torch.cat([each for part in parts for each in (gap, part)][1:], dim=dim)


def map_figure(title: str, places: np.ndarray, groups: list[str], note: str) -> Points:
    """A scatter of [n, 2] places."""
    points = [(float(a), float(b)) for a, b in places]
    return Points(title, "first", "second", points, note=note, groups=groups)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _tiny(seed: int) -> Dataset:
    """Round spots of one size: where they are and how bright is all there is to know, though it takes 49 pixels."""
    generator = rng.generator(seed, "tiny spots")
    count = 300
    centre = generator.uniform(1.0, TINY_SIDE - 2.0, (count, 2))
    bright = generator.uniform(120, 250, count)
    grid = np.arange(TINY_SIDE)
    across = (grid[None, None, :] - centre[:, 0, None, None]) ** 2
    down = (grid[None, :, None] - centre[:, 1, None, None]) ** 2
    spots = bright[:, None, None] * np.exp(-(across + down) / 3.0)
    pixels = np.rint(spots + generator.uniform(0, 5, spots.shape)).astype(np.uint8)[..., None]
    sides = np.where(centre[:, 0] < (TINY_SIDE - 1) / 2, "left", "right")
    table = pa.table(
        {
            "image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels),
            "label": pa.array(sides),
            "source": pa.array([f"tiny, image {index}" for index in range(count)]),
            "key": pa.array([content_key(each.tobytes()) for each in pixels]),
        }
    )
    return Dataset("tiny", f"made up: {count} images of a spot", {"all": table})


TINY = Tiny(
    options={
        "model": "autoencoder",
        "code_size": 3,
        "network.hidden": (64, 32),
        "epochs": 20,
        "batch_size": 16,
        "optimizer.learning_rate": 0.003,
        "noise": "gaussian",
        "noise_level": 0.05,
    },
    make=_tiny,
    metric="variance_explained",
    beats=0.85,
)
