"""How many rows each class has: rare ones, imbalance, and classes that training lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from graft.data.checks.base import Finding
from graft.data.checks.view import CheckedData, Side
from graft.data.label_column import Kind, LabelColumn, label_column, label_kind, labels_by_row
from graft.data.label_variants import find_variants
from graft.data.located import Located
from graft.data.personal import shown_text
from graft.data.quality import IMBALANCE
from graft.data.split import has_one_answer

FEW_ROWS = 10
"""A class with fewer rows is rare: hardly anything is learned of it, and hardly any row judges it."""
MOST_SHOWN = 5


class Classes:
    """A single class, and classes with few rows, far fewer than others, or none in the training data."""

    name = "classes"
    title = "Classes"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield what is wrong with the numbers of rows by class; nothing where answers are free text."""
        if has_one_answer(data.train.examples):
            yield _one(data.train)
            return
        column = label_column(data)
        kind = label_kind(data, column)
        if kind is None:
            return
        counts = _counts(data.train, column)
        joined = _joined(counts) if column is not None else counts
        rare = {label: count for label, count in joined.items() if count < FEW_ROWS}
        if rare:
            yield _rare(data.train, column, rare, kind)
        if kind == "class":
            yield from _imbalance(joined)
        if data.eval is not None:
            yield from _unknown(data.eval, column, counts)


def _counts(side: Side, column: LabelColumn | None) -> Counter[str]:
    """The number of rows with each label."""
    counts: Counter[str] = Counter()
    for _, labels in labels_by_row(side, column):
        counts.update(set(labels))
    return counts


def _joined(counts: Counter[str]) -> Counter[str]:
    """The counts with those of a label that may be another's added to it: ``label_variants`` says what to do."""
    joined = Counter(counts)
    for variant in find_variants(counts):
        joined[variant.of] += joined.pop(variant.label)
    return joined


def _one(side: Side) -> Finding:
    shown = shown_text(side.examples[0].reference)
    return Finding(
        "one_answer",
        "error",
        f"all {len(side.examples):,} answers are {shown!r}",
        why="there is nothing to learn, and graft finetune refuses the data",
        remedy="add rows with other answers",
        side=side.name,
    )


def _rare(side: Side, column: LabelColumn | None, rare: Mapping[str, int], kind: Kind) -> Finding:
    rows, few = _rows_with(side, column, rare), len(rare)
    one, several = {"class": ("class", "classes"), "several": ("label", "labels"), "tags": ("tag", "tags")}[kind]
    named = f"1 {one} has" if few == 1 else f"{few:,} {several} have"
    listed = sorted(rare.items(), key=lambda item: item[1])
    return Finding(
        "rare_classes",
        "warning" if kind == "class" else "note",
        f"{named} fewer than {FEW_ROWS} rows: {len(rows):,} row{'' if len(rows) == 1 else 's'}",
        rows,
        why=f"too few to learn from and to judge by: the rarest has {listed[0][1]:,}",
        remedy=f"add rows, merge the {one} with another, or remove its rows",
        fix="" if kind == "tags" else "graft finetune … --loss class-weighted",
        evidence=tuple(f"{shown_text(label)}: {count:,}" for label, count in listed[:MOST_SHOWN]),
        figures={"labels": dict(listed)},
        side=side.name,
    )


def _imbalance(counts: Counter[str]) -> Iterator[Finding]:
    if len(counts) < 2:
        return
    (most, many), *_, (least, few) = counts.most_common()
    if many <= IMBALANCE * few:
        return
    share = many / counts.total()
    yield Finding(
        "class_imbalance",
        "warning",
        f"the classes are imbalanced: {shown_text(most)!r} has {many:,} rows, {shown_text(least)!r} {few:,}",
        why=f"a model that always answers the most common class is right in {share:.0%} of the rows: accuracy hides "
        "how the others do, so look at macro-F1",
        remedy="weight the classes, or add rows of the rare ones",
        fix="graft finetune … --loss class-weighted",
        evidence=tuple(f"{shown_text(label)}: {count:,}" for label, count in counts.most_common(MOST_SHOWN)),
        figures={"labels": dict(counts.most_common())},
    )


def _unknown(side: Side, column: LabelColumn | None, known: Collection[str]) -> Iterator[Finding]:
    counts = _counts(side, column)
    unknown = {label: count for label, count in counts.items() if label not in known}
    if not unknown:
        return
    rows = _rows_with(side, column, unknown)
    yield Finding(
        "unknown_classes",
        "warning",
        f"{len(rows):,} row{' has a class' if len(rows) == 1 else 's have classes'} that no training row has",
        rows,
        why="what is in no training row is never learned: these rows are judged wrong, and a classification head "
        "refuses them",
        remedy="correct the labels, add training rows with them, or remove these rows",
        evidence=tuple(f"{shown_text(label)}: {count:,}" for label, count in sorted(unknown.items())[:MOST_SHOWN]),
        figures={"labels": unknown},
        side=side.name,
    )


def _rows_with(side: Side, column: LabelColumn | None, wanted: Collection[str]) -> Located:
    found = labels_by_row(side, column)
    return Located(origin for origin, labels in found if any(label in wanted for label in labels))
