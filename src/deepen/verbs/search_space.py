"""What `tune` searches: which options over which values, as the options' own files propose, or as --search says.

A field of an options dataclass may propose its values in its metadata, {"search": SPEC}, in the words of --search:

    0.0001..0.1        a range; whole numbers where the option is one
    0.0001..0.1:log    on a logarithmic scale
    32..512:powers     powers of two
    0.1..10:times      from so many to so many times the value that the training would have anyway, logarithmic
    sgd,adamw          these values; of an option that is a list of values, separated by ";"

Where several models are searched, each has its own recipe and its own options, so that what they propose is searched
for each model by itself.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_type_hints

from deepen.core import names, options
from deepen.core.errors import OptionError
from deepen.core.options import OptionField
from deepen.data.read import ReadOptions
from deepen.data.split import SplitOptions
from deepen.verbs.options import Resolved, groups, resolved, task_module

DEFAULT = "default"  # the word of --search that stands for everything that is proposed
SCALES = ("log", "powers", "times")
DIGITS = 3  # significant digits of a number that is tried: what a person could type
MOST_POINTS = 1000  # a space with fewer points than this may be tried out whole

_RANGE = re.compile(r"\s*([^:,;]+?)\s*\.\.\s*([^:,;]+?)\s*(?::\s*([\w-]*)\s*)?")
_JUDGED = "all trials are judged on the same samples, chosen once"
_SAME = "it changes how fast a trial is, not how good"
_NOT_SEARCHED = {
    "seed": "the best of several seeds is luck, not merit",
    **dict.fromkeys(options.fields_of(SplitOptions), _JUDGED),
    **dict.fromkeys(options.fields_of(ReadOptions), _JUDGED),
    **dict.fromkeys(("device", "devices", "threads", "checkpoint_every", "timeout", "top"), _SAME),
}

Scale = Literal["linear", "log", "powers", "choices"]


@dataclass(frozen=True)
class Dimension:
    """One option and where to look for its best value. What is drawn is a number, or the text of a choice.

    key      its name in the study
    choices  the texts of the values, where the scale is "choices"
    low, high  the ends of the range; of "powers" the exponents of two
    default  what would have to be drawn to get the value that the training has anyway, None where nothing would
    """

    option: OptionField
    key: str
    scale: Scale
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    default: str | float | None = None

    @property
    def name(self) -> str:
        """The option's dotted name."""
        return self.option.name

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return self.scale == "powers" or (self.scale != "choices" and self.option.kind.base is int)

    @property
    def num_points(self) -> float:
        """How many different values there are."""
        if self.scale == "choices":
            return len(self.choices)
        return self.high - self.low + 1 if self.is_whole else math.inf

    def value(self, drawn: str | float) -> Any:
        """The option's value for what was drawn, numbers rounded to three digits within the range."""
        if self.scale == "choices":
            return options.convert(self.option, drawn)
        number = float(drawn)
        if self.scale == "powers":
            return 2 ** round(number)
        if self.is_whole:
            return round(number)
        return min(max(float(f"{number:.{DIGITS}g}"), self.low), self.high)

    def words(self) -> str:
        """The dimension in the words of --search."""
        if self.scale == "choices":
            return (";" if self.option.kind.many else ",").join(self.choices)
        if self.scale == "powers":
            return f"{2 ** int(self.low)}..{2 ** int(self.high)}:powers"
        return f"{self.low:g}..{self.high:g}{':log' if self.scale == 'log' else ''}"


@dataclass(frozen=True)
class Space:
    """The dimensions of each model that is tried, and the trainings that the search begins from.

    models      the first one is that of the first trial
    model       the dimension of the models, None where there is only one
    dimensions  by model
    starts      by model: its options where nothing is searched
    """

    models: tuple[str, ...]
    model: Dimension | None
    dimensions: Mapping[str, tuple[Dimension, ...]]
    starts: Mapping[str, Resolved]

    @property
    def num_points(self) -> float:
        """How many different trainings there are, infinitely many where a number is searched."""
        return sum(math.prod(each.num_points for each in self.dimensions[model]) for model in self.models)

    def described(self) -> dict[str, str]:
        """Every dimension by its key, in the words of --search."""
        found = [
            *([self.model] if self.model else []),
            *(each for model in self.models for each in self.dimensions[model]),
        ]
        return {each.key: each.words() for each in found}


