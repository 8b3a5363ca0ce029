"""Findings as one JSON document, and what is said of them together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any

from graft.data.checks import SEVERITIES, Finding, Severity
from graft.data.personal import visible_text

MANY = 10_000
"""Places that are written at a time."""


def severity_counts(findings: Iterable[Finding]) -> dict[Severity, int]:
    """Return how many findings there are of each severity."""
    counts = Counter(finding.severity for finding in findings)
    return {severity: counts[severity] for severity in SEVERITIES}


def counted(findings: Iterable[Finding]) -> str:
    """``2 errors, 1 warning, 3 notes``: how many findings there are of each severity."""
    counts = severity_counts(findings)
    return ", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items() if count)


def reaches(findings: Iterable[Finding], severity: Severity | None) -> list[Finding]:
    """Return the findings of a severity, and those that are graver; none for None."""
    if severity is None:
        return []
    grave = SEVERITIES[: SEVERITIES.index(severity) + 1]
    return [finding for finding in findings if finding.severity in grave]


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings by severity; those of the same severity stay in their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def document_parts(about: Mapping[str, Any], findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the text of a JSON document part by part: 10⁶ places take no memory.

    Args:
        about: What was looked at; the findings are put behind it.
        findings: What was found.
    """
    yield json.dumps(as_json({**about, "counts": severity_counts(findings)}), ensure_ascii=False, indent=2)[:-2]
    yield ',\n  "findings": ['
    for number, finding in enumerate(findings):
        yield ",\n" if number else "\n"
        yield from _finding(finding)
    yield "\n  ]\n}\n" if findings else "]\n}\n"


def _finding(finding: Finding) -> Iterator[str]:
    """A finding, with its places last."""
    record = json.dumps(as_json(finding_record(finding)), ensure_ascii=False, indent=2)[:-2]
    yield "\n".join(f"    {line}" for line in record.split("\n"))
    yield ',\n      "rows": ['
    places, comma = iter(finding.rows), ""
    while part := [json.dumps(str(place), ensure_ascii=False) for place in islice(places, MANY)]:
        yield f"{comma}{', '.join(part)}"
        comma = ", "
    yield "]\n    }"


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain values, without its rows."""
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "title": finding.title,
        "side": finding.side or None,
        "count": len(finding.rows),
        "why": finding.why,
        "remedy": finding.remedy,
        "fix": finding.fix,
        "remedies": finding.remedies,
        "evidence": finding.evidence,
        "figures": finding.figures,
    }


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: numbers of numpy as Python's, those that are not finite as null, texts masked."""
    if hasattr(value, "tolist"):  # of numpy
        value = value.tolist()
    if isinstance(value, Mapping):
        return _mapping_as_json(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(part) for part in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, int) else visible_text(str(value))


def _mapping_as_json(value: Mapping[Any, Any]) -> dict[str, Any]:
    """A mapping as JSON has it; the counts of names that are one behind a mask are added up."""
    found: dict[str, Any] = {}
    for name, part in value.items():
        shown, new = visible_text(str(name)), as_json(part)
        is_count = type(new) is int and type(found.get(shown)) is int
        found[shown] = found[shown] + new if is_count else new
    return found
