"""Which of a set of classes a picture shows."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.core import names, rng
from deepen.core.faults import Fault
from deepen.core.figures import Figure, Sample
from deepen.data.dataset import Dataset, Schema, content_key
from deepen.engine.task import Exported, Terms, Tiny
from deepen.explain.images import ImageExplainer
from deepen.metrics.classify import Classification, figures_of
from deepen.nn.contracts import CONTRACTS
from deepen.nn.noise import noisy
from deepen.nn.shapes import ImageShape
from deepen.ops.augment import AUGMENTATIONS, augment, num_draws
from deepen.ops.auxiliary import with_auxiliary
from deepen.ops.combine import mean_class_logits
from deepen.ops.losses import Loss, cross_entropy_sum, spread_over
from deepen.ops.mixing import IMAGE_DRAWS, mixed_cross_entropy_sum, mixed_images, pair_weights, partner_rows
from deepen.prepare import image, image_graph, labels, mirror
from deepen.prepare.answers import ClassAnswer, class_answers
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.fields import Field, of_images

CONTRACT = "image classifier"
TINY_SIDE = 11


@dataclass(frozen=True)
class Options:
    """Pictures in, classes out."""

    model: str = field(default="wren", metadata={"help": "the network; `deepen list` names them"})
    image_size: int | None = field(
        default=None, metadata={"help": "side of the square that images are brought to; default: by a rule", "least": 8}
    )
    resize: Literal["crop", "stretch", "pad"] = field(
        default="crop", metadata={"help": "how images of another shape are brought to it"}
    )
    mean: tuple[float, ...] = field(default=(), metadata={"help": "mean per channel, 0 to 1; default: learned"})
    deviation: tuple[float, ...] = field(default=(), metadata={"help": "deviation per channel; default: learned"})
    normalize: image.Normalize = field(
        default="mean",
        metadata={"help": "by mean and deviation, by each image's own contrast, or whitened (ZCA) after that"},
    )
    augment: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": f"random changes: {', '.join(AUGMENTATIONS)}; auto: crop and flip, or affine where flips do harm",
            "choices": ("auto", *AUGMENTATIONS),
        },
    )
    mixup: float = field(
        default=0.0,
        metadata={
            "help": "mix each image with another by a share from Beta(this, this), such as 0.2; 0: off",
            "least": 0.0,
            "prepares": False,
        },
    )
    cutmix: float = field(
        default=0.0,
        metadata={
            "help": "paste a box of another image, its share from Beta(this, this), such as 1; 0: off",
            "least": 0.0,
            "prepares": False,
        },
    )
    input_noise: float = field(
        default=0.0,
        metadata={
            "help": "deviation of the noise on a network's inputs in training, which vary by about 1",
            "least": 0.0,
            "prepares": False,
        },
    )
    label_smoothing: float = field(default=0.0, metadata=spread_over("classes"))
    top: int = field(default=5, metadata={"help": "classes listed in an answer", "least": 1})
    max_megapixels: float = field(
        default=64.0, metadata={"help": "larger images are refused before they are decoded", "above": 0.0}
    )


def schema(options: Options) -> Schema:
    """Reads every layout of labelled pictures."""
    readers = ("digits", "mnist_idx", "cifar_binary", "npz", "image_manifest", "image_folder")
    return Schema(readers=readers, inputs=("image",), target="label")


def learn(options: Options, table: pa.Table, dataset: Dataset, faults: list[Fault]) -> dict[str, Any]:
    """Class names, image size and channels, mean and deviation, and what "auto" augmentation comes to."""
    class_names = labels.learn(table, "label", faults=faults, given=dataset.labels)
    state = image.learn(
        table,
        faults=faults,
        image_size=options.image_size,
        resize=options.resize,
        mean=options.mean,
        std=options.deviation,
        normalize=options.normalize,
        max_pixels=int(options.max_megapixels * 1e6),
    )
    return {
        "labels": class_names,
        "labels_given": bool(dataset.labels),
        "image": state,
        "augment": _augmentations(options, table, class_names, state, faults),
    }


class Task:
    """Image classification with what it learned from the training table."""

    objective: tuple[str, str] = ("accuracy", "max")

    def __init__(self, options: Options, state: dict[str, Any], network: Any = None) -> None:
        self.options, self.network = options, network
        self.labels: list[str] = list(state["labels"])
        self.image: dict[str, Any] = state["image"]
        self._given = bool(state["labels_given"])
        self.augment: tuple[str, ...] = tuple(state["augment"])
        self._num_draws = num_draws(self.augment)

    def encode(self, table: pa.Table, split: str, faults: list[Fault]) -> Encoded:
        """Pixels as uint8, labels as numbers where there are any."""
        max_pixels = int(self.options.max_megapixels * 1e6)
        tensors: dict[str, torch.Tensor] = {}
        rows = np.arange(table.num_rows)
        if "label" in table.column_names and split != "predict":
            numbers, rows = labels.encode(table, "label", self.labels, split, faults, given=self._given)
            tensors["label"] = numbers
        images = image.encode(table, self.image, split, faults, max_pixels=max_pixels)
        kept = np.intersect1d(rows, images.kept)
        if images.pixels is not None:
            tensors["pixels"] = _taken(images.pixels, np.searchsorted(images.kept, kept))
        if "label" in tensors:
            tensors["label"] = _taken(tensors["label"], np.searchsorted(rows, kept))
        if len(kept) < table.num_rows:
            table = table.take(pa.array(kept))
        return Encoded(tensors, table, is_whole=images.pixels is not None)

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Pixels [B, C, H, W] float, labels [B] where there are any. Where `draws` is given, pixels are augmented.

        Mixed with a partner of the training table, if the options say so, there are the partner's `label_2` [B] and
        the `share` [B] of the sample's own label too.
        """
        pixels, tensors = self._pixels(encoded, rows, draws)
        options = self.options
        if draws is not None and (options.mixup or options.cutmix):
            partners = partner_rows(draws.seed, draws.epoch, rows, len(encoded))
            others, theirs = self._pixels(encoded, partners, draws)
            u = rng.uniform(draws.seed, draws.epoch, rows, IMAGE_DRAWS, "mixing")
            pixels, share = mixed_images(pixels, others, u, mixup_alpha=options.mixup, cutmix_alpha=options.cutmix)
            tensors |= {"label_2": theirs["label"], "share": share} | pair_weights(tensors, theirs)
        return Batch({"pixels": pixels, **tensors}, len(rows), rows)

    def _pixels(
        self, encoded: Encoded, rows: np.ndarray, draws: Draws | None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The network's input for these rows, each augmented by its own draws, and their other tensors."""
        tensors = encoded.take(rows)
        pixels = tensors.pop("pixels", None)
        if pixels is None:
            pixels = image.pixels_of(encoded.table.column("image"), rows, self.image).to(encoded.device)
        pixels = pixels.permute(0, 3, 1, 2)  # [B, C, H, W], channels last in memory
        if draws is not None and self.augment:
            numbers = rng.uniform(draws.seed, draws.epoch, rows, self._num_draws, "augment")
            pixels = augment(pixels, self.augment, torch.from_numpy(numbers).to(encoded.device))
        return image.normalized(pixels, self.image), tensors

    def build(self) -> nn.Module:
        """The network for these images and classes. Raises ShapeError if they are too small for it."""
        named = names.model(self.options.model, CONTRACT)
        module = importlib.import_module(named.module)
        return module.build(named.name, self._shape, len(self.labels), self.network or module.Options())

    def sample(self) -> list[Tensor]:
        """A picture [1, C, H, W] of zeros."""
        return CONTRACTS[CONTRACT].sample(self._shape)

    @property
    def _shape(self) -> ImageShape:
        height, width = self.image["size"]
        return ImageShape(self.image["channels"], height, width)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy, and that of side branches; of mixed images that with both labels, each by its share."""
        output = model(noisy(batch["pixels"], self.options.input_noise))
        return Loss(with_auxiliary(output, lambda logits: self._cross_entropy(logits, batch)))

    def _cross_entropy(self, logits: Tensor, batch: Batch) -> Tensor:
        smoothing, weights = self.options.label_smoothing, batch.tensors.get("weight")
        if "share" not in batch.tensors:
            return cross_entropy_sum(logits, batch["label"], label_smoothing=smoothing, weights=weights)
        both = batch["label"], batch["label_2"], batch["share"]
        return mixed_cross_entropy_sum(logits, *both, label_smoothing=smoothing, weights=weights)

    def metrics(self) -> Classification:
        """Accuracy and its company."""
        return Classification(len(self.labels))

    def score(self, model: nn.Module, batch: Batch, metrics: Classification) -> None:
        """Adds a batch's logits."""
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[ClassAnswer]:
        """The most probable classes of each picture."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    @property
    def terms(self) -> Terms:
        """The classes, in the order of the logits."""
        return Terms("label", tuple(self.labels))

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits [B, K]."""
        return model(batch["pixels"])

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """Logits of the mean of the probabilities."""
        return mean_class_logits(outputs, weights)

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Classification) -> None:
        """Adds logits [B, K]."""
        metrics.add(outputs, batch["label"], batch.rows)

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[ClassAnswer]:
        """The most probable classes by logits [B, K]."""
        return class_answers(outputs, self.labels, sources, top=self.options.top)

    def figures(self, metrics: Classification, encoded: Encoded) -> list[Figure]:
        """Confusion, per-class figures, calibration, and the worst mistakes with their pictures."""
        return figures_of(metrics, self.labels, lambda row: self._sample(encoded, row))

    def exported(self, model: nn.Module) -> Exported:
        """Logits from decoded pixels of the learned size; the normalization is in the graph."""
        answer = {
            "kind": "classes",
            "labels": self.labels,
            "target": "label",
            "given": self._given,
            "top": self.options.top,
        }
        preparation = {
            "kind": "image",
            "image": image_graph.without_normalization(self.image),
            "max_pixels": int(self.options.max_megapixels * 1e6),
        }
        return Exported(
            network=image_graph.ImageGraph(model, self.image).eval(),
            inputs=image_graph.examples(self.image),
            free={"pixels": {0: "batch"}},
            preparation=preparation,
            answer=answer,
            outputs=self.outputs,
        )

    def fields(self) -> list[Field]:
        """A picture."""
        return of_images(self.image)

    def explainer(self) -> ImageExplainer:
        """Explains what in the picture an answer comes from."""
        return ImageExplainer(self, self.image, pictures="pixels", truth="label")

    def _sample(self, encoded: Encoded, row: int) -> Sample:
        pixels = image.pixels_at(encoded, np.array([row]), self.image)
        return Sample(caption=[encoded.source(row)], png=image.encode_png(pixels[0]))


