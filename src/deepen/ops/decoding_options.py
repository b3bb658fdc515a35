"""How the next one is chosen when something is generated: the options, without torch, which the command line reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepen.core.errors import OptionError


@dataclass(frozen=True)
class DecodingOptions:
    """How the next one is chosen, and how many there are to be. Without a limit, all choices are drawn from."""

    length: int = field(default=100, metadata={"help": "how many are generated", "least": 1})
    greedy: bool = field(default=False, metadata={"help": "always take the most probable one"})
    temperature: float = field(
        default=1.0,
        metadata={
            "help": "divides the log-probabilities: below 1 bolder, above 1 wilder",
            "above": 0.0,
        },
    )
    top_k: int | None = field(default=None, metadata={"help": "draw from this many most probable ones", "least": 1})
    top_p: float | None = field(
        default=None,
        metadata={
            "help": "draw from the smallest set of most probable ones with this much probability",
            "above": 0.0,
            "most": 1.0,
        },
    )
    beam: int | None = field(
        default=None, metadata={"help": "search the most probable whole, with this many hypotheses", "least": 1}
    )
    seed: int = field(default=0, metadata={"help": "seed of the draws", "least": 0})


def require_one_way(options: DecodingOptions) -> None:
    """Raises OptionError where two ways of choosing are asked for at once."""
    draws = {
        "--temperature": options.temperature != 1.0,
        "--top-k": options.top_k is not None,
        "--top-p": options.top_p is not None,
    }
    drawn = [flag for flag, is_set in draws.items() if is_set]
    if options.greedy and options.beam is not None:
        raise OptionError("--greedy: and --beam are two ways to choose; give one of them.")
    if drawn and (options.greedy or options.beam is not None):
        other = "--greedy" if options.greedy else "--beam"
        raise OptionError(f"{drawn[0]}: is about drawing at random, which {other} does not do; give one of them.")
