"""Words and options of a command line: `--name value`, `--name=value`, `--flag`, `--no-flag`, `--` before odd names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deepen.core.errors import OptionError
from deepen.core.options import OptionField, convert, names_of, unknown


@dataclass(frozen=True)
class Arguments:
    """What stood on the command line: the words in their order, and converted values by dotted option name."""

    words: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)

    def only(self, fields: Mapping[str, OptionField]) -> dict[str, Any]:
        """The values of these options alone."""
        return {name: value for name, value in self.values.items() if name in fields}


def wants_help(argv: Sequence[str]) -> bool:
    """Whether -h or --help stands before any `--`."""
    before = argv[: argv.index("--")] if "--" in argv else argv
    return "--help" in before or "-h" in before


def value_of(argv: Sequence[str], flag: str) -> str | None:
    """The value of one flag, looked up before it is known which options there are: `--model NAME`."""
    for index, word in enumerate(argv):
        if word == "--":
            break
        if word == flag and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None


def parse(argv: Sequence[str], fields: Mapping[str, OptionField]) -> Arguments:
    """The command line taken apart by what options there are.

    Raises OptionError for an unknown option, a wrong or missing value, and an option given twice.
    """
    by_name, words, raw = names_of(fields), [], {}
    rest = iter(argv)
    for word in rest:
        if word == "--":
            words.extend(rest)
        elif not word.startswith("-") or word == "-":
            words.append(word)
        else:
            option, value = _option(word, rest, by_name, fields)
            if option.name in raw and raw[option.name] != value:
                raise OptionError(
                    f"{option.flag}: given twice, as {raw[option.name]!r} and as {value!r}; give it once."
                )
            raw[option.name] = value
    return Arguments(tuple(words), {name: convert(fields[name], value) for name, value in raw.items()})


def take(words: Sequence[str], names: Sequence[str], *, usage: str) -> list[str]:
    """Exactly these words, or the sentence that says which is missing or too much."""
    if len(words) < len(names):
        raise OptionError(f"{names[len(words)]} is missing; usage: {usage}")
    if len(words) > len(names):
        raise OptionError(f"{words[len(names)]!r}: one word too many; usage: {usage}")
    return list(words)


def _option(
    word: str,
    rest: Iterator[str],
    by_name: Mapping[str, OptionField],
    fields: Mapping[str, OptionField],
) -> tuple[OptionField, Any]:
    if not word.startswith("--"):
        raise OptionError(f"{word}: no such option; options begin with two dashes, and a file of that name is ./{word}")
    name, equals, value = word[2:].partition("=")
    key = name.replace("-", "_")
    option = by_name.get(key)
    if option is None:
        option = _negated(key, by_name)
        if option is None:
            raise OptionError(unknown(name, fields, flags=True, others=_negations(fields)))
        if equals:
            raise OptionError(f"--{name}: takes no value; write {option.flag}={value} or --{name}.")
        return option, "false"
    if equals:
        return option, value
    if option.kind.base is bool and not option.kind.many:
        return option, "true"
    return option, _next(option, rest)


def _next(option: OptionField, rest: Iterator[str]) -> str:
    value = next(rest, "--")
    if value.startswith("--"):
        raise OptionError(f"{option.flag}: needs a value: {option.kind.words()}.")
    return value


def _negated(key: str, by_name: Mapping[str, OptionField]) -> OptionField | None:
    """The bool option x of `no_x`, and group.x of `group.no_x` or `no_group.x`."""
    if "no_" not in key:
        return None
    option = by_name.get(key.replace("no_", "", 1))
    return option if option is not None and option.kind.base is bool and not option.kind.many else None


def _negations(fields: Mapping[str, OptionField]) -> list[str]:
    return [f"no_{name}" for name, option in fields.items() if option.kind.base is bool]
