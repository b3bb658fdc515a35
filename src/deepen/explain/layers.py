"""The layers of a network as pictures: what they put out, and the weights of those that see a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.core.figures import Gallery, Sample
from deepen.core.names import did_you_mean
from deepen.core.units import plural
from deepen.explain.explaining import Explanation, Request, Unfit
from deepen.nn.feature_maps import layer_outputs
from deepen.ops import heat, sheets
from deepen.prepare.image import encode_png

SHEET_SIDE = 480  # pixels to which sheets of small maps are enlarged


def known(request: Request, name: str) -> str:
    """The name, if a layer has it. Raises OptionError with the nearest name or the list if none has."""
    names = [each for each, _ in request.model.named_modules() if each]
    if name not in names:
        shown = names if len(names) <= 30 else [each for each in names if "." not in each]
        raise OptionError(f"--layer {name}: no such layer{did_you_mean(name, names if _near(name, names) else shown)}")
    return name


def activations(
    request: Request, calls: Iterable[tuple[int, Callable[[], Tensor]]], first: Callable[[], Tensor]
) -> Explanation:
    """What the layers asked for put out for each sample, or the first, a middle and the last convolution.

    calls  by row what runs the network with that sample
    first  runs it with any
    """
    found = Explanation()
    names = _looked_at(request, "activations", first)
    for row, call in calls:
        with torch.no_grad():
            _, layers = layer_outputs(request.model, call, names)
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


def filters(request: Request, first: Tensor) -> Explanation:
    """The weights of the layers asked for, or of the first layer that sees a picture like `first` [1, C, H, W]."""
    modules = dict(request.model.named_modules())
    channels, height, width = first.shape[1:]
    names = [known(request, name) for name in request.options.layer] or [
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
        kernels = weight.detach().float().cpu()
        png = encode_png(heat.enlarged(sheets.filter_sheet(kernels), SHEET_SIDE))
        shape = "x".join(map(str, kernels.shape[2:]))
        said = f"{plural(len(kernels), 'filter')} of {shape} over {plural(kernels.shape[1], 'channel')}"
        shown = f"the first {sheets.MOST_FILTERS} of " if len(kernels) > sheets.MOST_FILTERS else ""
        note = f"{shown}{said}; {sheets.filter_note(kernels)}"
        found.figures.append(Gallery(f"Filters of {name}", [Sample([name, said], png)], note=note))
        found.numbers[name] = {
            "shape": list(kernels.shape),
            "norms": [round(float(n), 6) for n in kernels.flatten(1).norm(dim=1)],
        }
        found.tensors[name] = kernels
    return found


def _looked_at(request: Request, method: str, first: Callable[[], Tensor]) -> list[str]:
    """The layers asked for, or the first, a middle and the last convolution (any layer where there is none)."""
    if request.options.layer:
        return [known(request, name) for name in request.options.layer]
    with torch.no_grad():
        _, layers = layer_outputs(request.model, first)
    modules = dict(request.model.named_modules())
    names = [name for name in layers if isinstance(modules[name], nn.Conv2d)]
    names = names or [name for name in layers if not any(modules[name].children())]
    if not names:
        raise Unfit(f"--method {method}: this network has no layers of its own to look at.")
    return list(dict.fromkeys([names[0], names[len(names) // 2], names[-1]]))


def _near(name: str, known: list[str]) -> bool:
    return not did_you_mean(name, known).startswith("; there is")
