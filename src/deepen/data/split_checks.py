"""What is wrong or doubtful about the labels and the parts of a data set."""

from __future__ import annotations

import itertools

import pyarrow as pa

from deepen.core.class_names import merged
from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import plural
from deepen.data.dataset import Schema, table_fingerprint
from deepen.data.target import target_of

DOMINANT_SHARE = 0.95
FEWEST_FOR_ALL_SIDES = 3
SHOWN = 3
TARGET_SETS = ("labels",)  # columns of lists whose order means nothing


def label_texts(table: pa.Table, schema: Schema) -> list[str | None] | None:
    """The target of each row as text, or None if the target is no class or the table has none.

    Of a sample with several labels it is the one that is rarest in the table: a class with few samples is then cut in
    proportion, and one with many is by itself.
    """
    target = _category(table, schema)
    if not target:
        return None
    column = table.column(target)
    if pa.types.is_nested(column.type):
        return _rarest(class_sets(table, schema) or []) if _are_texts(column.type) else None
    texts = [None if text is None else text.strip() for text in column.cast(pa.string()).to_pylist()]
    class_of = merged(sorted({text for text in texts if text}))
    return [class_of.get(text) if text else None for text in texts]


def class_sets(table: pa.Table, schema: Schema) -> list[tuple[str, ...]] | None:
    """The classes of each row in the order of the alphabet, each once, () where it has none; None as `label_texts`."""
    if not has_lists(table, schema):
        labels = label_texts(table, schema)
        return None if labels is None else [(label,) if label else () for label in labels]
    rows = table.column(_category(table, schema)).to_pylist()
    return [tuple(sorted({text for text in row or () if text})) for row in rows]


def has_lists(table: pa.Table, schema: Schema) -> bool:
    """Whether what is to be learned of a sample is a list of classes."""
    target = _category(table, schema)
    return bool(target) and _are_texts(table.schema.field(target).type)


def _whole_targets(table: pa.Table, schema: Schema) -> list[str | None]:
    """What is to be learned of each row as one text; [] where it is no class, or its order is part of it (tags)."""
    if not has_lists(table, schema):
        return label_texts(table, schema) or []
    if _category(table, schema) not in TARGET_SETS:
        return []
    return [", ".join(labels) or None for labels in class_sets(table, schema) or ()]


def check_given(tables: dict[str, pa.Table], name: str) -> None:
    """Raises DataError for a table that holds nothing."""
    for split, table in tables.items():
        if table.num_rows == 0:
            raise DataError(
                f"{name}: {'it' if split == 'all' else f'its {split} part'} holds no sample; fill it or remove it."
            )


def check_classes(tables: dict[str, pa.Table], schema: Schema, name: str) -> None:
    """Raises DataError where all training samples are of one class."""
    train = tables.get("train", tables.get("all"))
    labels = class_sets(train, schema) if train is not None else None
    classes = set(itertools.chain.from_iterable(labels or ()))
    if labels and train is not None and len(classes) == 1 and (all(labels) or not has_lists(train, schema)):
        only = next(iter(classes))
        raise DataError(
            f"{name}: all {len(labels):,} training samples have the label {only!r}; expected at least 2 classes."
        )


def contradictions(
    tables: dict[str, pa.Table], schema: Schema, strict: bool, faults: list[Fault]
) -> set[tuple[str, str]]:
    """The (source, key) of all samples of equal content that have different labels.

    Each but the first of its content is a warning, or a bad sample if `strict`.
    """
    first: dict[str, tuple[str, str]] = {}
    found: set[tuple[str, str]] = set()
    for table in (tables[split] for split in sorted(tables)):
        labels = _whole_targets(table, schema)
        for key, source, label in zip(
            table.column("key").to_pylist(), table.column("source").to_pylist(), labels, strict=False
        ):
            other, other_label = first.setdefault(key, (source, label or ""))
            if label and other_label and label != other_label:
                message = f"has label {label!r}, but {other} has the same content and label {other_label!r}; mend one."
                faults.append(Fault("sample" if strict else "warning", "label-contradiction", source, message))
                found |= {(source, key), (other, key)}
    return found


