"""Findings in the terminal: by severity, with places, reasons, and remedies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from graft.data.checks import SEVERITIES, Finding
from graft.report.finding_view import FindingView, found_view

STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_LABEL = 10
_NARROW = 40
"""A terminal with fewer columns gets no labels beside the texts."""


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print findings by severity, the gravest first.

    Args:
        console: Where they are printed; the lines of a file or a pipe are not broken.
        findings: What was found.
    """
    for severity in SEVERITIES:
        found = [finding for finding in findings if finding.severity == severity]
        if found:
            console.print()
            heading = f"{len(found)} {severity}{'' if len(found) == 1 else 's'}"
            console.print(Text(heading, style=STYLES[severity]))
        for finding in found:
            _print_finding(console, finding)


def print_facts(console: Console, facts: Sequence[tuple[str, str]], indent: int = 0) -> None:
    """Print lines of a label and a text, broken where the terminal ends.

    Args:
        console: Where they are printed.
        facts: The labels and the texts.
        indent: The number of blanks before each line.
    """
    for label, text in facts:
        _print_line(console, " " * indent + label, text, "dim", indent + _LABEL)


def _print_finding(console: Console, finding: Finding) -> None:
    console.print()
    shown = found_view(finding)
    _print_line(console, "  -", f"{shown.title} [{shown.where}]", "", 4, style="bold")
    print_facts(console, list(_facts(shown)), 4)


def _facts(finding: FindingView) -> Iterator[tuple[str, str]]:
    """The label and the text of each line below the title."""
    if finding.places:
        yield "rows", finding.places
    if finding.why:
        yield "why", finding.why
    for number, line in enumerate(finding.evidence):
        yield "" if number else "evidence", line
    for number, line in enumerate(finding.remedies):
        yield "or" if number else "remedy", line
    if finding.fix:
        yield "fix", finding.fix


def _print_line(console: Console, label: str, text: str, label_style: str, indent: int, style: str = "") -> None:
    """Print a label and a text whose lines are below each other."""
    edge = getattr(console, "has_edge", True)
    body = Text(text, style=style, overflow="fold")
    if edge and console.width < _NARROW:
        body, label, indent = Text.assemble((label.lstrip(), label_style), " ", body), "", 2
    lines = body.wrap(console, max(8, console.width - indent - 1)) if edge else body.split("\n")
    for number, line in enumerate(lines):
        line.rstrip()
        head = "" if number else label
        blanks = " " * max(1 if head else 0, indent - cell_len(head))
        console.print(Text.assemble((head, label_style), blanks, line), soft_wrap=True)
