"""What a run has forgotten, for people: a sentence, the section of the report, and a finding of ``graft doctor``."""

from __future__ import annotations

from typing import Any

from graft.plain_text import escape_controls
from graft.report.format import count, share
from graft.runs.forgetting_record import CHANGED, KEPT, LOST, ForgettingRecord
from graft.runs.metric_info import MINUS
from graft.runs.view import RunView, number

FIRST = 6
"""Answers that are shown; the others are folded."""
SAID = {
    KEPT: "The tuned model kept the general abilities of its base",
    CHANGED: "The tuned model answers other prompts than those of its task differently from its base",
    LOST: "The tuned model lost general abilities of its base",
}
MIXING = "mix general rows into the training data, about one in ten: instructions of other kinds with good answers"


def forgetting_sentence(view: RunView) -> str:
    """Return what was found, with its figures; empty where it was not measured."""
    record = view.evaluation.forgetting
    return sentence_of(record) if record is not None else ""


def sentence_of(record: ForgettingRecord) -> str:
    """Return ``The tuned model kept the general abilities of its base: on 41 neutral prompts …``."""
    said = SAID.get(record.judgment, f"General abilities: {record.judgment}")
    bounds = "" if record.low is None or record.high is None else f", {_nats(record.low)} to {_nats(record.high)}"
    figures = (
        f"on {count(record.prompts)} neutral prompts, the base's own answers cost it {record.tuned_nats:.2f} nats a "
        f"token and the base {record.base_nats:.2f} ({_nats(record.rise)}{bounds})"
    )
    return f"{said}: {figures}; {'; '.join(_shares(record))}."


def forgetting_content(view: RunView) -> dict[str, Any] | None:
    """Return what the report's section shows; None for a run that was not asked."""
    record = view.evaluation.forgetting
    if record is None:
        return None
    rows = [
        {
            "kind": answer.kind,
            "prompt": answer.prompt,
            "base": escape_controls(answer.base),
            "tuned": escape_controls(answer.tuned),
            "rise": _nats(answer.rise),
        }
        for answer in sorted(record.answers, key=lambda each: -each.rise)
    ]
    kinds = [
        {
            "kind": name,
            "prompts": count(kind.prompts),
            "base": f"{kind.base_nats:.2f}",
            "tuned": f"{kind.tuned_nats:.2f}",
            "same": share(kind.same_answers) or "0 %",
        }
        for name, kind in record.kinds.items()
    ]
    return {
        "judgment": record.judgment,
        "sentence": sentence_of(record),
        "kinds": kinds,
        "first": rows[:FIRST],
        "rest": rows[FIRST:],
    }


def remedies(view: RunView) -> tuple[str, ...]:
    """Return what to do against forgetting, with values for this run."""
    rate, steps = number(view.setting("learning_rate")), view.training.steps or view.last_step
    lower = f"--learning_rate {rate / 3:.2g}: a third of the rate" if rate else "a lower --learning_rate: a third"
    fewer = f"--max_steps {max(1, steps // 2)}: half the steps" if steps else "fewer steps: --max_steps"
    return lower, fewer, MIXING


def _shares(record: ForgettingRecord) -> list[str]:
    found = [f"{share(record.same_answers) or '0 %'} of its answers are the same"]
    if record.length_ratio is not None:
        found.append(f"they are {record.length_ratio:.2f} times as long")
    if record.label_answers:
        found.append(f"{share(record.label_answers)} are a label of its task")
    return found


def _nats(value: float) -> str:
    return f"{MINUS if value < 0 else '+'}{abs(value):.2f}"
