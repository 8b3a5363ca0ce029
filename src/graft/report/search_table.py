"""``trials.csv``: a row for each trial, with the searched settings as columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from graft.plain_text import escape_controls, mask_secrets
from graft.report.search_view import SearchView
from graft.runs.manifest import TrialRecord

BEFORE = ("trial", "status", "value")
AFTER = ("best_step", "steps", "seconds", "untouched", "same_as", "worker", "weights", "error")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def trials_csv(view: SearchView) -> str:
    """Return the trials as CSV (RFC 4180), by number.

    Numbers have all their digits. A text that a spreadsheet would take for a formula has an apostrophe in front.
    """
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    table.writerow([*BEFORE, *map(_heading, view.names), *AFTER])
    for trial in view.trials:
        table.writerow(map(_cell, _values(trial, view.names)))
    return written.getvalue()


def _heading(name: str) -> str:
    return _cell(f"settings.{name}" if name in {*BEFORE, *AFTER} else name)


def _values(trial: TrialRecord, names: list[str]) -> Iterator[Any]:
    yield from (trial.number, trial.status, trial.value)
    yield from (trial.settings.get(name) for name in names)
    yield from (getattr(trial, name) for name in AFTER)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = escape_controls(mask_secrets(text))
    return f"'{shown}" if text.startswith(FORMULAS) else shown
