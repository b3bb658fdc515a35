"""Explaining answers about pictures: gradients, Grad-CAM, occlusion, and what the network looks for.

The network is only known as something that takes pictures [B, C, H, W] and puts out [B, K]; which of its layers has the
maps for Grad-CAM is found by running it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.core import rng
from deepen.core.errors import OptionError
from deepen.core.figures import Gallery, Sample
from deepen.core.names import did_you_mean
from deepen.core.units import plural
from deepen.engine.task import SharedOutputs
from deepen.explain.explaining import Explanation, Method, Request, Unfit, class_index
from deepen.nn.feature_maps import frame_of, is_map, last_map_layer, layer_outputs
from deepen.ops import attribution, heat, sheets
from deepen.prepare.encoded import Batch
from deepen.prepare.image import encode_png

TOLERANCE = 0.05  # of the change, for integrated gradients: the advice of the paper
SHEET_SIDE = 480  # pixels to which sheets of small maps are enlarged
VALUES_AT_ONCE = 1 << 22  # numbers in the pictures that go through the network together


class ImageExplainer:
    """Explains a task that brings pictures to outputs.

    task      the task; its outputs are logits [B, K] of `labels`
    state     what preparing learned of the pictures: mean, std, channels
    pictures  the name of the batch's tensor of normalized pictures
    truth     the name of the batch's tensor of class numbers
    """

    def __init__(self, task: SharedOutputs, state: Mapping[str, Any], *, pictures: str, truth: str) -> None:
        self._task, self._pictures, self._truth = task, pictures, truth
        self._labels = task.terms.labels
        self._mean = torch.tensor(state["mean"], dtype=torch.float32).view(-1, 1, 1)
        self._deviation = torch.tensor(state["std"], dtype=torch.float32).view(-1, 1, 1)
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
            self._known_layer(request, name)
        batch = request.task.batch(request.encoded, request.rows, None).to(request.device)
        with torch.no_grad():
            logits = self._logits(request, batch)(batch[self._pictures])
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
            png = encode_png(self._shown(batch[self._pictures][index]))
            found.append((Sample([*said, request.encoded.source(row)], png), told))
        return found

    def _integrated_gradients(self, request: Request) -> Explanation:
        found = Explanation()
        options = request.options
        for row, image, target, logits in self._each(request):
            path = attribution.integrated_gradients(
                logits,
                image,
                target,
                self._baseline(request, image, "black"),
                steps=options.steps,
                batch_size=_batch_size(image),
                tolerance=TOLERANCE,
                most_steps=max(options.steps, 1024),
            )
            values = path.values[0].sum(0).cpu()  # [H, W]
            change, gap = float(path.change), float(path.gap)
            complete = abs(gap) <= TOLERANCE * max(1.0, abs(change))
            told = {"change": change, "sum": change - gap, "gap": gap, "complete": complete, "steps": int(path.steps)}
            said = f"sums up to {told['sum']:+.3f} of {change:+.3f}"
            self._add(found, row, image, values, f"integrated gradients of {self._name(target)}", [said], signed=True)
            found.by_row[row] |= told
            found.values[row] = {"": path.values[0].cpu()}
        incomplete = sum(not told["complete"] for told in found.by_row.values())
        kind = "black" if options.baseline == "auto" else options.baseline
        found.notes.append(
            f"Integrated gradients start from a picture that is {_BASELINES[kind]}; orange speaks for the class, blue "
            "against it. Each map should add up to the change of the logit on the way: "
            f"{len(found.by_row) - incomplete} of {len(found.by_row)} do within {TOLERANCE:.0%}"
            + (f"; the others need more than {max(options.steps, 1024):,} --steps." if incomplete else ".")
        )
        return found

    def _saliency(self, request: Request) -> Explanation:
        found = Explanation()
        for row, image, target, logits in self._each(request):
            values = attribution.saliency(logits, image, target)[0].cpu()
            self._add(found, row, image, values, f"saliency of {self._name(target)}", [], signed=False)
            found.values[row] = {"": values}
        found.notes.append("Saliency says where a small change would move the logit most, not what speaks for it.")
        return found

    def _smooth_gradients(self, request: Request) -> Explanation:
        found = Explanation()
        options = request.options
        for row, image, target, logits in self._each(request):
            deviation = options.noise * float(image.max() - image.min())
            noises = (self._noise(options.seed, row, draw, image) * deviation for draw in range(options.draws))
            values = attribution.smooth_gradients(logits, image, target, noises)[0].cpu()
            name = f"SmoothGrad of {self._name(target)}"
            self._add(found, row, image, values.abs().amax(0), name, [], signed=False)
            found.values[row] = {"": values}
        found.notes.append(
            f"SmoothGrad averages the gradients of {options.draws} copies with noise of {options.noise:.0%} of the "
            "picture's range."
        )
        return found

    def _grad_cam(self, request: Request) -> Explanation:
        first = self._first(request)
        layer = self._map_layer(request, first)
        found = Explanation()
        for row, image, target, logits in self._each(request):
            with torch.enable_grad():
                x = image.clone().requires_grad_(True)
                outputs, layers = layer_outputs(request.model, lambda x=x, logits=logits: logits(x), (layer,))
                maps = layers[layer]
                (slopes,) = torch.autograd.grad(attribution.picked(outputs, target).sum(), maps)
            coarse = attribution.grad_cam(maps.detach(), slopes)
            top, left, *whole = frame_of(request.model, lambda image=image, logits=logits: logits(image), image)
            values = heat.resized(coarse, (whole[0], whole[1]))[0].cpu()
            values = values[top : top + image.shape[2], left : left + image.shape[3]]
            size = "x".join(map(str, maps.shape[2:]))
            said = [f"{layer}, {size} places"] if float(values.max()) > 0 else [f"{layer}: nothing speaks for it"]
            self._add(found, row, image, values, f"Grad-CAM of {self._name(target)}", said, signed=False, quantile=1.0)
            found.by_row[row]["layer"] = layer
            found.values[row] = {"": coarse[0].cpu()}
        found.notes.append(f"Grad-CAM looks at the layer {layer}; --layer names another.")
        return found

    def _occlusion(self, request: Request) -> Explanation:
        found = Explanation()
        options = request.options
        first = self._first(request)
        side = min(first.shape[2:])
        if options.patch and options.patch > side:
            raise Unfit(f"--patch {options.patch}: the pictures are {side} pixels high or wide; choose at most {side}.")
        patch = options.patch or max(2, round(side / 7))
        stride = options.stride or (max(1, patch // 2) if side <= 64 else patch)
        if stride > patch:
            raise Unfit(
                f"--stride {stride}: pixels between patches of {patch} would never be covered; at most {patch}."
            )
        for row, image, target, logits in self._each(request):
            result = attribution.occlusion(
                lambda x, logits=logits: logits(x).softmax(1),
                image[0],
                int(target),
                self._baseline(request, image, "mean")[0],
                patch=patch,
                stride=stride,
                batch_size=_batch_size(image),
            )
            values = result.drops.cpu()
            said = [f"from {result.whole:.0%} down to {result.lowest:.0%}"]
            name = f"occlusion of {self._name(target)}"
            self._add(found, row, image, values, name, said, signed=True, least=1e-3)
            found.by_row[row] |= {"probability": result.whole, "lowest": result.lowest, "patch": patch}
            found.values[row] = {"": values}
        kind = "mean" if options.baseline == "auto" else options.baseline
        found.notes.append(
            f"Occlusion covers {patch}x{patch} pixels at a time, {plural(stride, 'pixel')} further each time, with "
            f"what is {_BASELINES[kind]}; orange is where the probability falls."
        )
        return found

    def _activations(self, request: Request) -> Explanation:
        found = Explanation()
        names = self._layers(request, "activations")
        for row, image, _, logits in self._each(request):
            with torch.no_grad():
                _, layers = layer_outputs(request.model, lambda image=image, logits=logits: logits(image), names)
            found.panels[row], found.by_row[row], found.values[row] = [], {}, {}
            for name in names:
                if name not in layers:
                    raise Unfit(f"--layer {name}: this layer puts out no tensor while the network answers.")
                values = layers[name][0].detach().float().cpu()
                sheet, said = sheets.activation_sheet(values)
                png = encode_png(heat.enlarged(sheet, SHEET_SIDE))
                found.panels[row].append(Sample([name, said], png))
                found.by_row[row][name] = {
                    "shape": list(values.shape),
                    "active": round(float((values > 0).float().mean()), 4),
                }
                found.values[row][name] = values
        return found

    def _filters(self, request: Request) -> Explanation:
        modules = dict(request.model.named_modules())
        first = self._first(request)
        channels, height, width = first.shape[1:]
        names = [self._known_layer(request, name) for name in request.options.layer] or [
            name
            for name, module in modules.items()
            if (isinstance(module, nn.Conv2d) and module.in_channels == channels)
            or (isinstance(module, nn.Linear) and module.in_features == channels * height * width)
        ][:1]
        if not names:
            raise Unfit("--method filters: no layer of this network sees the picture's own pixels.")
        found = Explanation()
        for name in names:
            weight = getattr(modules[name], "weight", None)
            if isinstance(weight, Tensor) and weight.dim() == 2 and weight.shape[1] == channels * height * width:
                weight = weight.reshape(-1, channels, height, width)
            if not isinstance(weight, Tensor) or weight.dim() != 4:
                raise Unfit(f"--layer {name}: {type(modules[name]).__name__} has no filters to be seen as pictures.")
            filters = weight.detach().float().cpu()
            png = encode_png(heat.enlarged(sheets.filter_sheet(filters), SHEET_SIDE))
            shape = "x".join(map(str, filters.shape[2:]))
            said = f"{plural(len(filters), 'filter')} of {shape} over {plural(filters.shape[1], 'channel')}"
            shown = f"the first {sheets.MOST_FILTERS} of " if len(filters) > sheets.MOST_FILTERS else ""
            note = f"{shown}{said}; {sheets.filter_note(filters)}"
            found.figures.append(Gallery(f"Filters of {name}", [Sample([name, said], png)], note=note))
            found.numbers[name] = {
                "shape": list(filters.shape),
                "norms": [round(float(n), 6) for n in filters.flatten(1).norm(dim=1)],
            }
            found.tensors[name] = filters
        return found

    def _each(self, request: Request) -> Iterable[tuple[int, Tensor, Tensor, Callable[[Tensor], Tensor]]]:
        """(row, picture [1, C, H, W], class [1], pictures -> logits) of each sample, telling the progress."""
        asked = class_index(request.options.of_class, self._labels)
        for index, row in enumerate(request.rows.tolist()):
            batch = request.task.batch(request.encoded, request.rows[index : index + 1], None).to(request.device)
            logits = self._logits(request, batch)
            image = batch[self._pictures].contiguous()
            with torch.no_grad():
                answered = logits(image).argmax(1)
            target = answered if asked is None else torch.full_like(answered, asked)
            yield row, image, target, logits
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
        image: Tensor,
        values: Tensor,
        name: str,
        said: list[str],
        *,
        signed: bool,
        quantile: float = 0.995,
        least: float = 0.0,
    ) -> None:
        """A panel of the values [H, W] over the picture, and the place of the largest one.

        least  values that stay below this are drawn as nothing
        """
        drawn = heat.scaled(values, quantile) if float(values.abs().max()) > least else torch.zeros_like(values)
        png = encode_png(heat.over_picture(self._shown(image[0]), drawn, is_signed=signed))
        found.panels[row] = [Sample([name, *said], png)]
        y, x = divmod(int(values.argmax()), values.shape[1])
        found.by_row[row] = {"class": name.rsplit(" of ", 1)[1], "peak": [y, x]}

    def _shown(self, image: Tensor) -> Tensor:
        """A normalized picture [C, H, W] as pixels [H, W, C] uint8."""
        pixels = (image.detach().cpu().float() * self._deviation + self._mean) * 255
        return pixels.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)

    def _baseline(self, request: Request, image: Tensor, usual: str) -> Tensor:
        """The picture that shows nothing, like `image` [1, C, H, W]."""
        kind = usual if request.options.baseline == "auto" else request.options.baseline
        if kind == "blur":
            return attribution.blurred(image, max(image.shape[2:]) / 8)
        if kind == "mean":
            return torch.zeros_like(image)
        value = ((1.0 if kind == "white" else 0.0) - self._mean) / self._deviation  # [C, 1, 1]
        return value.to(image.device).expand_as(image[0])[None].contiguous()

    def _noise(self, seed: int, row: int, draw: int, image: Tensor) -> Tensor:
        values = rng.generator(seed, "smoothgrad", row, draw).standard_normal(tuple(image.shape), dtype=np.float32)
        return torch.from_numpy(values).to(image.device)

    def _name(self, target: Tensor) -> str:
        return self._labels[int(target)]

    def _map_layer(self, request: Request, first: Tensor) -> str:
        logits = self._logits(request, Batch({}, 1, np.zeros(1, np.int64)))
        if not request.options.layer:
            layer = last_map_layer(request.model, lambda: logits(first))
            if layer is None:
                raise Unfit("--method grad-cam: no layer of this network keeps places apart, so it has no map to show.")
            return layer
        layer = self._known_layer(request, request.options.layer[0])
        with torch.no_grad():
            _, layers = layer_outputs(request.model, lambda: logits(first), (layer,))
        if not is_map(layers.get(layer)):
            shape = tuple(layers[layer].shape[1:]) if layer in layers else "nothing"
            raise Unfit(f"--layer {layer}: puts out {shape}, but Grad-CAM needs maps [channels, height, width].")
        return layer

    def _layers(self, request: Request, method: str) -> list[str]:
        """The layers asked for, or the first, a middle and the last convolution (any layer where there is none)."""
        if request.options.layer:
            return [self._known_layer(request, name) for name in request.options.layer]
        logits = self._logits(request, Batch({}, 1, np.zeros(1, np.int64)))
        with torch.no_grad():
            _, layers = layer_outputs(request.model, lambda: logits(self._first(request)))
        modules = dict(request.model.named_modules())
        names = [name for name in layers if isinstance(modules[name], nn.Conv2d)]
        names = names or [name for name in layers if not any(modules[name].children())]
        if not names:
            raise Unfit(f"--method {method}: this network has no layers of its own to look at.")
        return list(dict.fromkeys([names[0], names[len(names) // 2], names[-1]]))

    def _known_layer(self, request: Request, name: str) -> str:
        known = [known for known, _ in request.model.named_modules() if known]
        if name not in known:
            shown = known if len(known) <= 30 else [each for each in known if "." not in each]
            raise OptionError(
                f"--layer {name}: no such layer{did_you_mean(name, known if _near(name, known) else shown)}"
            )
        return name


_BASELINES = {
    "black": "black",
    "white": "white",
    "mean": "the mean colour of the training pictures",
    "blur": "the picture itself, blurred",
}


def _near(name: str, known: list[str]) -> bool:
    return not did_you_mean(name, known).startswith("; there is")


def _batch_size(image: Tensor) -> int:
    """How many such pictures go through the network at once."""
    return max(1, min(64, VALUES_AT_ONCE // image[0].numel()))
