"""X: texts a line, in tables and folders; tagged sentences; pairs; a corpus.

What shows itself in answers and reports (X04, X07 to X10, X18) is in test_text_runs.py. X06 and X13 are of translation
and questions: of the first there is what pairs share with it, of the second that such files are refused.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.faults.harness import Case

CLASSES = "text-classification"
PAIRS = "text-pair-classification"
TAGS = "token-tagging"
CORPUS = "language-modeling"
GOOD = ("a caf\u00e9 full of light", "warm and clever film", "the best of days", "bright songs and laughter")
BAD = ("a dull grey film", "cold and slow story", "the worst of days", "no light and no song")
CHINESE = (("\u80a1\u5e02\uff21\u80a1\u4e0a\u6da8", "0"), ("\u7403\u961f2\u6bd41\u8d62\u7403", "1"))


def lines(count: int = 60) -> list[str]:
    """Lines of a text, a tab and its class."""
    draw = np.random.default_rng(3)
    made = []
    for index in range(count):
        kind = index % 2
        words = (GOOD, BAD)[kind][int(draw.integers(0, 4))].split()
        extra = [f"word{int(draw.integers(0, 29))}" for _ in range(int(draw.integers(1, 7)))]
        made.append(" ".join([*words, *extra, f"n{index}"]) + "\t" + ("good", "bad")[kind])
    return made


def written(folder: Path, content: str | bytes, name: str = "reviews.txt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return path


def clean(folder: Path) -> Path:
    return written(folder, "\n".join(lines()) + "\n")


def put(line: int, text: str | bytes) -> Callable[[Path], Path]:
    """A builder of the clean lines with the text of one of them changed; its class stays."""

    def build(folder: Path) -> Path:
        made = [each.encode() for each in lines()]
        label = made[line - 1].split(b"\t")[1]
        made[line - 1] = (text.encode() if isinstance(text, str) else text) + b"\t" + label
        return written(folder, b"\n".join(made) + b"\n")

    return build


def changed(change: Callable[[str], str | bytes]) -> Callable[[Path], Path]:
    """A builder of the clean file with its text changed."""
    return lambda folder: written(folder, change("\n".join(lines()) + "\n"))


def table(
    change: Callable[[list[list[str]]], object], name: str = "reviews.csv", mark: str = ","
) -> Callable[[Path], Path]:
    """A builder of a table of the same texts, changed in place."""

    def build(folder: Path) -> Path:
        body = [line.split("\t") for line in lines()]
        change(body)
        return written(folder, "\n".join(mark.join(row) for row in [["text", "label"], *body]) + "\n", name)

    return build


def sentences(change: Callable[[list[str]], object] = lambda made: None, end: str = "\n") -> Callable[[Path], Path]:
    """A builder of tagged sentences: lines with a token, a tab and a tag, or nothing, changed in place."""

    def build(folder: Path) -> Path:
        made: list[str] = []
        for index in range(40):
            person = ("Ada", "Emmy", "Alan")[index % 3]
            made += [
                f"{person}\tB-PER",
                "Jones\tI-PER",
                f"went{index}\tO",
                "to\tO",
                ("Oslo", "Lima")[index % 2] + "\tB-LOC",
                "",
            ]
        change(made)
        return written(folder, end.join(made) + end, "notes.conll")

    return build


def word(number: int, form: str, tag: str) -> str:
    return f"{number}\t{form}\t{form}\t{tag}\t_\t_\t{number - 1}\tdep\t_\t_"


def numbered(change: Callable[[list[str]], object] = lambda made: None) -> Callable[[Path], Path]:
    """A builder of CoNLL-U, changed in place: four words a sentence from line 1 on, five lines with the blank one."""

    def build(folder: Path) -> Path:
        made: list[str] = []
        for index in range(40):
            words = [
                ("The", "DET"),
                (f"cat{index % 7}", "NOUN"),
                (("sleeps", "eats")[index % 2], "VERB"),
                (".", "PUNCT"),
            ]
            made += [*(word(number, *each) for number, each in enumerate(words, start=1)), ""]
        change(made)
        return written(folder, "\n".join(made) + "\n", "en.conllu")

    return build


def pairs(change: Callable[[list[dict]], object]) -> Callable[[Path], Path]:
    """A builder of pairs as JSON lines, changed in place."""

    def build(folder: Path) -> Path:
        made = []
        for index in range(60):
            first = lines()[index].split("\t")[0]
            second = first if index % 2 else BAD[index % 4]
            made.append({"sentence1": first, "sentence2": second, "gold_label": ("neutral", "entailment")[index % 2]})
        change(made)
        return written(folder, "\n".join(json.dumps(each, ensure_ascii=False) for each in made) + "\n", "pairs.jsonl")

    return build


def prose(count: int = 400) -> str:
    return "".join(f"{GOOD[index % 4]} and {BAD[index % 3]} .\n" for index in range(count))


def corpus(change: Callable[[str], str | bytes]) -> Callable[[Path], Path]:
    """A builder of running text, changed."""
    return lambda folder: written(folder, change(prose()), "prose.txt")


def split_prose(folder: Path) -> Path:
    """Files for three splits, of which that for training is shorter than a window of tokens."""
    for name, count in (("train", 2), ("val", 40), ("test", 40)):
        written(folder / "prose", prose(count), f"{name}.txt")
    return folder / "prose"


def folder_of_classes(folder: Path) -> Path:
    """aclImdb in small, with what lies about in it."""
    for split in ("train", "test"):
        for number, line in enumerate(lines(40)):
            text, label = line.split("\t")
            written(folder / "reviews" / split / label, f"{split} {text}\n", f"{number}_7.txt")
    written(folder / "reviews" / "train" / "unsup", "no class\n", "0_0.txt")
    written(folder / "reviews" / "train" / "good", "litter", ".DS_Store")
    written(folder / "reviews", "about", "README")
    return folder / "reviews"


def class_files(folder: Path) -> Path:
    """rt-polarity in small: a file per class, one of them in latin-1."""
    kinds = {
        label: [line.split("\t")[0] for line in lines() if line.endswith("\t" + label)] for label in ("good", "bad")
    }
    written(folder / "mr", "\n".join(kinds["bad"]) + "\n", "mr.bad")
    written(folder / "mr", ("\n".join(kinds["good"]) + "\n").encode("latin-1"), "mr.good")
    return folder / "mr"


def numbered_classes(names: str, separator: str = "\t") -> Callable[[Path], Path]:
    """A builder of Chinese titles with a class number, and the names of the classes beside them."""

    def build(folder: Path) -> Path:
        body = "".join(f"{text}{index}{separator}{label}\n" for index in range(30) for text, label in CHINESE)
        written(folder / "titles", names, "class.txt")
        written(folder / "titles", body, "dev.txt")
        written(folder / "titles", body.replace("\t", "\uff01\t"), "test.txt")
        return folder / "titles"

    return build


def two_of_a_split(folder: Path) -> Path:
    for name in ("train_old.txt", "train_new.txt", "test.txt"):
        written(folder / "reviews", "\n".join(lines()) + "\n", name)
    return folder / "reviews"


def labels_inside(folder: Path) -> Path:
    """Every text ends with the name of its class."""
    made = [line.split("\t") for line in lines()]
    return written(folder, "".join(f"{text} {label}\t{label}\n" for text, label in made))


def without_blanks(folder: Path) -> Path:
    """Every text is a word of its own, as hashes are."""
    return written(folder, "".join(f"{hash_of(index)}\t{('good', 'bad')[index % 2]}\n" for index in range(200)))


def hash_of(index: int) -> str:
    return f"x{(index * 7919 + 13) ** 3:x}"


def one_word(text: str) -> str:
    return "".join(f"{'same ' * (index % 5 + 1)}\t{line.split(chr(9))[1]}\n" for index, line in enumerate(lines()))


def case(name: str, build: Callable[[Path], Path], verdict, *words: str, **more) -> Case:
    """A case of text classification unless it names another task."""
    return Case(name, build, words, verdict, task=more.pop("task", CLASSES), **more)


def tagged(name: str, build: Callable[[Path], Path], verdict, *words: str, **more) -> Case:
    return case(name, build, verdict, *words, task=TAGS, **more)


STATED = ("--encoding", "gb18030")
ENCODING_CASES = (
    case("X01-byte", put(7, b"hello \xff there"), "E", "reviews.txt, line 7", "byte", "0xff", "--encoding"),
    case("X01-overlong", put(7, b"hello \xc0\xaf there"), "E", "reviews.txt, line 7", "0xc0"),
    case("X01-surrogate", put(7, b"hello \xed\xa0\x80 there"), "E", "reviews.txt, line 7", "0xed"),
    case("X01-cut", changed(lambda text: text.encode() + b"it ends \xe4\xb8"), "E", "reviews.txt, line 61", "0xe4"),
    case("X01-latin", changed(lambda text: text.encode("latin-1")), "N", "latin-1", "0xe9", "--encoding", twin=clean),
    case("X01-both", put(7, b"caf\xe9"), "E", "reviews.txt, line 7", "0xe9"),
    case("X01-cyrillic", put(7, "\u043f\u0440\u0438\u0432\u0435\u0442".encode("cp1251")), "E", "line 7", "--encoding"),
    case("X01-stated", changed(lambda text: text.encode("gb18030")), "N", options=STATED, twin=clean),
    case(
        "X01-corpus", corpus(lambda text: text.encode() + b"it ends \xe4\xb8"), "E", "prose.txt, line 401", task=CORPUS
    ),
    tagged(
        "X01-tags", sentences(lambda made: made.__setitem__(2, "g\udcffing\tO")), "E", "notes.conll, line 3", "0xff"
    ),
    case("X02-start", changed(lambda text: "\ufeff" + text), "N", twin=clean),
    case("X02-wide", changed(lambda text: text.encode("utf-16")), "N", twin=clean),
    case("X02-middle", put(7, "\ufeffone more file begins"), "W", "reviews.txt, line 7", "byte-order mark", "joined"),
    case("X04", changed(lambda text: unicodedata.normalize("NFD", text)), "N"),
    case("X10", put(7, "nul \x00 back \u202etxt\u202c a\u200db \U0001f469\u200d\U0001f52c e\u0301 \x1b[31m"), "N"),
    case("X12-ends", changed(lambda text: text.replace("\n", "\r\n")), "N", twin=clean),
    case("X12-old-ends", changed(lambda text: text.replace("\n", "\r")), "N", twin=clean),
    case("X18", put(7, "<script>alert(1)</script> **bold** <img src=x onerror=alert(1)> &amp;"), "N"),
)
CONTENT_CASES = (
    case("X05-line", put(7, "word " * 40_000), "N"),
    case("X05-blank", changed(lambda text: text + "\n" * 1_000_000), "N", "1,000,000 blank lines", twin=clean),
    case("X05-one-line", corpus(lambda text: text.replace("\n", " ") * 10), "N", task=CORPUS),
    case(
        "X07", table(lambda body: body[5].__setitem__(0, "")), "N", "1 text of", "empty", options=("--target", "label")
    ),
    case("X07-blank", table(lambda body: body[5].__setitem__(0, '"  "')), "N", "empty"),
    case("X15", numbered_classes("finance\nsport\n"), "W", "dev.txt", "trained on"),
    case("X14", labels_inside, "W", "'bad'", "all", "if the label was written into the texts"),
    case("X15-wide", lambda folder: numbered_classes("finance\nsport\n")(folder) / "dev.txt", "N", "Chinese"),
    case("X16-one", changed(one_word), "E", "the word 'same' alone"),
    case("X16-different", without_blanks, "E", "words of the training texts are different", "--text.level character"),
    case("X16-window", split_prose, "E", "two windows", task=CORPUS),
    case("X16-block", lambda folder: written(folder, prose(12), "prose.txt"), "E", "1 sample", task=CORPUS),
    case("X17", corpus(lambda text: "a" * 2_000_000), "N", task=CORPUS, options=("--text.level", "subword")),
    case("X16-corpus", lambda folder: written(folder, "one\n", "prose.txt"), "E", task=CORPUS),
    case("X16-nothing", lambda folder: written(folder, "\n \n", "prose.txt"), "E", "holds no text", task=CORPUS),
)
LAYOUT_CASES = (
    case("X20-folders", folder_of_classes, "N", "unsup", "systems leave behind"),
    case("X20-files", class_files, "N", "mr.good", "latin-1"),
    case("X21-number", numbered_classes("finance\n"), "E", "label '1'", "1 class name"),
    case("X21-label", changed(lambda text: text.replace("\tbad", "\t", 1)), "K", "reviews.txt, line 2"),
    case("X21-none", corpus(lambda text: text), "E", "prose.txt", "without labels"),
    case("X21-twice", two_of_a_split, "E", "train_new.txt and train_old.txt", "train split"),
    case("X21-column", table(lambda body: None), "E", "'lable'", "label", options=("--target", "lable")),
    case(
        "X21-cells", table(lambda body: body[5].append("x"), "reviews.tsv", "\t"), "K", "reviews.tsv, line 7", "3 cells"
    ),
    case("X21-quote", table(lambda body: body[5].__setitem__(0, 'he said "no'), "reviews.tsv", "\t"), "N"),
    case(
        "X22-dash", pairs(lambda made: made[3].update(gold_label="-")), "N", "pairs.jsonl, line 4", "1 pair", task=PAIRS
    ),
    case("X22-empty", pairs(lambda made: made[3].update(sentence2="")), "N", "empty text", task=PAIRS),
    case("X22-missing", pairs(lambda made: made[3].update(sentence2=None)), "N", "empty text", task=PAIRS),
    case(
        "X06-copy",
        pairs(lambda made: [each.update(sentence2=each["sentence1"]) for each in made]),
        "W",
        "twice",
        task=PAIRS,
    ),
    case(
        "X06-columns",
        pairs(lambda made: None),
        "E",
        "'sentence1' twice",
        task=PAIRS,
        options=("--columns", "sentence1,sentence1"),
    ),
    case("X22-label", pairs(lambda made: made[3].pop("gold_label")), "K", "pairs.jsonl, line 4", task=PAIRS),
    case(
        "X22-columns",
        lambda folder: written(folder, "x,y,z,label\na,b,c,1\nd,e,f,0\n", "pairs.csv"),
        "E",
        "--columns A,B of: x, y, z, label",
        task=PAIRS,
    ),
)
TAG_CASES = (
    tagged(
        "X12-columns",
        sentences(lambda made: made.__setitem__(2, "went\tVBD\tO")),
        "K",
        "notes.conll, line 3",
        "3 columns",
    ),
    tagged(
        "X12-blanks", sentences(lambda made: made.__setitem__(2, "went O")), "K", "notes.conll, line 3", "blanks where"
    ),
    tagged("X12-empty", sentences(lambda made: made.__setitem__(2, "went\t")), "K", "notes.conll, line 3", "empty"),
    tagged("X12-space", sentences(lambda made: made.__setitem__(5, " \t ")), "N", twin=sentences()),
    tagged("X12-crlf", sentences(end="\r\n"), "N", twin=sentences()),
    tagged("X12-comment", sentences(lambda made: made.insert(6, "# id 7")), "N"),
    tagged("X12-after-outside", sentences(lambda made: made.__setitem__(0, "Ada\tO")), "W", "notes.conll"),
    tagged(
        "X12-long",
        sentences(lambda made: made.extend(["word\tO"] * 1_200)),
        "W",
        "notes.conll, line 241",
        "1,200 tokens",
    ),
    tagged("X12-u", numbered(), "N"),
    tagged(
        "X12-u-blank",
        numbered(lambda made: made.pop(4)),
        "K",
        "en.conllu, line 5",
        "token 1 follows token 4",
        "blank line",
    ),
    tagged(
        "X12-u-order", numbered(lambda made: made.__setitem__(2, word(5, "sleeps", "VERB"))), "K", "en.conllu, line 3"
    ),
    tagged(
        "X12-u-columns", numbered(lambda made: made.__setitem__(2, "3\tsleeps\tVERB")), "K", "line 3", "expected 10"
    ),
    tagged("X12-u-tag", numbered(lambda made: made.__setitem__(2, word(3, "sleeps", "_"))), "K", "line 3", "no UPOS"),
    tagged(
        "X12-u-nodes",
        numbered(lambda made: (made.insert(1, "1-2" + "\t_" * 9), made.insert(5, "4.1" + "\t_" * 9))),
        "N",
        "1 line for several words",
        twin=numbered(),
    ),
)
TEXT_CASES: tuple[Case, ...] = (*ENCODING_CASES, *CONTENT_CASES, *LAYOUT_CASES, *TAG_CASES)
