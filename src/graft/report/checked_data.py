"""What the data doctor looked at, in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from graft.data.checks import CheckedData, Side
from graft.data.checks.base import many
from graft.data.values import listed_names

SIDES = {"train": "to train on", "eval": "to judge by", "against": "to compare with"}
"""What the rows of each side are for."""


def data_title(data: CheckedData) -> str:
    """Return the name of the data."""
    return data.train.source or "data"


def data_facts(
    data: CheckedData,
    checks: Sequence[str],
    source_name: Callable[[str], str] = str,
    titles: Mapping[str, str] = MappingProxyType({}),
) -> list[tuple[str, str]]:
    """Return the rows of each side, how they are read, their labels, and what was checked, as texts.

    Args:
        data: What was looked at.
        checks: The names of the checks that ran.
        source_name: The files of a side, as they were named -> what is shown of them.
        titles: What the rows of a side are called, where that says what they are for.
    """
    facts = [_side_fact(side, source_name(_source(side)), titles.get(side.name)) for side in data.sides]
    if data.mapping is None:
        facts.append(("columns", "not recognized"))
    else:
        facts.append(("columns", f"{listed_names(data.mapping.columns)} ({data.mapping.kind})"))
    if data.labels:
        facts.append(("labels", f"{len(data.labels)}: {listed_names(data.labels)}"))
    return [*facts, ("checked", ", ".join(checks))]


def data_record(data: CheckedData, checks: Sequence[str]) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "data": {
            side.name: {"source": side.source, "rows": _rows(side), "examples": len(side.examples)}
            for side in data.sides
        },
        "columns": None if data.mapping is None else list(data.mapping.columns),
        "kind": None if data.mapping is None else data.mapping.kind,
        "labels": data.labels,
        "checks": list(checks),
    }


def _side_fact(side: Side, source: str, title: str | None) -> tuple[str, str]:
    if title is not None:
        return title, f"{many(_rows(side), 'row')}{source}"
    return "rows", f"{_rows(side):,} {SIDES[side.name]}{source}"


def _rows(side: Side) -> int:
    return len(side.rows) or len(side.examples)


def _source(side: Side) -> str:
    return f" ({side.source})" if side.name != "train" and side.source else ""
