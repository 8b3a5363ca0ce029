"""What is wrong with an evaluation that is in no run: of a model, a bundle, or a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from graft.data.checks import Finding
from graft.evaluation.unbeaten import unbeaten
from graft.report import summary
from graft.report.changes_between import Compared, compared
from graft.report.confusion import commonest_share, label_matrix
from graft.report.doctor import FEW_HELD_OUT, finding_of
from graft.report.findings import gravest_first
from graft.report.format import metric_of
from graft.runs.view import RunView

MANY = 0.05
"""A share of the answers that is worth a warning."""


def diagnose_evaluation(view: RunView) -> list[Finding]:
    """Return everything that was found, the gravest first."""
    sides = compared(view)
    if sides is None:
        return []
    checks: tuple[Callable[[RunView, Compared], Iterator[Finding]], ...] = (
        _guessing,
        _never,
        _outside,
        _empty,
        _cut,
        _few,
    )
    return gravest_first(finding for check in checks for finding in check(view, sides))


def _guessing(view: RunView, sides: Compared) -> Iterator[Finding]:
    """A score that costs nothing to reach."""
    if view.headline is None or view.headline not in view.scores[sides.after]:
        return
    metric, found = metric_of(view, view.headline), view.scores[sides.after][view.headline]
    commonest = commonest_share(view) if metric.has_majority_baseline else None
    left = unbeaten(summary.beaten_baselines(view))
    if not left and (commonest is None or found.value > commonest):
        return
    evidence = [f"{sides.after}: {metric.label} {metric.figure(found.value)}"]
    if commonest is not None:
        evidence.append(f"always predicting the most frequent label reaches {metric.figure(commonest)}")
    if left:
        evidence.append(summary.to_beat(view))
    remedies = (
        "fine-tune the model on rows of this kind: graft finetune MODEL DATA",
        "look at the rows in report.html",
    )
    title = "the model is not proven to be better than a baseline that costs seconds"
    yield finding_of("poor_results", title, tuple(evidence), remedies)


def _never(view: RunView, sides: Compared) -> Iterator[Finding]:
    records = view.evaluation.classes.get(sides.after) or {}
    never = [label for label, record in records.items() if record.support and record.recall == 0]
    if never:
        evidence = (f"{', '.join(never[:5])}{f' and {len(never) - 5:,} more' if len(never) > 5 else ''}",)
        remedies = ("name all labels in the prompt (--instruction)", "add rows with these labels and fine-tune on them")
        yield finding_of("labels_never_found", "labels that the model never predicts correctly", evidence, remedies)


def _outside(view: RunView, sides: Compared) -> Iterator[Finding]:
    matrix = label_matrix(view, sides.after)
    if matrix is None or not matrix.counts or matrix.answers[-1] is not None:
        return
    outside, whole = sum(row[-1] for row in matrix.counts), sum(map(sum, matrix.counts))
    if whole and outside > MANY * whole:
        evidence = (f"{outside:,} of {whole:,} answers",)
        remedies = (
            "name the labels in the prompt, and ask for one of them only (--instruction)",
            "--normalize case,punctuation",
        )
        yield finding_of("no_label", "many answers are none of the labels", evidence, remedies)


def _empty(view: RunView, sides: Compared) -> Iterator[Finding]:
    answers = [row.answers[sides.after] for row in view.predictions if sides.after in row.answers]
    empty = sum(not answer.strip() for answer in answers)
    if answers and empty > MANY * len(answers):
        remedies = (
            "look at the prompt as the model reads it (--dry_run), above all at its end and at the chat template",
        )
        yield finding_of(
            "empty_answers", "many answers are empty", (f"{empty:,} of {len(answers):,} answers",), remedies
        )


def _cut(view: RunView, sides: Compared) -> Iterator[Finding]:
    endpoint = view.evaluation.endpoint
    if endpoint is not None and endpoint.cut:
        evidence = (f"{endpoint.cut:,} answers of {endpoint.name} reached max_new_tokens",)
        yield finding_of("cut_answers", "answers were cut", evidence, ("use a larger --max_new_tokens",))


def _few(view: RunView, sides: Compared) -> Iterator[Finding]:
    rows = max((estimate.n or 0 for estimate in view.scores[sides.after].values()), default=0)
    if 0 < rows < FEW_HELD_OUT:
        remedies = ("evaluate on more rows: the interval halves with four times as many",)
        yield finding_of("few_rows", "too few rows for a sure result", (f"{rows:,} rows",), remedies, "note")
