"""Options as frozen dataclasses: each default and each line of help exists once, here and in no parser.

A field is a bool, int, float, str, Literal, tuple[..., ...] of those, any of them `| None`, or a nested frozen
dataclass, whose fields then have dotted names. Its metadata may hold
    help     one line (or a string under the field)      alias   another name in its group, such as "lr"
    internal true: set by our own code alone, no option     needs   the option of the same dataclass that must be on
    choices  the only values                             least, most, above, below   limits of a number

    optimizer.learning_rate     in Python and in config files, where {"optimizer": {"learning_rate": 0.1}} is the same
    --optimizer.learning-rate   on the command line; underscores do as well

Our own code, not tyro: a wrong value must give the same sentence from a flag, a config file and a keyword.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal, TypeVar, Union

from deepen.core.convert import Kind, converted
from deepen.core.errors import OptionError
from deepen.core.names import nearest

T = TypeVar("T")


@dataclass(frozen=True)
class OptionField:
    """One option.

    name     dotted, as in Python: optimizer.learning_rate
    group    the dataclass that was asked for (the outermost)
    default  its value when nothing is given, or dataclasses.MISSING
    aliases  other dotted names
    needs    the option without which nothing reads this one
    """

    name: str
    kind: Kind
    default: Any
    help: str
    group: type
    aliases: tuple[str, ...] = ()
    needs: str = ""

    @property
    def flag(self) -> str:
        """--optimizer.learning-rate"""
        return flag_of(self.name)


def flag_of(name: str) -> str:
    """The flag of a dotted name: `--optimizer.learning-rate`."""
    return f"--{name.replace('_', '-')}"


@cache
def fields_of(*groups: type) -> Mapping[str, OptionField]:
    """Every option of these dataclasses by its dotted name, in their order. No two may share a name or an alias."""
    found: dict[str, OptionField] = {}
    taken: set[str] = set()
    for group in groups:
        for option in _fields(group, group, "", MISSING):
            names = {option.name, *option.aliases}
            assert not taken & names, f"{group.__name__}: {taken & names} is the name of another option already"
            taken |= names
            found[option.name] = option
    return types.MappingProxyType(found)


def convert(option: OptionField, value: Any, place: str = "") -> Any:
    """The value in the option's type. Raises OptionError beginning with `place`, by default the option's flag."""
    return converted(option.kind, value, place or option.flag)


def resolve(
    fields: Mapping[str, OptionField], given: Mapping[str, Any], *, flags: bool = False, where: str = ""
) -> dict[str, Any]:
    """Converted values by dotted name, from values under any spelling of the names, nested or flat.

    flags  names in messages are written as flags, else as in Python
    where  what messages begin with, such as "recipe.json, "
    Raises OptionError for an unknown name (with the nearest one), a wrong value, and an option given twice.
    """
    found: dict[str, Any] = {}
    by_name = names_of(fields)
    for name, value in flat(given).items():
        option = by_name.get(name.replace("-", "_"))
        place = where + (flag_of(name) if flags else name)
        if option is None:
            raise OptionError(where + unknown(name, fields, flags=flags))
        if option.name in found:
            raise OptionError(f"{place}: given twice, under two names; give it once.")
        found[option.name] = convert(option, value, place)
    return found


def names_of(fields: Mapping[str, OptionField]) -> dict[str, OptionField]:
    """Options by name and by alias."""
    return {name: option for option in fields.values() for name in (option.name, *option.aliases)}


def unknown(name: str, fields: Mapping[str, OptionField], *, flags: bool = False, others: Iterable[str] = ()) -> str:
    """The sentence about an option that does not exist, with the nearest that does.

    others  further names that exist beside the fields, such as a verb's own flags

    `--optimizer.lrr: no such option; did you mean --optimizer.lr?`
    """
    name = name.replace("-", "_")
    known = [*names_of(fields), *(other.replace("-", "_") for other in others)]
    spelled = flag_of if flags else str
    inside = [other for other in known if other.startswith(f"{name}.")]
    if inside:
        return f"{spelled(name)}: is a group of options, not one; it has {', '.join(map(spelled, inside))}."
    near = next((other for other in known if other.endswith(f".{name}")), None) or nearest(name, known)
    mend = f"; did you mean {spelled(near)}?" if near else _listing(known, flags)
    return f"{spelled(name)}: no such option{mend}"


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings and option dataclasses under dotted names, each value as it is."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = _values(value)
        inner = flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
        for dotted, leaf in inner.items():
            if dotted in found:
                raise OptionError(f"{dotted}: given twice, nested and with a dot; give it once.")
            found[dotted] = leaf
    return found


def build(group: type[T], values: Mapping[str, Any]) -> T:
    """The options of a group from converted values by dotted name; what is missing has its default.

    Names that are not of this group are passed over: `resolve` has refused those of no group.
    Raises OptionError for an option without a default that is missing.
    """
    return _build(group, values, "", MISSING)


def flatten(instance: Any) -> dict[str, Any]:
    """Every option of an instance by dotted name, JSON-able: tuples are lists."""
    flattened = flat(_values(instance))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in flattened.items()}


def nested(instance: Any) -> dict[str, Any]:
    """The same as JSON-able mappings within mappings."""
    found: dict[str, Any] = {}
    for name, value in _values(instance).items():
        found[name] = (
            nested(value) if dataclasses.is_dataclass(value) else list(value) if isinstance(value, tuple) else value
        )
    return found


def _options(group: Any) -> list[dataclasses.Field[Any]]:
    """The fields that are options."""
    return [field for field in dataclasses.fields(group) if not field.metadata.get("internal")]


def _values(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in _options(instance)}


@cache
def _hints(group: type) -> dict[str, Any]:
    return typing.get_type_hints(group)


@cache
def _docstrings(group: type) -> dict[str, str]:
    """The strings that stand under the fields in the source, for those whose metadata has no help."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(group))).body[0]
    except (OSError, TypeError):
        return {}
    lines = body.body if isinstance(body, ast.ClassDef) else []
    return {
        before.target.id: " ".join(str(after.value.value).split()).rstrip(".")
        for before, after in pairwise(lines)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }


