"""What wrong classes cost: a matrix of labels by labels from a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from graft.data.spelling import composed
from graft.errors import InputError, Problems, did_you_mean, refusing, shorten
from graft.evaluation.metrics.base import Array, Metric, Predictions, ratio
from graft.files import expanded

Costs = Mapping[str, Mapping[str, float]]
"""By the right label and the predicted label."""
MARK = "="
SEPARATORS = (",", ";", "\t")


def names_costs(name: str) -> bool:
    """Whether the name of a metric is ``NAME=FILE``, a cost matrix."""
    return MARK in name


def absolute_costs(name: str) -> str:
    """Return ``NAME=FILE`` with the path of the file made absolute, so that it holds in any working directory."""
    title, _, path = name.partition(MARK)
    return f"{title.strip()}{MARK}{expanded(path.strip()).resolve()}"


def cost_metric(named: str) -> Metric:
    """Make the metric of a cost matrix: the mean cost of a row, by its right label and the chosen label.

    An answer that is none of the labels costs as much as the dearest mistake with a row of that label.

    Args:
        named: ``NAME=FILE``. The first row of the file has the chosen labels, the first column the right labels.

    Raises:
        InputError: If the name or the file is wrong, with everything that is wrong with it.
    """
    name, _, text = (part.strip() for part in named.partition(MARK))
    if not name or not text:
        raise InputError(f"{named!r} is not of the form NAME=FILE.csv", where="--metrics", remedy="cost=costs.csv")
    path = expanded(text)
    costs = read_costs(path)
    return Metric(
        name=name,
        meaning=f"mean cost of a row by {path.name}",
        direction="lower",
        scale=None,
        needs="choice",
        statistics=partial(_statistics, costs),
        value=ratio,
        check_labels=partial(_check_labels, costs, path),
    )


def read_costs(path: Path) -> Costs:
    """Read a cost matrix.

    Raises:
        InputError: With everything that is wrong with it, by line.
    """
    with refusing("this cost matrix cannot be read", path, "write it as CSV in UTF-8"):
        text = path.read_text(encoding="utf-8-sig")
    first = text.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    with refusing("this is not a table", path, "write it as CSV"):
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    problems = Problems()
    header = lines[0][1][1:] if lines else []
    if len(lines) < 2 or not header:
        raise InputError(
            "this is no matrix of labels by labels",
            where=str(path),
            remedy="put the chosen labels into the first row, and the right labels into the first column",
        )
    _check_once(header, f"{path}:{lines[0][0]}", "column", problems)
    _check_once([row[0] for _, row in lines[1:]], str(path), "row", problems)
    costs: dict[str, dict[str, float]] = {}
    for number, (label, *cells) in lines[1:]:
        where = f"{path}:{number}"
        if len(cells) != len(header):
            problems.add(f"the row of {label!r} has {len(cells)} costs for {len(header)} labels", where)
            continue
        found = {
            chosen: _cost(cell, label, chosen, where, problems) for chosen, cell in zip(header, cells, strict=True)
        }
        costs[label] = found
    shorten(problems, "problems with this file")
    problems.raise_if_any()
    return costs


def _check_once(labels: Sequence[str], where: str, what: str, problems: Problems) -> None:
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        problems.add(f"there is more than one {what} for {label!r}", where, "keep one of them")


def _cost(cell: str, label: str, chosen: str, where: str, problems: Problems) -> float:
    try:
        cost = float(cell)
    except ValueError:
        cost = float("nan")
    if not np.isfinite(cost):
        problems.add(f"the cost of {chosen!r} for {label!r} is {cell!r}; expected a number", where)
    return cost


def _check_labels(costs: Costs, path: Path, labels: Sequence[str], problems: Problems) -> None:
    """Find the labels of the rows that the matrix lacks, and those of the matrix that no row can have."""
    known, sides = {composed(label): label for label in labels}, (list(costs), list(next(iter(costs.values()))))
    for what, side in zip(("row", "column"), sides, strict=True):
        unknown = [label for label in side if composed(label) not in known]
        missing = [label for label in known if label not in set(map(composed, side))]
        for label in missing:
            problems.add(f"there is no {what} for the label {known[label]!r}", str(path), did_you_mean(label, unknown))
        for label in unknown:
            problems.add(
                f"the {what} {label!r} is not one of the labels: {', '.join(labels)}",
                str(path),
                did_you_mean(label, labels),
            )


def _statistics(costs: Costs, predictions: Predictions) -> Array:
    """Return (n, 2): the cost of each row, and 1 to count it."""
    assert predictions.choices is not None
    table = {composed(right): {composed(one): cost for one, cost in row.items()} for right, row in costs.items()}
    found = []
    for reference, choice in zip(predictions.references, predictions.choices, strict=True):
        row = table.get(composed(reference), {})
        dearest = max(row.values(), default=0.0)
        found.append([row.get(composed(choice), dearest), 1.0])
    return np.array(found, dtype=float).reshape(-1, 2)
