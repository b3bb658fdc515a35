"""Explaining codes of pictures: what a network gives back of each picture, what it cannot, and what it looks for.

The network is only known as something that takes pictures [B, C, H, W] and gives back pictures of that shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core.figures import Sample
from deepen.core.units import plural
from deepen.explain import layers
from deepen.explain.explaining import Explanation, Method, Request, class_index
from deepen.explain.pictures import Pictures, batch_size, heat_png, patch_of, peak_of, shown
from deepen.ops import attribution
from deepen.prepare.image import encode_png


class ReconstructionExplainer:
    """Explains a task that gives pictures back from a code.

    state    what preparing learned of the pictures (prepare/image); its normalization keeps them between 0 and 1
    mean     [C, H, W], the mean of the training pictures
    decoded  (network, pictures as it sees them [B, C, H, W]) -> the same, given back
    labels   class names of `label` in a batch, -1 where there is none; () where there are no classes
    """

    def __init__(
        self,
        state: Mapping[str, Any],
        mean: Tensor,
        decoded: Callable[[nn.Module, Tensor], Tensor],
        labels: tuple[str, ...] = (),
    ) -> None:
        self._originals = Pictures(state, mean)
        self._decoded, self._labels = decoded, labels
        self.methods: dict[str, Method] = {
            "reconstruction": Method(
                "what is given back of a picture, and where the error lies", "samples", self._reconstruction, True
            ),
            "occlusion": Method(
                "what the error loses under a patch: what is hard to give back (Zeiler and Fergus 2014)",
                "samples",
                self._occlusion,
                is_default=True,
                reads=("baseline", "patch", "stride"),
            ),
            "filters": Method(
                "the weights of the first layer that sees the picture",
                "network",
                self._filters,
                is_default=True,
                reads=("layer",),
            ),
            "saliency": Method(
                "how strongly each pixel moves the error (Simonyan et al. 2013)", "samples", self._saliency
            ),
            "activations": Method("what layers put out for a picture", "samples", self._activations, reads=("layer",)),
        }

    def worst(self, metrics: Any, number: int) -> list[int]:
        """The rows with the largest errors."""
        return [row for row, _ in metrics.worst(number)]

    def samples(self, request: Request) -> list[tuple[Sample, dict[str, Any]]]:
        """The pictures with their errors, and their labels where they have any."""
        class_index(request.options.of_class, ())  # there is none to be asked for
        for name in request.options.layer:
            layers.known(request, name)
        batch = request.task.batch(request.encoded, request.rows, None)
        found = []
        for index, (row, picture, image) in enumerate(self._each(request)):
            told: dict[str, Any] = {"answer": float(self._error(request)(image))}
            said = [f"error: {told['answer']:.4g}", request.encoded.source(row)]
            label = int(batch["label"][index])
            if self._labels and label >= 0:
                told["truth"] = self._labels[label]
                said.insert(0, f"label: {told['truth']}")
            found.append((Sample(said, encode_png(shown(picture[0]))), told))
        return found

    def _reconstruction(self, request: Request) -> Explanation:
        found = Explanation()
        for row, picture, image in self._each(request):
            with torch.no_grad():
                decoded = self._decoded(request.model, image)
            errors = (decoded - image)[0].square().mean(0).cpu()  # [H, W]
            error = float(errors.mean())
            found.panels[row] = [
                Sample(["given back"], encode_png(shown(decoded[0] * 255))),
                Sample(["error", f"{error:.4g}"], heat_png(picture[0], errors, signed=False)),
            ]
            found.by_row[row] = {"error": error, "peak": peak_of(errors)}
            found.values[row] = {"": decoded[0].cpu(), "errors": errors}
        found.notes.append(
            "Errors are squared differences of pixels between 0 and 1; light yellow is the largest here."
        )
        return found

    def _occlusion(self, request: Request) -> Explanation:
        found = Explanation()
        options = request.options
        kind = self._originals.usual(options.baseline, "mean")
        patch = stride = 0
        error = self._error(request)
        for row, picture, image in self._each(request):
            patch, stride = patch_of(options, picture)
            result = attribution.occlusion(
                lambda x: error(self._originals.seen(x))[:, None],
                picture[0],
                0,
                self._originals.empty(kind, picture)[0],
                patch=patch,
                stride=stride,
                batch_size=batch_size(image),
            )
            values = result.drops.cpu()
            said = ["occlusion of the error", f"from {result.whole:.4g} down to {result.lowest:.4g}"]
            found.panels[row] = [Sample(said, heat_png(picture[0], values, signed=True))]
            found.by_row[row] = {
                "error": result.whole,
                "lowest": result.lowest,
                "patch": patch,
                "peak": peak_of(values),
            }
            found.values[row] = {"": values}
        found.notes.append(
            f"Occlusion covers {patch}x{patch} pixels at a time, {plural(stride, 'pixel')} further each time, with "
            f"what is {self._originals.words(kind)}; orange is where the error falls, for what stands there is hard to "
            "give back."
        )
        return found

    def _saliency(self, request: Request) -> Explanation:
        found = Explanation()
        error = self._error(request)
        for row, picture, image in self._each(request):
            target = torch.zeros(1, dtype=torch.int64, device=image.device)
            values = attribution.saliency(lambda x: error(x)[:, None], image, target)[0].cpu()
            found.panels[row] = [Sample(["saliency of the error"], heat_png(picture[0], values, signed=False))]
            found.by_row[row] = {"peak": peak_of(values)}
            found.values[row] = {"": values}
        found.notes.append("Saliency says where a small change would move the error most, up or down.")
        return found

    def _activations(self, request: Request) -> Explanation:
        calls = (
            (row, lambda image=image: self._decoded(request.model, image)) for row, _, image in self._each(request)
        )
        return layers.activations(request, calls, lambda: self._decoded(request.model, self._first(request)))

    def _filters(self, request: Request) -> Explanation:
        return layers.filters(request, self._first(request))

    def _error(self, request: Request) -> Callable[[Tensor], Tensor]:
        """Pictures as the network sees them to the mean of their squared errors, [B]."""
        return lambda x: (self._decoded(request.model, x) - x).square().flatten(1).mean(1)

    def _each(self, request: Request) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Row, picture as it is and as the network sees it, both [1, C, H, W], of each sample, telling the progress."""
        for index, row in enumerate(request.rows.tolist()):
            picture = self._originals.originals(request.encoded, request.rows[index : index + 1]).to(request.device)
            with torch.no_grad():
                image = self._originals.seen(picture).contiguous()
            yield row, picture, image
            request.progress((index + 1) / len(request.rows))

    def _first(self, request: Request) -> Tensor:
        return self._originals.seen(self._originals.originals(request.encoded, np.zeros(1, np.int64))).to(
            request.device
        )
