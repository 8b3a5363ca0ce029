"""The columns of a run's held-out rows: those that it kept, or else those of the files that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from graft.data.example import Example
from graft.data.kept_columns import all_columns, kept_values, missing_columns
from graft.data.readers import load_splits
from graft.data.sources import sha256_of
from graft.errors import GraftError
from graft.runs.folder import RunFolder


def with_columns(examples: list[Example], names: Sequence[str], run: RunFolder) -> list[Example]:
    """Return the held-out rows of a run with the values of some columns.

    Args:
        examples: The rows.
        names: The columns.
        run: The run. Columns that it did not keep are read from its data files, if these are unchanged.

    Raises:
        InputError: If neither has a column.
    """
    kept = {name for example in examples for name in example.origin.columns}
    if set(names) <= kept:
        return examples
    found = _columns_of_files(examples, run)
    there = {name for columns in found.values() for name in columns}
    wrong = [name for name in names if name not in kept | there]
    if wrong:
        remedy = "train with --by, or evaluate on a file with the column: --data_files rows.jsonl"
        raise missing_columns(wrong, sorted(kept | there), f"--by, rows of {run.path}", remedy)
    return [_with(example, names, found.get(str(example.origin), {})) for example in examples]


def _with(example: Example, names: Sequence[str], columns: dict[str, Any]) -> Example:
    values: dict[str, str | None] = kept_values(columns, names) | {
        name: value for name, value in example.origin.columns.items() if value is not None
    }
    origin = replace(example.origin, columns=values)
    return replace(example, origin=origin)  # type: ignore[type-var]  # every variant is a dataclass


def _columns_of_files(examples: Sequence[Example], run: RunFolder) -> dict[str, dict[str, Any]]:
    """Return the columns of each row by its origin, of the data files that are as they were when the run read them."""
    wanted = {str(example.origin) for example in examples}
    found: dict[str, dict[str, Any]] = {}
    for name, sha256 in run.manifest.data.files.items():
        path = Path(name)
        if not path.is_file() or sha256_of(path) != sha256:
            continue
        try:
            splits = load_splits([path])
        except GraftError:  # it was readable then, by settings that are not known here
            continue
        for rows in splits.values():
            found |= {str(row.origin): dict(all_columns(row.columns)) for row in rows if str(row.origin) in wanted}
    return found
