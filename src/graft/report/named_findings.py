"""Findings with the names of the files that were looked at, as a terminal shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from graft.data.checks import CheckedData, Finding
from graft.data.personal import visible_text
from graft.files import is_there
from graft.shell import command

LONGEST = 60
"""Characters of a path up to which it stands in the commands that are shown."""
_DATA = re.compile(r"\b(graft (?:prepare|doctor)) DATA\b")


def named_findings(data: CheckedData, findings: Sequence[Finding]) -> list[Finding]:
    """Return findings whose commands name the data, and whose rows are named without folders if all are in one file.

    Args:
        data: What was looked at.
        findings: What was found.
    """
    source = data.train.source
    typed = command(Path(source)) if source and is_there(source) else ""
    named = [_with_data(each, typed) for each in findings] if _is_typed(typed) else list(findings)
    files = {*(side.source for side in data.sides), *(file for each in findings for file in each.rows.files)}
    name = Path(source).name
    return [_without_folder(each, source, name) for each in named] if files == {source} != {name} else named


def _is_typed(typed: str) -> bool:
    """Whether a path is to stand in a command: not a long one, nor one with personal data."""
    return 0 < len(typed) <= LONGEST and visible_text(typed) == typed


def _with_data(finding: Finding, typed: str) -> Finding:
    def given(text: str) -> str:
        return _DATA.sub(lambda found: f"{found[1]} {typed}", text)

    return replace(
        finding, remedy=given(finding.remedy), fix=given(finding.fix), further=tuple(map(given, finding.further))
    )


def _without_folder(finding: Finding, file: str, name: str) -> Finding:
    place = re.compile(rf"(?<![\w./-]){re.escape(file)}(?=:)")

    def named(text: str) -> str:
        return place.sub(lambda _: name, text)

    return replace(
        finding,
        rows=finding.rows.by_name({file: name}),
        title=named(finding.title),
        why=named(finding.why),
        remedy=named(finding.remedy),
        evidence=tuple(map(named, finding.evidence)),
    )
