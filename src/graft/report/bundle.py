"""An exported bundle in the terminal: what it is, what was tried, what the comparison said, how to run it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from graft.report.figure_table import print_figures
from graft.runs.manifest import (
    BundleManifest,
    CandidateRecord,
    ParityRecord,
    read_bundle,
)
from graft.runs.paths import shown_path
from graft.shell import command

DASH = "–"


def print_bundle(folder: Path, console: Console) -> None:
    """Print the bundle in ``folder``."""
    manifest = read_bundle(folder)
    for name, value in bundle_facts(folder, manifest):
        console.print(f"{name:<15}{value}", soft_wrap=True, markup=False)
    for title, headings, rows in _tables(manifest):
        console.print()
        print_figures(console, headings, rows, title)
    console.print()
    for line in run_commands(folder, manifest):
        console.print(f"next: {line}", soft_wrap=True, markup=False)


def bundle_summary(folder: Path) -> dict[str, Any]:
    """The bundle as plain values: its manifest, its folder, and the commands that run it."""
    manifest = read_bundle(folder)
    return {"bundle": str(folder), "commands": run_commands(folder, manifest), "manifest": manifest.document()}


def bundle_facts(folder: Path, manifest: BundleManifest) -> list[tuple[str, str]]:
    """Name and value of what there is to say about a bundle in one line each."""
    precision = manifest.precision or ""
    rounding = f", rounded by {manifest.rounding}" if manifest.rounding else ""
    found = [
        ("bundle", f"{folder} ({manifest.status})"),
        ("format", manifest.title or manifest.format),
        ("task", manifest.task or ""),
        ("base model", manifest.base.name if manifest.base else ""),
        ("license", (manifest.base.license or "") if manifest.base else ""),
        ("precision", f"{precision}{rounding}"),
        ("size", f"{manifest.size_mb:g} MB" if manifest.size_mb is not None else ""),
        ("file", manifest.file or ""),
        ("runs on", manifest.provider or ""),
        ("made from", shown_path(manifest.run, folder) if manifest.run else ""),
        ("adapter", _placement(manifest)),
        ("parity", manifest.summary),
        *_agreements(manifest.parity),
    ]
    return [(name, value) for name, value in found if value]


def _placement(manifest: BundleManifest) -> str:
    adapter = manifest.adapter
    return f"{adapter.name}: {adapter.placement} ({adapter.reason})" if adapter else ""


_COUNTS = {
    "template_identical": "prompts with the same text",
    "token_ids_identical": "prompts with the same tokens",
    "ends_identical": "answers with the same end",
    "answers_equal": "equal answers",
    "answers_equal_in_batches": "equal answers in batches",
    "next_token_equal": "equal next tokens",
}


def _agreements(parity: ParityRecord | str | None) -> Iterator[tuple[str, str]]:
    if not isinstance(parity, ParityRecord):
        return
    for name, title in _COUNTS.items():
        pair = getattr(parity, name)
        if pair:
            yield "", f"{title}: {pair[0]} of {pair[1]}"
    if parity.greatest_logit_difference is not None:
        yield "", f"greatest logit difference: {parity.greatest_logit_difference:g}"


_Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""A title, the headings, and the rows."""


def _tables(manifest: BundleManifest) -> Iterator[_Table]:
    if manifest.candidates:
        yield _candidates(manifest.candidates)
    if manifest.adapters:
        yield _adapters(manifest)


def _candidates(candidates: list[CandidateRecord]) -> _Table:
    metric = next((one.metric for one in candidates if one.metric), "metric")
    rows = []
    for one in candidates:
        figures = [one.size_mb, one.tokens_per_second, one.load_seconds, one.peak_mb]
        passes = DASH if one.value is None else ("yes" if one.passed else "no")
        cells = [_number(figure, "g") for figure in figures]
        rows.append((one.label, *cells, _number(one.value, ".3f"), _number(one.pytorch, ".3f"), passes))
    return "Candidates", ("weights", "MB", "tok/s", "load s", "peak MB", metric, "PyTorch", "passed"), rows


def _adapters(manifest: BundleManifest) -> _Table:
    rows = []
    for name, entry in manifest.adapters.items():
        parity = entry.parity
        cells = ["not compared", "", "", "", ""]
        if isinstance(parity, ParityRecord):
            values = [figure.value if figure else None for figure in (parity.pytorch, parity.bundle)]
            equal = "{} of {}".format(*parity.answers_equal) if parity.answers_equal else DASH
            cells = [parity.metric or "", *[_number(value, ".3f") for value in values], equal]
            cells.append(_number(parity.greatest_logit_difference, "g"))
        rows.append((name, _number(entry.size_mb, "g"), ", ".join(map(str, entry.ranks)), *cells))
    return "Adapters", ("adapter", "MB", "rank", "metric", "PyTorch", "bundle", "same answers", "logit diff"), rows


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else format(value, form)


def run_commands(folder: Path, manifest: BundleManifest) -> list[str]:
    """The commands that run a bundle."""
    return [manifest.run_command.replace("{folder}", command(folder))] if manifest.run_command else []
