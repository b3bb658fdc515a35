"""T: the cases of tables that texts in tables can have, and X: folders and files that hold no data of a text task."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.harness import Case
from tests.faults.text_cases import CLASSES, CORPUS, PAIRS, TAGS, case, lines, table, written

VECTORS = "word-vectors"
TASKS = (CLASSES, PAIRS, TAGS, CORPUS, VECTORS)


def whole(change: Callable[[str], str | bytes], name: str = "reviews.csv") -> Callable[[Path], Path]:
    """A builder of the table as one text, changed."""
    return lambda folder: written(folder, change(table(lambda body: None)(folder).read_text()), name)


def jsonl(number: int, content: str) -> Callable[[Path], Path]:
    """A builder of JSON lines with one of them changed."""

    def build(folder: Path) -> Path:
        made = [json.dumps(dict(zip(("text", "label"), line.split("\t"), strict=True))) for line in lines()]
        made[number - 1] = content
        return written(folder, "\n".join(made) + "\n", "reviews.jsonl")

    return build


def cut_parquet(folder: Path) -> Path:
    out = io.BytesIO()
    texts, labels = zip(*(line.split("\t") for line in lines()), strict=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), out)
    return written(folder, out.getvalue()[:-30], "reviews.parquet")


def other_columns(folder: Path) -> Path:
    for name, column in (("train.csv", "label"), ("test.csv", "kind")):
        made = whole(lambda text, column=column: text.replace("text,label", f"text,{column}"))(folder)
        (folder / "reviews").mkdir(exist_ok=True)
        made.rename(folder / "reviews" / name)
    return folder / "reviews"


TABLES = (
    case("T01-texts", whole(lambda text: "\ufeff" + text), "N", twin=whole(str)),
    case("T02-texts", whole(lambda text: text.encode("utf-16")), "N", twin=whole(str)),
    case("T04-texts", whole(lambda text: text.replace("\n", "\r\n")), "N", twin=whole(str)),
    case("T05-texts", table(lambda body: body[5].__setitem__(0, '"two\nlines, and a ""quote"""')), "N"),
    case("T06-texts", table(lambda body: body[9].__setitem__(0, '"open')), "E", "reviews.csv, line 11", "quote opened"),
    case("T09-texts", table(lambda body: body[4].pop()), "E", "reviews.csv, row 6", "1 cell"),
    case("T10-texts", lambda folder: written(folder, "", "reviews.csv"), "E", "reviews.csv", "empty"),
    case("T10-header-texts", lambda folder: written(folder, "text,label\n", "reviews.csv"), "E", "no row below"),
    case("T12-texts", whole(lambda text: text.replace("text,label", "text,text")), "E", "both called 'text'"),
    case("T14-texts", whole(lambda text: text.replace("text,label", " Text ,Label\u00a0")), "N"),
    case("T15-texts", table(lambda body: None, mark=";"), "N", "semicolons"),
    case("T19-texts", table(lambda body: body[5].__setitem__(1, "")), "K", "reviews.csv, row 7"),
    case("T23-texts", table(lambda body: body[5].__setitem__(0, "a\0b")), "K", "reviews.csv, row 7", "U+0000"),
    case("T24-texts", table(lambda body: body[5].__setitem__(0, "word " * 100_000)), "N"),
    case("T28-texts", table(lambda body: [row.__setitem__(1, "good") for row in body]), "E", "'good'"),
    case("T33-texts", jsonl(17, '{"text": "a",}'), "K", "reviews.jsonl, line 17", "not JSON"),
    case("T33-list-texts", jsonl(17, "[1, 2]"), "K", "reviews.jsonl, line 17", "a list"),
    case("T34-texts", cut_parquet, "E", "reviews.parquet", "not a whole Parquet file"),
    case("T37-texts", other_columns, "E", "train.csv", "test.csv"),
)


def empty_folder(folder: Path) -> Path:
    (folder / "texts" / "below").mkdir(parents=True)
    return folder / "texts"


def pictures(folder: Path) -> Path:
    written(folder / "texts", b"\xff\xd8\xff\xe0" * 9, "a.jpg")
    return folder / "texts"


def blank(folder: Path) -> Path:
    return written(folder, "\n \n", "texts.txt")


def questions(folder: Path) -> Path:
    return written(folder, '{"data": [{"paragraphs": []}]}', "dev.json")


def of_each(name: str, build: Callable[[Path], Path], words: dict[str, str], other: str) -> tuple[Case, ...]:
    return tuple(case(f"{name}-{task}", build, "E", words.get(task, other), task=task) for task in TASKS)


NOTHING = (
    *of_each("F02-empty", empty_folder, {}, "it holds no files. This task reads"),
    *of_each("F02-pictures", pictures, {}, "1 .jpg file is there"),
    *of_each("X16-blank", blank, {PAIRS: "is not a file this task reads"}, "holds no text; give a file with some"),
    *of_each("X13-questions", questions, {}, "dev.json: is not a file this task reads; it reads"),
)
TABLE_CASES: tuple[Case, ...] = (*TABLES, *NOTHING)
