"""The quick checks of the rows that a run will be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graft.data.checks import CHECKS, CheckedData, Finding, Side, run_checks
from graft.data.example import MOST_PLACES
from graft.data.pipeline import Prepared
from graft.data.sources import Loaded
from graft.errors import InputError, Problem
from graft.progress import Reporter

HINT = "graft doctor DATA shows the reasons, the remedies, and what further checks find"


def checked(data: Prepared, loaded: Loaded, seed: int, reporter: Reporter) -> Prepared:
    """Return the prepared rows with what the quick checks found in them.

    Args:
        data: The rows as they will be trained on.
        loaded: The rows as they were read.
        seed: Decides what checks sample.
        reporter: Shows the progress.

    Raises:
        InputError: With every finding that makes training wrong.
    """
    found = run_checks(_view(data, loaded, seed, reporter), [name for name in CHECKS.names() if CHECKS.get(name).quick])
    refuse_errors(found)
    return replace(data, findings=tuple(found))


def refuse_errors(found: Sequence[Finding]) -> None:
    """Check that nothing that was found makes training wrong.

    Raises:
        InputError: With every finding that does, its rows, and its remedies.
    """
    wrong = [finding for finding in found if finding.severity == "error"]
    if wrong:
        raise InputError(*map(_problem, wrong))


def _view(data: Prepared, loaded: Loaded, seed: int, reporter: Reporter) -> CheckedData:
    train = Side("train", loaded.train, data.train, data.source.path)
    judged_by = data.eval_source.path if data.eval_source else data.source.path
    held_out = Side("eval", loaded.eval or (), data.eval, judged_by)
    return CheckedData(train, held_out, None, data.mapping, labels=data.mapping.labels, seed=seed, reporter=reporter)


def _problem(finding: Finding) -> Problem:
    what = f"{finding.title}: {finding.why}" if finding.why else finding.title
    return Problem(what, str(finding.rows), "; ".join(finding.remedies))


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return what a manifest keeps of a finding: with the first places alone."""
    kept = ("kind", "severity", "title", "side", "why", "remedy", "fix")
    places = [str(place) for place in finding.rows[:MOST_PLACES]]
    return {name: getattr(finding, name) for name in kept} | {"count": len(finding.rows), "places": places}
