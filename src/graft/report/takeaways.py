"""What the figures of an evaluation say, in words: by label, by answer, and between the two models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from graft.data.words import length_in_words
from graft.report.changes_between import Compared, compared, judged
from graft.report.confusion import label_matrix
from graft.report.format import metric_of
from graft.report.isolates import FSI, PDI
from graft.report.row_changes import find_changes
from graft.runs.evaluation_document import ClassRecord
from graft.runs.view import RunView

FOUND_WELL = 0.75
"""A label that is found in this share of its rows is not named as weak."""
FEWEST = 5
"""A label with fewer rows says nothing."""
MOST = 3
"""Maximum number of labels that are named for one reason."""
WORTH_NAMING = 0.1
"""A share of the rows of a label from which the wrong label is named; also a change of its recall."""
TOO_OFTEN = 1.25
"""How many times more often than it is right a label must be answered to be named."""
MUCH_LONGER = 1.5
"""The ratio of the lengths of answers and references from which it is named."""


def takeaways(view: RunView) -> list[str]:
    """Return sentences on the scored model (the tuned one where there is one), the most useful first."""
    sides = compared(view)
    if sides is None:
        return []
    checks: tuple[Callable[[RunView, Compared], Iterator[str]], ...] = (
        _weak_labels,
        _answered_too_often,
        _moved_labels,
        _changed_rows,
        _proven,
        _texts,
    )
    return [sentence for check in checks for sentence in check(view, sides)]


def _weak_labels(view: RunView, sides: Compared) -> Iterator[str]:
    """``neutral: 36 % found; 55 % are called positive``."""
    records = _records(view, sides.after)
    if not records:
        return
    weakest = sorted(records, key=lambda label: records[label].recall or 0.0)
    weak = [label for label in weakest if (records[label].recall or 0.0) < FOUND_WELL]
    for label in weak[:MOST]:
        wrong = _called_instead(view, sides.after, label)
        yield f"{_name(label)}: {_percent(records[label].recall)} found{'; ' + wrong if wrong else ''}"
    if len(weak) > MOST:
        yield f"{len(weak) - MOST:,} more labels are found in less than {_percent(FOUND_WELL)} of their {_unit(view)}"
    if not weak:
        label = weakest[0]
        least = f"{_percent(records[label].recall)} of its {_unit(view)}"
        yield f"Every label is found in {least} or more; least of all {_name(label)}"


def _called_instead(view: RunView, predictor: str, label: str) -> str:
    """Which wrong labels the rows of a label get, the commonest first."""
    matrix = label_matrix(view, predictor)
    if matrix is None or label not in matrix.labels:
        return ""
    row = matrix.counts[matrix.labels.index(label)]
    whole = sum(row) or 1
    wrong = [(n / whole, name) for n, name in zip(row, matrix.answers, strict=True) if name != label]
    named = [(part, name) for part, name in sorted(wrong, key=lambda pair: -pair[0])[:2] if part >= WORTH_NAMING]
    return ", ".join(
        f"{_percent(part)} {'get no label' if name is None else f'are called {_name(name)}'}" for part, name in named
    )


def _answered_too_often(view: RunView, sides: Compared) -> Iterator[str]:
    matrix = label_matrix(view, sides.after)
    whole = sum(map(sum, matrix.counts)) if matrix else 0
    if matrix is None or not whole:
        return
    for index, label in enumerate(matrix.labels):
        given, true = sum(row[index] for row in matrix.counts) / whole, sum(matrix.counts[index]) / whole
        if given > TOO_OFTEN * true and given - true >= WORTH_NAMING / 2:
            yield f"{_name(label)} is answered for {_percent(given)} of the rows and right for {_percent(true)}"
    outside = sum(row[-1] for row in matrix.counts) if matrix.answers[-1] is None else 0
    if outside:
        yield f"{outside:,} of {whole:,} answers are none of the labels"


def _moved_labels(view: RunView, sides: Compared) -> Iterator[str]:
    """The labels whose share of found rows rose and fell most between the two models."""
    if sides.before is None:
        return
    before, after = _records(view, sides.before), _records(view, sides.after)
    moved = {label: (after[label].recall or 0.0) - (before[label].recall or 0.0) for label in after if label in before}
    ranked = sorted(moved, key=lambda label: moved[label])
    for label, what in ((ranked[-1], "Largest gain"), (ranked[0], "Largest loss")) if ranked else ():
        if (moved[label] if what == "Largest gain" else -moved[label]) >= WORTH_NAMING / 2:
            then, now = _percent(before[label].recall), _percent(after[label].recall)
            yield f"{what}: {_name(label)}, {then} found by {sides.before} and {now} by {sides.after}"


def _changed_rows(view: RunView, sides: Compared) -> Iterator[str]:
    changes = find_changes(view)
    if changes is None or sides.before is None:
        return
    fixed, broken = len(changes.fixed), len(changes.broken)
    if not changes.binary:
        yield f"By {changes.metric.label}, tuning improved {fixed:,} rows and worsened {broken:,}"
        return
    wrong = changes.same_wrong + broken
    yield f"Tuning fixed {fixed:,} rows and broke {broken:,}; {wrong:,} are wrong now"


def _proven(view: RunView, sides: Compared) -> Iterator[str]:
    """Which metrics are proven to differ, where they do not all say the same."""
    groups: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for name in view.metric_names:
        difference = sides.difference(view, name)
        if difference is not None:
            metric = metric_of(view, name)
            groups[judged(metric, difference)].append(metric.label)
    if sum(map(bool, groups.values())) < 2:
        return
    titles = {"better": "proven better", "worse": "proven worse", "open": "no proven difference"}
    said = "; ".join(f"{titles[kind]} in {', '.join(names)}" for kind, names in groups.items() if names)
    yield f"{said[:1].upper()}{said[1:]}"


def _texts(view: RunView, sides: Compared) -> Iterator[str]:
    """Of generated answers: their length, those that are empty, and those that say all the same."""
    rows = [row for row in view.predictions if sides.after in row.answers and not row.labels]
    if len(rows) < FEWEST:
        return
    answers = [row.answers[sides.after].strip() for row in rows]
    yield from _lengths([row.reference for row in rows], answers)
    empty = sum(not answer for answer in answers)
    if empty:
        yield f"{empty:,} of {len(rows):,} answers are empty"
    commonest, times = Counter(filter(None, answers)).most_common(1)[0] if any(answers) else ("", 0)
    same = Counter(row.reference.strip() for row in rows)[commonest]
    if times > max(FEWEST, 1.5 * same, WORTH_NAMING * len(rows)):
        yield f"{times:,} of {len(rows):,} answers are the same text, which is right for {same:,}"
    if sides.before is not None:
        alike = sum(
            row.answers.get(sides.before, "").strip() == now != "" for row, now in zip(rows, answers, strict=True)
        )
        if alike >= WORTH_NAMING * len(rows):
            yield f"{_percent(alike / len(rows))} of the answers are the same as those of {sides.before}"


def _lengths(references: Sequence[str], answers: Sequence[str]) -> Iterator[str]:
    wanted, given = (median(map(length_in_words, texts)) for texts in (references, answers))
    if not wanted:
        return
    long = given > MUCH_LONGER * wanted
    what = "longer than they should be" if long else "shorter than they should be"
    wrong = f": {what}" if long or wanted > MUCH_LONGER * given else ""
    yield f"Half of the answers have {given:,.0f} words or more, half of the references {wanted:,.0f}{wrong}"


def _records(view: RunView, predictor: str) -> dict[str, ClassRecord]:
    """The scores of the labels that have enough rows."""
    found = view.evaluation.classes.get(predictor) or {}
    return {label: r for label, r in found.items() if r.recall is not None and (r.support or 0) >= FEWEST}


def _unit(view: RunView) -> str:
    units = [metric_of(view, name).support_unit for name in view.metric_names]
    return next((unit for unit in units if unit != "rows"), "rows")


def _name(label: str) -> str:
    """A label between the marks that keep its direction of writing apart from the sentence's (UAX 9: FSI, PDI)."""
    return f"{FSI}{label.replace(FSI, '').replace(PDI, '')}{PDI}"


def _percent(value: float | None) -> str:
    return f"{value or 0.0:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
