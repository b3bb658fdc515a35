"""The commands of docs/results.md: what is trained on what, the figure that counts, and what we aim at."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

TEXTS, PAIRS = "text-classification", "text-pair-classification"


@dataclass(frozen=True)
class Command:
    """One training.

    data       a data set's folder and, where it is one, the file in it; "digits" comes with deepen
    arguments  what follows on the command line
    metric     the figure that counts, by its name in the run; `better` says which way
    aim        None where there is none: the figure is then only recorded
    optional   left out unless it is named
    """

    name: str
    task: str
    data: str
    arguments: tuple[str, ...]
    metric: str
    better: Literal["higher", "lower"] = "higher"
    aim: float | None = None
    optional: bool = False

    def words(self, path: str) -> list[str]:
        """The command's words for data at a path."""
        return ["deepen", "train", self.task, path, *self.arguments]

    def shown(self) -> str:
        """The command as a reader can type it, `DATA` for the folder of the data sets."""
        path = self.data if self.is_built_in else f"DATA/{self.data}"
        return shlex.join(self.words(path))

    @property
    def is_built_in(self) -> bool:
        """Whether the data come with deepen."""
        return self.data == "digits"


COMMANDS = (
    Command("fashion", "image-classification", "fashion_mnist", ("--time", "10m"), "accuracy", aim=0.945),
    Command(
        "fashion-hour",
        "image-classification",
        "fashion_mnist",
        ("--time", "60m", "--precision", "bf16"),
        "accuracy",
        aim=0.945,
        optional=True,
    ),
    Command("mnist", "image-classification", "mnist", ("--time", "10m"), "accuracy", aim=0.994),
    Command("mnist-cnn", "image-classification", "mnist", ("--model", "cnn"), "accuracy", aim=0.994, optional=True),
    Command("cifar10", "image-classification", "cifar10", ("--time", "10m"), "accuracy", aim=0.7, optional=True),
    Command("digits", "image-classification", "digits", (), "accuracy", aim=0.98),
    Command(
        "adult",
        "tabular-classification",
        "adult/adult.data",
        ("--no-header", "--target", "column15", "--folds", "5"),
        "accuracy",
        aim=0.855,
    ),
    Command(
        "ames",
        "tabular-regression",
        "ames_housing/AmesHousing.csv",
        ("--target", "SalePrice", "--folds", "5"),
        "rmse_log",
        better="lower",
        aim=0.125,
    ),
    Command(
        "reviews",
        TEXTS,
        "rt_polarity",
        ("--network.embedding-dropout", "0.4", "--folds", "10"),
        "accuracy",
        aim=0.761,
    ),
    Command("reviews-fasttext", TEXTS, "rt_polarity", ("--model", "fasttext", "--folds", "10"), "accuracy"),
    Command("questions", TEXTS, "trec", (), "accuracy", aim=0.91),
    Command("news", TEXTS, "ag_news", ("--folds", "5"), "accuracy"),
    Command("news-fasttext", TEXTS, "ag_news", ("--model", "fasttext", "--folds", "5"), "accuracy"),
    Command("titles-characters", TEXTS, "thucnews_titles", ("--text.level", "character"), "accuracy"),
    Command("titles-words", TEXTS, "thucnews_titles", (), "accuracy"),
    Command(
        "titles-fasttext-characters",
        TEXTS,
        "thucnews_titles",
        ("--model", "fasttext", "--text.level", "character"),
        "accuracy",
    ),
    Command("titles-fasttext-words", TEXTS, "thucnews_titles", ("--model", "fasttext"), "accuracy"),
    Command("inference", PAIRS, "sick", (), "accuracy", aim=0.799),
    Command("inference-bilstm", PAIRS, "sick", ("--model", "bilstm-matching"), "accuracy"),
    Command("relatedness", PAIRS, "sick", ("--target", "score"), "pearson"),
)


def named(names: list[str]) -> list[Command]:
    """The commands of these names, or without names all that are not optional. Raises KeyError with an unknown name."""
    known = {command.name: command for command in COMMANDS}
    return [known[name] for name in names] if names else [each for each in COMMANDS if not each.optional]
