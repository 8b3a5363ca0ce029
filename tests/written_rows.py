"""Findings of the data doctor on rows that a test writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.config import DataSettings
from graft.data.checks import Finding, run_checks
from graft.planning.checked_data import read_data

CALM = [
    {"prompt": f"Which river flows past the {name} of town number {n}?", "completion": f"The river {n} does."}
    for n in range(20)
    for name in ("castle", "mill")
]
"""Rows with nothing wrong in them."""


def texts(*prompts: str) -> list[dict[str, str]]:
    """Rows with these prompts, after forty calm ones."""
    return [*CALM, *({"prompt": prompt, "completion": "It is so."} for prompt in prompts)]


def findings(folder: Path, rows: Sequence[Mapping[str, Any] | str], *checks: str, **settings: Any) -> list[Finding]:
    """What checks find in rows; a text is a line as it is."""
    path = folder / "rows.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return run_checks(read_data(DataSettings(data_files=(str(path),), **settings), None, 42, None), checks)


def lines(found: Sequence[Finding], kind: str) -> list[int]:
    """The lines that findings of a kind name."""
    return [origin.line for finding in found if finding.kind == kind for origin in finding.rows]
