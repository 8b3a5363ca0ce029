"""``doctor.html``: what is wrong with data, in a single file without scripts or external resources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from graft.data.checks import SEVERITIES, CheckedData, Finding
from graft.data.personal import shown_text
from graft.report.bars import Bar, bars, full_bar
from graft.report.checked_data import data_facts, data_title
from graft.report.data_figures import Figure, distributions
from graft.report.excerpts import Excerpt, excerpts
from graft.report.finding_view import FindingView, found_view
from graft.report.findings import counted, severity_counts
from graft.report.histogram import histograms
from graft.report.templating import render_page
from graft.shared_text import shared, without_folders, without_places

TONES = {"error": "bad", "warning": "waiting", "note": "note"}
SIDE_TITLES = {"eval": "judged by", "against": "compared with"}
MOST_BARS = 30


@dataclass(frozen=True)
class Shown:
    """A finding on the page, with its rows and figures."""

    view: FindingView
    excerpts: Sequence[Excerpt]
    charts: Sequence[tuple[str, Sequence[Markup]]]
    tables: Sequence[tuple[str, Sequence[Bar], str]]


def render_data_page(data: CheckedData, findings: Sequence[Finding], checks: Sequence[str]) -> str:
    """Return the page.

    Args:
        data: What was looked at.
        findings: What was found, the gravest first.
        checks: The names of the checks that ran.
    """
    rows, places, labels = excerpts(data, findings), _places(data, findings), _labels(data)
    shown = [_shown(finding, number, rows, places) for number, finding in enumerate(findings)]
    return render_page(
        "doctor.html.j2",
        title=without_places(data_title(data)),
        verdict=counted(findings) or "No problems found",
        status=_status(findings),
        tally=[(severity, TONES[severity], count) for severity, count in severity_counts(findings).items()],
        facts=data_facts(data, checks, without_places, SIDE_TITLES),
        groups=[(severity, [each for each in shown if each.view.severity == severity]) for severity in SEVERITIES],
        distributions=[(figure, _drawn(figure, number)) for number, figure in enumerate(distributions(data))],
        labels=bars(labels),
        full_bar=full_bar(labels),
        MOST_BARS=MOST_BARS,
    )


def _status(findings: Sequence[Finding]) -> tuple[str, str]:
    """The gravest severity, in a word, and its style."""
    gravest = next((severity for severity in SEVERITIES if any(each.severity == severity for each in findings)), None)
    words = {"error": "Not ready for training", "warning": "Look before training", "note": "Ready", None: "Ready"}
    return words[gravest], {"error": "bad", "warning": "waiting"}.get(gravest or "", "good")


def _places(data: CheckedData, findings: Sequence[Finding]) -> set[str]:
    """The files and folders of the rows, as they are named."""
    named = {place for side in data.sides for place in side.source.split(", ")}
    return named.union(*(finding.rows.files for finding in findings))


def _shown(finding: Finding, number: int, rows: Mapping[str, Excerpt], places: Iterable[str]) -> Shown:
    found = found_view(finding)
    title, *evidence = (without_folders(text, places) for text in (found.title, *found.evidence))  # they quote rows
    return Shown(
        replace(shared(found), title=title, evidence=tuple(evidence)),
        [rows[key] for place in finding.rows[:5] if (key := f"{finding.side} {place}") in rows],
        [(name, _histogram(found, f"finding-{number}-{n}", name)) for n, (name, found) in enumerate(_charts(finding))],
        [(name, bars(counts)[:MOST_BARS], full_bar(counts)) for name, counts in _tables(finding)],
    )


def _charts(finding: Finding) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The figures of a finding that are histograms."""
    for name, value in finding.figures.items():
        is_histogram = isinstance(value, Mapping) and {"counts", "edges"} <= value.keys()
        if is_histogram and len(value["edges"]) == len(value["counts"]) + 1 > 1:
            yield _words(name), value


def _tables(finding: Finding) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """The figures of a finding that count something by name."""
    for name, value in finding.figures.items():
        if isinstance(value, Mapping) and len(value) > 1 and all(type(count) is int for count in value.values()):
            yield _words(name), _counts(value)


def _counts(by_name: Mapping[Any, int]) -> list[tuple[str, int]]:
    """Names as they are shown, the most frequent first; those that are one behind a mask are counted together."""
    shown: Counter[str] = Counter()
    for name, count in by_name.items():
        shown[shown_text(str(name))] += count
    return shown.most_common()


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _histogram(found: Mapping[str, Any], ident: str, title: str) -> list[Markup]:
    counts, edges = [int(count) for count in found["counts"]], [float(edge) for edge in found["edges"]]
    return histograms(counts, edges, ident, title, str(found.get("unit", title.lower())))


def _drawn(figure: Figure, number: int) -> list[Markup]:
    return histograms(figure.counts, figure.edges, f"figure-{number}", figure.title, figure.unit)


def _labels(data: CheckedData) -> list[tuple[str, int]]:
    from graft.data.quality import label_counts

    return _counts(label_counts(data.train.examples)) if data.labels else []
