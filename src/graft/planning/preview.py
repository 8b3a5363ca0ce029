"""``--dry_run``: the plan, and the first rows exactly as they are trained on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from graft.data.token_table import row_lengths
from graft.planning.estimate import estimate
from graft.planning.plan import RunPlan
from graft.planning.quick_checks import HINT, finding_record
from graft.report.shown_rows import ShownRow, print_rows, shown_rows

if TYPE_CHECKING:
    from rich.console import Console

ROWS_SHOWN = 3


def preview(plan: RunPlan) -> dict[str, Any]:
    """Return the plan as plain values, for ``--json``."""
    training = plan.training
    return {
        "model": plan.base.name,
        "output_path": str(plan.output),
        "rows": {"train": len(plan.rows), "held_out": len(plan.held_out)},
        "task": plan.task.name,
        "kind": plan.data.mapping.kind,
        "labels": plan.data.mapping.labels,
        "tokens": {
            "all": plan.tokens,
            "trained": plan.trained_tokens,
            "trained_share": round(plan.trained_tokens / max(plan.tokens, 1), 4),
            "longest_row": int(row_lengths(plan.rows).max()),
        },
        "steps": training.steps,
        "batch_size": training.batch_size,
        "gradient_accumulation_steps": training.accumulation,
        "learning_rate": training.learning_rate,
        "estimate": asdict(estimate(plan)),
        "inferred_settings": [asdict(inference) for inference in plan.inferred],
        "data": plan.data.summary,
        "findings": [finding_record(finding) for finding in plan.data.findings],
        "first_rows": [row.record() for row in _rows(plan)],
    }


def _rows(plan: RunPlan) -> list[ShownRow]:
    return shown_rows(plan.rows, ROWS_SHOWN, lambda row: plan.task.preview(row, plan.encoding))


def _plain(value: Any) -> str:
    """A value as text, strings in quotes, with visible line ends."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return repr(value) if isinstance(value, str) else str(value)


def print_preview(plan: RunPlan, console: Console | None = None) -> None:
    """Print the plan on stdout.

    Args:
        plan: The plan.
        console: The terminal, for colors.
    """
    document = preview(plan)
    tokens = document["tokens"]
    rows, kind = document["rows"], document["kind"]
    share, longest = tokens["trained_share"], tokens["longest_row"]
    per_step = f"{document['batch_size']} rows × {document['gradient_accumulation_steps']}"
    print(f"model      {document['model']}")
    print(f"task       {document['task']}")
    print(f"output     {document['output_path']}")
    print(f"rows       {rows['train']:,} to train on, {rows['held_out']:,} held out ({kind})")
    of_which = "" if plan.encoding.label_space.names else f", of which {share:.1%} are trained on"
    print(f"tokens     {tokens['all']:,}{of_which}; longest row {longest}")
    print(f"steps      {document['steps']:,} of {per_step}")
    expected = document["estimate"]
    print(f"estimate   {expected['minutes']:.1f} minutes of training, {expected['memory_mb'] / 1000:.1f} GB of memory")
    for inference in document["inferred_settings"]:
        print(f"inferred   {inference['name']} = {_plain(inference['value'])}: {inference['why']}")
    for warning in document["data"]["warnings"]:
        print(f"warning    {warning}")
    for finding in plan.data.findings:
        print(f"{finding.severity:<10} {finding.sentence}")
    if plan.data.findings:
        print(f"           {HINT}")
    print_rows(_rows(plan), console, " Nothing was trained.")