def space(
    task: str,
    given: Mapping[str, Any],
    config: str | Path | None = None,
    *,
    search: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
    flags: bool = False,
) -> Space:
    """What to search.

    given, config, base  the training's options, as in `verbs.options.resolved`; what is `given` stays as it is, what a
                         config file says is only where the search begins
    search               "NAME=SPEC" each, or "default" for what the options propose; nothing means "default" too

    Raises OptionError for a wrong specification, an option that is stated as well, and where nothing is left to search.
    """
    pairs = _pairs(search)
    proposes = not pairs or DEFAULT in search
    start = resolved(task, given, config, flags=flags, base=base)
    model = _model_dimension(task, pairs, start, given)
    models = _models(model, start)
    starts = {
        name: start if name == start.task.model else resolved(task, {**given, "model": name}, config, base=base)
        for name in models
    }
    _check_known(task, models, pairs)
    stated = _stated(task, models, given)
    dimensions = {}
    for name in models:
        fields = options.fields_of(*groups(task, name))
        by_hand = [_dimension_by_hand(fields, each, spec, starts[name], stated) for each, spec in pairs.items()]
        found = {each.name: each for each in by_hand if each is not None}
        if proposes:
            found = {**_proposals(task, name, starts[name], stated, is_one_of_many=len(models) > 1), **found}
        dimensions[name] = tuple(found.values())
    if model is None and not any(dimensions.values()):
        raise OptionError(
            "--search: nothing is left to search; name options to search, such as optimizer.lr=1e-4..1e-1:log."
        )
    return Space(models, model, dimensions, starts)


def dimension(option: OptionField, spec: str, default: Any, *, place: str, key: str = "") -> Dimension:
    """The dimension that SPEC describes.

    default  the value that the training would have anyway
    place    what sentences begin with, such as "--search dropout=0..2"

    Raises OptionError for what is no range or list of values of that option.
    """
    key = key or option.name
    found = _RANGE.fullmatch(spec)
    if found is None or option.kind.many or option.kind.base in (bool, str):
        if ".." in spec and option.kind.base is not str:
            raise OptionError(f"{place}: expected LOW..HIGH, or values separated by commas, but is {spec!r}.")
        return _choices(option, spec, default, place, key)
    low_text, high_text, scale = found.groups()
    if scale is not None and scale not in SCALES:
        raise OptionError(f"{place}: {scale!r} is no scale{names.did_you_mean(scale, SCALES)}")
    if scale == "times":
        return _around(option, low_text, high_text, default, place, key)
    low, high = (_number(option, text, place) for text in (low_text, high_text))
    return _range(option, low, high, cast(Scale, scale or "linear"), default, place, key)