def _default(field: dataclasses.Field[Any], parent: Any) -> Any:
    """The field's default, or what the parent's default instance has in it."""
    if parent is not MISSING:
        return getattr(parent, field.name)
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _fields(group: type, outermost: type, prefix: str, parent: Any) -> Iterable[OptionField]:
    for field in _options(group):
        hint, default = _hints(group)[field.name], _default(field, parent)
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            yield from _fields(hint, outermost, f"{prefix}{field.name}.", default)
            continue
        alias = field.metadata.get("alias", ())
        aliases = tuple(prefix + name for name in ((alias,) if isinstance(alias, str) else alias))
        kind = _kind(hint, field.metadata, f"{group.__name__}.{field.name}")
        text = field.metadata.get("help") or _docstrings(group).get(field.name, "")
        needs = prefix + field.metadata["needs"] if "needs" in field.metadata else ""
        yield OptionField(prefix + field.name, kind, default, text, outermost, aliases, needs)


def _build(group: type[T], values: Mapping[str, Any], prefix: str, parent: Any) -> T:
    arguments = {}
    for field in dataclasses.fields(group):  # type: ignore[arg-type]
        hint, name, default = _hints(group)[field.name], prefix + field.name, _default(field, parent)
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            arguments[field.name] = _build(hint, values, f"{name}.", default)
        elif name in values:
            arguments[field.name] = values[name]
        elif default is MISSING:
            raise OptionError(f"{flag_of(name)}: is needed and not given: {field.metadata.get('help', 'no default')}.")
        else:
            arguments[field.name] = default
    return group(**arguments)


def _kind(hint: Any, metadata: Mapping[str, Any], owner: str) -> Kind:
    optional = many = False
    if typing.get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        assert len(inner) == 1, f"{owner}: a union of two types; an option has one type, and None"
        hint, optional = inner[0], True
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        assert len(parts) == 2 and parts[1] is Ellipsis, f"{owner}: tuples of options are of any length: tuple[X, ...]"
        hint, many = parts[0], True
    choices = tuple(metadata.get("choices", ()))
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        hint = type(choices[0])
    assert hint in (bool, int, float, str), f"{owner}: {hint} is no type of an option"
    limits = {name: metadata[name] for name in ("least", "most", "above", "below") if name in metadata}
    return Kind(hint, many, optional, choices, **limits)


def _listing(known: Iterable[str], flags: bool) -> str:
    names = sorted(known)
    if len(names) > 12 or not names:
        return "; --help lists what there is." if flags else "."
    return f"; there is: {', '.join(flag_of(name) if flags else name for name in names)}."
