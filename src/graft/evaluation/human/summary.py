"""The section ``judgments`` of evaluation.json, from the judgments."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graft.evaluation.human.agreement import codes, grouped, krippendorff_alpha
from graft.evaluation.human.binomial import two_sided
from graft.evaluation.human.bradley_terry import bradley_terry
from graft.evaluation.human.power import LEVEL, decided_needed
from graft.evaluation.human.preference import SAMPLES, SEED, Preference, preference
from graft.evaluation.human.votes import Outcome, Vote, between, pairs_of
from graft.runs.judgment_record import JudgmentRecord

OUTCOMES = codes(("first", "second", "tie", "both_bad"))


@dataclass(frozen=True)
class Criterion:
    """A question that raters answer for each answer.

    Attributes:
        name: Its key.
        question: What is asked.
        low: The lowest grade.
        high: The highest grade, which is the best.
        labels: What the lowest and the highest grade mean; may be empty.
    """

    name: str
    question: str
    low: int = 1
    high: int = 5
    labels: tuple[str, str] = ("", "")


def last_of_each(records: Sequence[JudgmentRecord]) -> list[JudgmentRecord]:
    """Return the last judgment of each rater for each item: people may change their minds.

    They are sorted, so that the same judgments give the same intervals in whatever order they came.
    """
    found = {(record.item, record.rater): record for record in records}
    return [found[key] for key in sorted(found)]


def vote_of(record: JudgmentRecord, order: Mapping[str, int]) -> Vote:
    """Return a judgment as a vote; the first model is the one that comes first in ``order``."""
    outcome: dict[str, Outcome] = {"left": "first", "right": "second"}
    kind = outcome.get(record.choice, "both_bad" if record.choice == "both_bad" else "tie")
    vote = Vote(record.row, record.rater, record.left, record.right, kind)
    return vote.of(min(record.left, record.right, key=lambda model: order[model]))


def judgments_section(
    records: Sequence[JudgmentRecord],
    models: Sequence[str],
    criteria: Sequence[Criterion] = (),
    others: int = 0,
    same: int = 0,
) -> dict[str, Any]:
    """Return ``judgments`` of evaluation.json.

    Args:
        records: The judgments of the answers as they are now.
        models: The models that are compared, such as ``base`` and ``tuned``.
        criteria: The questions that were asked.
        others: How many judgments are of answers that the models no longer give.
        same: How many rows are not judged because the answers are the same.
    """
    counted = last_of_each(records)
    order = {model: place for place, model in enumerate(models)}
    votes = [vote_of(record, order) for record in counted]
    decided = [record.choice for record in counted if record.choice in ("left", "right")]
    left = decided.count("left")
    units = grouped(((vote.row, vote.first, vote.second), OUTCOMES[vote.outcome]) for vote in votes)
    strengths, tie_added = bradley_terry(votes, models) if len(models) > 2 and votes else ([], False)
    return {
        "models": list(models),
        "rows": len({vote.row for vote in votes}),
        "raters": len({vote.rater for vote in votes}),
        "judgments": len(votes),
        "pairs": pair_records(votes, models),
        "strengths": [asdict(strength) for strength in strengths],
        "tie_added": tie_added,
        "alpha": krippendorff_alpha(units),
        "alpha_rows": sum(len(values) > 1 for values in units),
        "left": left,
        "decided": len(decided),
        "left_p": two_sided(left, len(decided)),
        "criteria": [_criterion(criterion, counted, models) for criterion in criteria],
        "same": same,
        "of_other_answers": others,
    }


def pair_records(votes: Sequence[Vote], models: Sequence[str]) -> list[dict[str, Any]]:
    """Return a record for each pair of models that was compared; p is adjusted for their number (Holm 1979)."""
    pairs = pairs_of(votes, models)
    parts = [between(votes, *pair) for pair in pairs]
    found = [preference(part) for part in parts]
    adjusted, highest = [1.0] * len(pairs), 0.0
    for rank, place in enumerate(sorted(range(len(pairs)), key=lambda place: found[place].p)):
        highest = max(highest, min(1.0, (len(pairs) - rank) * found[place].p))
        adjusted[place] = highest
    return [_pair(*each) for each in zip(parts, pairs, found, adjusted, strict=True)]


def _pair(votes: Sequence[Vote], pair: tuple[str, str], found: Preference, adjusted: float) -> dict[str, Any]:
    """The record of the votes on one pair of models."""
    first, second = pair
    decided = found.wins + found.losses
    needed = decided_needed(found.share) if found.share is not None else None
    more: int | None = None
    if adjusted <= LEVEL:
        more = 0
    elif needed is not None:
        more = max(1, math.ceil((needed - decided) * len(votes) / decided))
    return {
        "first": first,
        "second": second,
        "judgments": len(votes),
        "rows": len({vote.row for vote in votes}),
        "raters": len({vote.rater for vote in votes}),
        **asdict(found),
        "p_adjusted": adjusted,
        "needed": needed,
        "more": more,
    }


def _criterion(criterion: Criterion, records: Sequence[JudgmentRecord], models: Sequence[str]) -> dict[str, Any]:
    """The grades of each model by a criterion."""
    grades = [
        (record.row, model, record.item, float(grade))
        for record in records
        for model, grade in zip((record.left, record.right), record.criteria.get(criterion.name, ()), strict=False)
        if grade is not None
    ]
    given = {model: [(row, grade) for row, of, _, grade in grades if of == model] for model in models}
    return {
        "name": criterion.name,
        "question": criterion.question,
        "low": criterion.low,
        "high": criterion.high,
        "grades": [{"model": model, **_mean(found)} for model, found in given.items() if found],
        "alpha": krippendorff_alpha(grouped(((item, of), grade) for _, of, item, grade in grades), "ordinal"),
    }


def _mean(grades: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """The mean of grades, with its 95 % percentile interval over resampled rows."""
    rows = sorted({row for row, _ in grades})
    totals = Counter[str]()
    counts = Counter(row for row, _ in grades)
    for row, grade in grades:
        totals[row] += grade  # type: ignore[assignment]
    sums, sizes = np.array([totals[row] for row in rows], float), np.array([counts[row] for row in rows], float)
    generator = np.random.default_rng(SEED)
    weights = generator.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=SAMPLES)
    low, high = np.percentile((weights @ sums) / (weights @ sizes), [2.5, 97.5])
    return {"mean": float(sums.sum() / sizes.sum()), "low": float(low), "high": float(high), "n": len(grades)}