def _pairs(search: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in search:
        name, equals, spec = item.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if item == DEFAULT:
            continue
        if not equals or not name or not spec.strip():
            raise OptionError(
                f"--search {item}: expected NAME=SPEC such as optimizer.lr=1e-4..1e-1:log or model=mlp,tabm, "
                "or the word default."
            )
        if name in found:
            raise OptionError(f"--search {name}: given twice, as {found[name]!r} and as {spec!r}; give it once.")
        found[name] = spec.strip()
    return found


def _model_dimension(task: str, pairs: dict[str, str], start: Resolved, given: Mapping[str, Any]) -> Dimension | None:
    """The dimension of the models, taken out of the pairs; every name is that of a model of this task."""
    if "model" not in pairs:
        return None
    place = f"--search model={pairs['model']}"
    if "model" in options.flat(given):
        raise OptionError(f"{place}: --model is stated as well; leave one of them out.")
    option = options.fields_of(*groups(task, start.task.model))["model"]
    found = dimension(option, pairs.pop("model"), start.task.model, place=place)
    for name in found.choices:
        names.model(name, task_module(task).CONTRACT)
    return found


def _models(model: Dimension | None, start: Resolved) -> tuple[str, ...]:
    if model is None:
        return (start.task.model,)
    first = start.task.model
    return tuple(sorted(model.choices, key=lambda name: name != first))


def _check_known(task: str, models: Sequence[str], pairs: Mapping[str, str]) -> None:
    """Raises OptionError for an option that none of the models has, that is not to be searched, or is there twice."""
    fields = {name: field for model in models for name, field in options.fields_of(*groups(task, model)).items()}
    by_name, found = options.names_of(fields), set()
    for name, spec in pairs.items():
        option = by_name.get(name)
        if option is None:
            raise OptionError(f"--search {options.unknown(name, fields)}")
        if option.name in _NOT_SEARCHED:
            raise OptionError(f"--search {name}={spec}: this option is not searched, for {_NOT_SEARCHED[option.name]}.")
        if option.name in found:
            raise OptionError(f"--search {name}={spec}: given twice, under two names; give it once.")
        found.add(option.name)


def _stated(task: str, models: Sequence[str], given: Mapping[str, Any]) -> set[str]:
    """The options that the user states, by their dotted names."""
    found = set()
    for model in models:
        by_name = options.names_of(options.fields_of(*groups(task, model)))
        found |= {by_name[name].name for name in (n.replace("-", "_") for n in options.flat(given)) if name in by_name}
    return found


def _dimension_by_hand(
    fields: Mapping[str, OptionField], name: str, spec: str, start: Resolved, stated: set[str]
) -> Dimension | None:
    """The dimension of a pair, None where this model has no such option."""
    option = options.names_of(fields).get(name)
    if option is None:
        return None
    place = f"--search {name}={spec}"
    if option.name in stated:
        raise OptionError(f"{place}: {option.flag} is stated as well; leave one of them out.")
    key = f"{option.name} of {start.task.model}" if spec.endswith(":times") else ""
    return dimension(option, spec, start.flat[option.name], place=place, key=key)


def _proposals(
    task: str, model: str, start: Resolved, stated: set[str], *, is_one_of_many: bool
) -> dict[str, Dimension]:
    """What the options' own files propose, but for what the user states and what cannot be searched here.

    A range that is relative to a value of 0 or none is no range. With a budget in steps a larger batch would always
    see more data, so the batch stays.
    """
    chosen = groups(task, model)
    fields = options.fields_of(*chosen)
    found = {}
    for name, spec in (pair for group in chosen for pair in proposed(group)):
        default = start.flat[name]
        if name in stated or (spec.endswith(":times") and not default):
            continue
        if name == "batch_size" and start.fit.steps is not None:
            continue
        key = f"{name} of {model}" if is_one_of_many else name
        found[name] = dimension(fields[name], spec, default, place=f"search of {name}", key=key)
    return found


def proposed(group: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The dotted name and the SPEC of each field of an options dataclass that proposes one."""
    hints = get_type_hints(group)
    for field in dataclasses.fields(group):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from proposed(cast(type, hints[field.name]), f"{prefix}{field.name}.")
        elif "search" in field.metadata:
            yield prefix + field.name, field.metadata["search"]


def _choices(option: OptionField, spec: str, default: Any, place: str, key: str) -> Dimension:
    texts = tuple(text.strip() for text in spec.split(";" if option.kind.many else ","))
    values = [options.convert(option, text, place) for text in texts]
    if "" in texts or len(texts) < 2:
        raise OptionError(f"{place}: expected two values or more, but is {spec!r}; state a single one as an option.")
    for index, value in enumerate(values):
        if value in values[:index]:
            raise OptionError(f"{place}: {texts[index]!r} is there twice; name each value once.")
    is_there = [text for text, value in zip(texts, values, strict=True) if _as_tuple(value) == _as_tuple(default)]
    return Dimension(option, key, "choices", choices=texts, default=is_there[0] if is_there else None)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _number(option: OptionField, text: str, place: str) -> float:
    value = options.convert(option, text, place)
    if value is None:
        raise OptionError(f"{place}: expected LOW..HIGH with two numbers, but is {text!r}.")
    return value


def _around(option: OptionField, low: str, high: str, default: Any, place: str, key: str) -> Dimension:
    """From `low` to `high` times the default, as far as the option's limits allow."""
    try:
        factors = [float(low), float(high)]
    except ValueError:
        raise OptionError(f"{place}: expected LOW..HIGH with two factors, but is {low}..{high}.") from None
    if not default or isinstance(default, list) or min(factors) <= 0 or not all(map(math.isfinite, factors)):
        raise OptionError(
            f"{place}: expected factors above 0 of a number that is not 0, but {option.name} is {default}; "
            "write a range without :times."
        )
    ends = [factor * default for factor in factors]
    if option.kind.base is int:
        ends = [max(1, round(end)) for end in ends]
    limits = (option.kind.least, option.kind.most)
    ends = [max(end, limits[0]) if limits[0] is not None else end for end in ends]
    ends = [min(end, limits[1]) if limits[1] is not None else end for end in ends]
    for end in ends:
        options.convert(option, end, place)
    return _range(option, *(float(f"{end:.{DIGITS}g}") for end in ends), "log", default, place, key)


def _range(option: OptionField, low: float, high: float, scale: Scale, default: Any, place: str, key: str) -> Dimension:
    if low >= high:
        raise OptionError(f"{place}: expected LOW below HIGH, but {low:g} is not below {high:g}.")
    if scale in ("log", "powers") and low <= 0:
        raise OptionError(f"{place}: expected a LOW above 0 for the scale {scale}, but is {low:g}.")
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    if scale == "powers":
        if option.kind.base is not int:
            raise OptionError(f"{place}: {option.name} is no whole number; use the scale log instead of powers.")
        first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
        if first >= last:
            raise OptionError(f"{place}: expected two powers of two or more from {low:g} to {high:g}.")
        exponent = math.log2(default) if is_number and default > 0 else math.nan
        is_there = exponent == round(exponent) and first <= exponent <= last if math.isfinite(exponent) else False
        return Dimension(option, f"log2 of {key}", scale, (), first, last, exponent if is_there else None)
    is_there = is_number and low <= default <= high
    return Dimension(option, key, scale, (), low, high, default if is_there else None)