def _augmentations(
    options: Options, table: pa.Table, class_names: list[str], state: dict[str, Any], faults: list[Fault]
) -> list[str]:
    """The names the user gave; for "auto" those that do no harm to these images, which is said."""
    if "auto" not in options.augment:
        return list(options.augment)
    classes, rows = labels.encode(table, "label", class_names, "train", [])
    kept = mirror.keeps_class(table, classes, rows, state)
    flips = kept >= mirror.HARMLESS
    told = "as well" if kept > 0.995 else f"{kept:.0%} as well"
    said = "moves and flips images" if flips else "moves, turns and scales images but does not flip them"
    message = f"mirrored images can be told apart {told} as plain ones, so training {said} (--augment)."
    faults.append(Fault("note", "augment-auto", "", message))
    found = [name for name in options.augment if name != "auto"]
    return [*found, *(name for name in (("crop", "flip") if flips else ("affine",)) if name not in found)]


def _taken(tensor: torch.Tensor, index: np.ndarray) -> torch.Tensor:
    """The rows at `index`, without a copy where that is all of them."""
    return tensor if len(index) == len(tensor) else tensor[torch.from_numpy(index)]


def _tiny(seed: int) -> Dataset:
    """Bright bars on noise: across, down, or both ways."""
    generator = rng.generator(seed, "tiny images")
    count = 240
    pixels = generator.integers(0, 90, (count, TINY_SIDE, TINY_SIDE, 1)).astype(np.uint8)
    kinds = generator.integers(0, 3, count)
    for index, kind in enumerate(kinds):
        across, down = generator.integers(1, TINY_SIDE - 1, 2)
        if kind in (0, 2):
            pixels[index, across] = 230
        if kind in (1, 2):
            pixels[index, :, down] = 230
    names_of_kinds = np.array(["across", "down", "cross"])[kinds]
    table = pa.table(
        {
            "image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels),
            "label": pa.array(names_of_kinds),
            "source": pa.array([f"tiny, image {index}" for index in range(count)]),
            "key": pa.array([content_key(each.tobytes()) for each in pixels]),
        }
    )
    return Dataset("tiny", f"made up: {count} images, 3 classes", {"all": table})


TINY = Tiny(
    options={"model": "lenet", "epochs": 12, "batch_size": 16, "augment": ("crop",)},
    make=_tiny,
    metric="accuracy",
    beats=0.8,
)