def warn_overlaps(tables: dict[str, pa.Table], faults: list[Fault]) -> None:
    """Warnings for parts that are the same data, and for samples that are in two parts."""
    names = [name for name in ("train", "val", "test") if name in tables]
    prints = {name: table_fingerprint(tables[name]) for name in names} if len(names) > 1 else {}
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            if prints[first] == prints[second]:
                message = (
                    f"the {second} data are the {first} data themselves, so a score on them means nothing; give others."
                )
                faults.append(Fault("warning", "split-same", "", message))
            else:
                _overlap(tables, first, second, faults)


def warn_classes(tables: dict[str, pa.Table], schema: Schema, faults: list[Fault]) -> None:
    """Warnings for classes that are tiny, dominant, or tested but never trained."""
    texts = {name: class_sets(table, schema) for name, table in tables.items()}
    if texts["train"] is None:
        return
    counts: dict[str, int] = {}
    for labels in texts.values():
        for label in itertools.chain.from_iterable(labels or ()):
            counts[label] = counts.get(label, 0) + 1
    trained = set(itertools.chain.from_iterable(texts["train"]))
    _warn_tiny(counts, trained, faults)
    if not has_lists(tables["train"], schema):
        _warn_dominant([label for labels in texts["train"] for label in labels], faults)
    _warn_unseen(tables, texts, trained, faults)


def _category(table: pa.Table, schema: Schema) -> str:
    """The column of classes, or "" if there is none."""
    target = schema.target if schema.target in table.column_names else target_of(table)
    return target if schema.is_category and target in table.column_names else ""


def _are_texts(kind: pa.DataType) -> bool:
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_string(kind.value_type)


def _rarest(rows: list[tuple[str, ...]]) -> list[str | None]:
    """The class of each row that the fewest rows have; the first in the alphabet of several, None where it has none."""
    counts: dict[str, int] = {}
    for label in itertools.chain.from_iterable(rows):
        counts[label] = counts.get(label, 0) + 1
    return [min(row, key=lambda label: counts[label]) if row else None for row in rows]


def _overlap(tables: dict[str, pa.Table], first: str, second: str, faults: list[Fault]) -> None:
    there = dict(zip(tables[first].column("key").to_pylist(), tables[first].column("source").to_pylist(), strict=True))
    keys, sources = tables[second].column("key").to_pylist(), tables[second].column("source").to_pylist()
    same = [(source, there[key]) for key, source in zip(keys, sources, strict=True) if key in there]
    if same:
        many = f"{plural(len(same), 'sample')} of {second} {'is' if len(same) == 1 else 'are'}"
        message = f"is the same as {same[0][1]} in {first}; {many} in {first} too, which flatters the score."
        faults.append(Fault("warning", "split-overlap", same[0][0], message))


def _warn_tiny(counts: dict[str, int], trained: set[str], faults: list[Fault]) -> None:
    for label in sorted(counts):
        if counts[label] < FEWEST_FOR_ALL_SIDES and label in trained:
            count = plural(counts[label], "sample")
            message = f"class {label!r} has {count}; the first stays in training, so it is hardly tested."
            faults.append(Fault("warning", "class-tiny", "", message))


def _warn_dominant(named: list[str], faults: list[Fault]) -> None:
    for label in sorted(set(named)):
        share = named.count(label) / len(named)
        if share >= DOMINANT_SHARE:
            message = f"class {label!r} is {share:.1%} of training, so accuracy says little; look at balanced accuracy."
            faults.append(Fault("warning", "class-dominant", "", message))


def _warn_unseen(
    tables: dict[str, pa.Table], texts: dict[str, list[tuple[str, ...]] | None], trained: set[str], faults: list[Fault]
) -> None:
    for split in ("val", "test"):
        unseen: dict[str, list[int]] = {}
        for row, labels in enumerate(texts.get(split) or ()):
            for label in labels:
                if label not in trained:
                    unseen.setdefault(label, []).append(row)
        for label, rows in sorted(unseen.items()):
            place = tables[split].column("source")[rows[0]].as_py()
            count = plural(len(rows), "sample")
            message = f"class {label!r} is in {split} ({count}) but never in train, so it cannot be learned."
            faults.append(Fault("warning", "class-unseen", place, message))
