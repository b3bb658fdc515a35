"""Explaining answers about pictures: gradients, Grad-CAM, occlusion, and what the network looks for.

The network is only known as something that takes pictures [B, C, H, W] and puts out [B, K]; which of its layers has the
maps for Grad-CAM is found by running it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepen.core import rng
from deepen.core.figures import Sample
from deepen.core.units import plural
from deepen.engine.task import SharedOutputs
from deepen.explain import layers
from deepen.explain.explaining import Explanation, Method, Request, Unfit, class_index
from deepen.explain.pictures import Pictures, batch_size, heat_png, patch_of, peak_of, shown
from deepen.nn.feature_maps import frame_of, is_map, last_map_layer, layer_outputs
from deepen.ops import attribution, heat
from deepen.prepare.encoded import Batch
from deepen.prepare.image import encode_png

TOLERANCE = 0.05  # of the change, for integrated gradients: the advice of the paper


class ImageExplainer:
    """Explains a task that brings pictures to outputs.

    task      the task; its outputs are logits [B, K] of `labels`
    state     what preparing learned of the pictures (prepare/image)
    pictures  the name of the batch's tensor of normalized pictures
    truth     the name of the batch's tensor of class numbers
    """

    def __init__(self, task: SharedOutputs, state: Mapping[str, Any], *, pictures: str, truth: str) -> None:
        self._task, self._pictures, self._truth = task, pictures, truth
        self._labels = task.terms.labels
        self._originals = Pictures(state)
        self.methods: dict[str, Method] = {
            "integrated-gradients": Method(
                "what each pixel adds to the class's logit (Sundararajan et al. 2017)",
                "samples",
                self._integrated_gradients,
                is_default=True,
                reads=("baseline", "steps"),
            ),
            "grad-cam": Method(
                "where the last maps speak for the class (Selvaraju et al. 2017)",
                "samples",
                self._grad_cam,
                is_default=True,
                reads=("layer",),
            ),
            "occlusion": Method(
                "what the class's probability loses under a patch (Zeiler and Fergus 2014)",
                "samples",
                self._occlusion,
                is_default=True,
                reads=("baseline", "patch", "stride"),
            ),
            "saliency": Method(
                "how strongly each pixel moves the class's logit (Simonyan et al. 2013)",
                "samples",
                self._saliency,
                is_default=True,
            ),
            "smoothgrad": Method(
                "the gradient averaged over noisy copies (Smilkov et al. 2017)",
                "samples",
                self._smooth_gradients,
                reads=("noise", "draws"),
            ),
            "activations": Method("what layers put out for a picture", "samples", self._activations, reads=("layer",)),
            "filters": Method(
                "the weights of the first layer that sees the picture", "network", self._filters, reads=("layer",)
            ),
        }

    def worst(self, metrics: Any, number: int) -> list[int]:
        """The rows with the worst answers."""
        return [each.row for each in metrics.worst(number)]

    def samples(self, request: Request) -> list[tuple[Sample, dict[str, Any]]]:
        """The pictures with their answers, and the truth where it is known."""
        class_index(request.options.of_class, self._labels)  # a wrong name is said before anything takes long
        for name in request.options.layer:
            layers.known(request, name)
        batch = request.task.batch(request.encoded, request.rows, None).to(request.device)
        with torch.no_grad():
            logits = self._logits(request, batch)(batch[self._pictures])
        originals = self._originals.originals(request.encoded, request.rows)
        found = []
        for index, row in enumerate(request.rows.tolist()):
            probabilities = logits[index].softmax(0)
            answer = int(probabilities.argmax())
            told: dict[str, Any] = {
                "answer": self._labels[answer],
                "probability": round(float(probabilities[answer]), 6),
            }
            said = [f"answer: {self._labels[answer]} ({told['probability']:.0%} sure)"]
            if request.has_targets:
                told["truth"] = self._labels[int(batch[self._truth][index])]
                said.insert(0, f"truth: {told['truth']}")
            png = encode_png(shown(originals[index]))
            found.append((Sample([*said, request.encoded.source(row)], png), told))
        return found

    def _integrated_gradients(self, request: Request) -> Explanation:
        found = Explanation()
        options = request.options
        kind = self._originals.usual(options.baseline, "black")
        for row, picture, image, target, logits in self._each(request):
            path = attribution.integrated_gradients(
                logits,
                image,
                target,
                self._originals.seen(self._originals.empty(kind, picture)).contiguous(),
                steps=options.steps,
                batch_size=batch_size(image),
                tolerance=TOLERANCE,
                most_steps=max(options.steps, 1024),
            )
            values = path.values[0].sum(0).cpu()  # [H, W]
            change, gap = float(path.change), float(path.gap)
            complete = abs(gap) <= float(attribution.allowed_gap(path.change, TOLERANCE))
            told = {"change": change, "sum": change - gap, "gap": gap, "complete": complete, "steps": int(path.steps)}
            said = f"sums up to {told['sum']:+.3f} of {change:+.3f}"
            self._add(found, row, picture, values, f"integrated gradients of {self._name(target)}", [said], signed=True)
            found.by_row[row] |= told
            found.values[row] = {"": path.values[0].cpu()}
        incomplete = sum(not told["complete"] for told in found.by_row.values())
        found.notes.append(
            f"Integrated gradients start from a picture that is {self._originals.words(kind)}; orange speaks for the "
            "class, blue against it. Each map should add up to the change of the logit on the way: "
            f"{len(found.by_row) - incomplete} of {len(found.by_row)} do within {TOLERANCE:.0%}"
            + (f"; the others need more than {max(options.steps, 1024):,} --steps." if incomplete else ".")
            + self._originals.remark()
        )
        return found

    def _saliency(self, request: Request) -> Explanation:
        found = Explanation()
        for row, picture, image, target, logits in self._each(request):
            values = attribution.saliency(logits, image, target)[0].cpu()
            self._add(found, row, picture, values, f"saliency of {self._name(target)}", [], signed=False)
            found.values[row] = {"": values}
        found.notes.append(
            "Saliency says where a small change would move the logit most, not what speaks for it."
            + self._originals.remark()
        )
        return found

    def _smooth_gradients(self, request: Request) -> Explanation:
        found = Explanation()
        options = request.options
        for row, picture, image, target, logits in self._each(request):
            deviation = options.noise * float(image.max() - image.min())
            noises = (self._noise(options.seed, row, draw, image) * deviation for draw in range(options.draws))
            values = attribution.smooth_gradients(logits, image, target, noises)[0].cpu()
            name = f"SmoothGrad of {self._name(target)}"
            self._add(found, row, picture, values.abs().amax(0), name, [], signed=False)
            found.values[row] = {"": values}
        found.notes.append(
            f"SmoothGrad averages the gradients of {options.draws} copies with noise of {options.noise:.0%} of the "
            f"picture's range.{self._originals.remark()}"
        )
        return found

    def _grad_cam(self, request: Request) -> Explanation:
        first = self._first(request)
        layer = self._map_layer(request, first)
        found = Explanation()
        for row, picture, image, target, logits in self._each(request):
            with torch.enable_grad():
                x = image.clone().requires_grad_(True)
                outputs, put_out = layer_outputs(request.model, lambda x=x, logits=logits: logits(x), (layer,))
                maps = put_out[layer]
                (slopes,) = torch.autograd.grad(attribution.picked(outputs, target).sum(), maps)
            coarse = attribution.grad_cam(maps.detach(), slopes)
            top, left, *whole = frame_of(request.model, lambda image=image, logits=logits: logits(image), image)
            values = heat.resized(coarse, (whole[0], whole[1]))[0].cpu()
            values = values[top : top + image.shape[2], left : left + image.shape[3]]
            size = "x".join(map(str, maps.shape[2:]))
            said = [f"{layer}, {size} places"] if float(values.max()) > 0 else [f"{layer}: nothing speaks for it"]
            self._add(
                found, row, picture, values, f"Grad-CAM of {self._name(target)}", said, signed=False, quantile=1.0
            )
            found.by_row[row]["layer"] = layer
            found.values[row] = {"": coarse[0].cpu()}
        found.notes.append(f"Grad-CAM looks at the layer {layer}; --layer names another.")
        return found

    def _occlusion(self, request: Request) -> Explanation:
        found = Explanation()
        options = request.options
        patch, stride = patch_of(options, self._first(request))
        kind = self._originals.usual(options.baseline, "mean")
        for row, picture, image, target, logits in self._each(request):
            result = attribution.occlusion(
                lambda x, logits=logits: logits(self._originals.seen(x)).softmax(1),
                picture[0],
                int(target),
                self._originals.empty(kind, picture)[0],
                patch=patch,
                stride=stride,
                batch_size=batch_size(image),
            )
            values = result.drops.cpu()
            said = [f"from {result.whole:.0%} down to {result.lowest:.0%}"]
            name = f"occlusion of {self._name(target)}"
            self._add(found, row, picture, values, name, said, signed=True, least=1e-3)
            found.by_row[row] |= {"probability": result.whole, "lowest": result.lowest, "patch": patch}
            found.values[row] = {"": values}
        found.notes.append(
            f"Occlusion covers {patch}x{patch} pixels at a time, {plural(stride, 'pixel')} further each time, with "
            f"what is {self._originals.words(kind)}; orange is where the probability falls."
        )
        return found

    def _activations(self, request: Request) -> Explanation:
        calls = (
            (row, lambda image=image, logits=logits: logits(image)) for row, _, image, _, logits in self._each(request)
        )
        return layers.activations(request, calls, lambda: self._run(request, self._first(request)))

    def _filters(self, request: Request) -> Explanation:
        return layers.filters(request, self._first(request))

    def _each(self, request: Request) -> Iterable[tuple[int, Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]]:
        """Of each sample, telling the progress: its row, the picture as it is and as the network sees it, both
        [1, C, H, W], its class [1], and what brings pictures that are seen to logits."""
        asked = class_index(request.options.of_class, self._labels)
        for index, row in enumerate(request.rows.tolist()):
            rows = request.rows[index : index + 1]
            batch = request.task.batch(request.encoded, rows, None).to(request.device)
            logits = self._logits(request, batch)
            image = batch[self._pictures].contiguous()
            with torch.no_grad():
                answered = logits(image).argmax(1)
            target = answered if asked is None else torch.full_like(answered, asked)
            yield row, self._originals.originals(request.encoded, rows).to(request.device), image, target, logits
            request.progress((index + 1) / len(request.rows))

    def _logits(self, request: Request, batch: Batch) -> Callable[[Tensor], Tensor]:
        def logits(pictures: Tensor) -> Tensor:
            return self._task.outputs(request.model, Batch({self._pictures: pictures}, len(pictures), batch.rows))

        return logits

    def _first(self, request: Request) -> Tensor:
        """A picture to run the network with: the first sample, or nothing but zeros where there is none."""
        batch = request.task.batch(request.encoded, np.zeros(1, np.int64), None)
        return batch[self._pictures].to(request.device).contiguous()

    def _add(
        self,
        found: Explanation,
        row: int,
        picture: Tensor,
        values: Tensor,
        name: str,
        said: list[str],
        *,
        signed: bool,
        quantile: float = 0.995,
        least: float = 0.0,
    ) -> None:
        """A panel of the values [H, W] over the picture, and the place of the largest one."""
        png = heat_png(picture[0], values, signed=signed, quantile=quantile, least=least)
        found.panels[row] = [Sample([name, *said], png)]
        found.by_row[row] = {"class": name.rsplit(" of ", 1)[1], "peak": peak_of(values)}

    def _noise(self, seed: int, row: int, draw: int, image: Tensor) -> Tensor:
        values = rng.generator(seed, "smoothgrad", row, draw).standard_normal(tuple(image.shape), dtype=np.float32)
        return torch.from_numpy(values).to(image.device)

    def _name(self, target: Tensor) -> str:
        return self._labels[int(target)]

    def _run(self, request: Request, first: Tensor) -> Tensor:
        """The logits of a picture that stands for any."""
        return self._logits(request, Batch({}, 1, np.zeros(1, np.int64)))(first)

    def _map_layer(self, request: Request, first: Tensor) -> str:
        if not request.options.layer:
            layer = last_map_layer(request.model, lambda: self._run(request, first))
            if layer is None:
                raise Unfit("--method grad-cam: no layer of this network keeps places apart, so it has no map to show.")
            return layer
        layer = layers.known(request, request.options.layer[0])
        with torch.no_grad():
            _, found = layer_outputs(request.model, lambda: self._run(request, first), (layer,))
        if not is_map(found.get(layer)):
            shape = tuple(found[layer].shape[1:]) if layer in found else "nothing"
            raise Unfit(f"--layer {layer}: puts out {shape}, but Grad-CAM needs maps [channels, height, width].")
        return layer
