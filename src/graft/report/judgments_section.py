"""People's judgments in words: for the terminal, the report and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.report.format import count
from graft.runs.judgment_record import CriterionRecord, JudgeRecord, JudgmentsRecord, PairRecord
from graft.runs.view import RunView

PROVEN = 0.05
"""The level of the sign test."""
RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff 2004, "Content Analysis", section 11.4: conclusions are reliable from 0.8, tentative from 0.667."""


@dataclass(frozen=True)
class PairView:
    """Two models as the page shows them.

    Attributes:
        first: A model.
        second: The other model.
        bars: For the first, ties, both bad, and the second: what it is, how many, and the share in percent.
        sentence: What follows.
        kind: ``good`` where a preference is proven, else ``waiting``.
    """

    first: str
    second: str
    bars: Sequence[tuple[str, int, float]]
    sentence: str
    kind: str


def percent(share: float | None) -> str:
    """Return a share as whole percent."""
    return "–" if share is None else f"{100 * share:.0f} %"


def pair_sentence(pair: PairRecord, who: str = "People") -> str:
    """Return what the judgments of two models say: who is preferred, how sure that is, and how many more are needed."""
    decided = pair.wins + pair.losses
    if not decided:
        return f"{who} preferred neither {pair.first} nor {pair.second} in {count(pair.judgments)} judgments."
    ahead = pair.wins >= pair.losses
    better, other = (pair.first, pair.second) if ahead else (pair.second, pair.first)
    share, low, high = (pair.share or 0.0, pair.low or 0.0, pair.high or 0.0)
    bounds = (share, low, high) if ahead else (1 - share, 1 - high, 1 - low)
    undecided = pair.ties + pair.both_bad
    said = f"{who} preferred {better} to {other} in {percent(bounds[0])} of {count(decided)} decided judgments"
    said += f" (95 % interval {percent(bounds[1])} to {percent(bounds[2])}, {_p(pair.p_adjusted)})"
    said += f"; {count(undecided)} more were undecided" if undecided else ""
    return f"{said}. {_conclusion(pair)}"


def _conclusion(pair: PairRecord) -> str:
    if pair.p_adjusted <= PROVEN:
        return "This is a proven preference."
    if pair.more is None:
        return "No preference is visible."
    return (
        f"This is not proven: a preference of this strength needs about {count(pair.needed)} decided judgments of "
        f"different rows, so about {count(pair.more)} more."
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def sentences(found: JudgmentsRecord) -> list[str]:
    """Return all that follows from the judgments, a sentence or two for each thing."""
    said = [pair_sentence(pair) for pair in found.pairs]
    said += [_other_raters(pair) for pair in found.pairs if pair.rater_low is not None]
    if found.strengths:
        order = " > ".join(f"{one.model} ({one.strength:+.2f})" for one in found.strengths)
        added = "; each pair was given one tie more, because a model never lost or never won" if found.tie_added else ""
        said.append(f"Bradley–Terry strengths in logits: {order}{added}.")
    said += [text for text in (_agreement(found), _position(found)) if text]
    said += [_grades(criterion) for criterion in found.criteria if criterion.grades]
    if found.same:
        said.append(f"On {_rows(found.same)} the answers are the same; nobody has to judge these.")
    if found.of_other_answers:
        said.append(f"Judgments of earlier answers, which do not count: {count(found.of_other_answers)}.")
    return [*said, *(judge_sentences(found.judge) if found.judge is not None else ())]


def _other_raters(pair: PairRecord) -> str:
    return (
        f"With other raters, too, the share of {pair.first} against {pair.second} is between "
        f"{percent(pair.rater_low)} and {percent(pair.rater_high)} (95 % interval over rows and raters)."
    )


def _agreement(found: JudgmentsRecord) -> str:
    if found.raters < 2 or not found.alpha_rows:
        return ""
    if found.alpha is None:
        return f"All judgments of the {count(found.alpha_rows)} rows with several raters are the same."
    how = "reliable" if found.alpha >= RELIABLE else "tentative" if found.alpha >= TENTATIVE else "weak"
    return (
        f"Agreement of the raters is {how}: Krippendorff's alpha is {found.alpha:.2f} on {count(found.alpha_rows)} "
        "rows (1 is full agreement, 0 is chance)."
    )


def _position(found: JudgmentsRecord) -> str:
    if not found.decided:
        return ""
    share = f"{percent(found.left / found.decided)} of {count(found.decided)} decided judgments"
    if found.left_p > PROVEN:
        return f"Answer 1 won {share}: no position bias is visible."
    return f"Answer 1 won {share} ({_p(found.left_p)}): raters favor a position. The order was random for each row."


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{count(number)} rows"


def _grades(criterion: CriterionRecord) -> str:
    means = ", ".join(f"{one.model} {one.mean:.2f} ({one.low:.2f} to {one.high:.2f})" for one in criterion.grades)
    alpha = f"; alpha {criterion.alpha:.2f}" if criterion.alpha is not None else ""
    return f"{criterion.question} ({criterion.low} to {criterion.high}): {means}{alpha}."


def judge_sentences(judge: JudgeRecord) -> list[str]:
    """Return what a model as judge said, apart from people."""
    said = [pair_sentence(pair, f"The judge {judge.model}") for pair in judge.pairs]
    said.append(
        f"The judge said the same in both orders for {count(judge.consistent)} of {count(judge.rows)} rows; the others "
        "are ties." + (f" {count(judge.no_answer)} answers named none of the choices." if judge.no_answer else "")
    )
    if judge.compared:
        alpha = f", alpha {judge.alpha:.2f}" if judge.alpha is not None else ""
        said.append(f"It agreed with most people on {count(judge.agreed)} of {count(judge.compared)} rows{alpha}.")
    else:
        said.append("No person judged these rows: nobody knows whether the judge is right.")
    return said


def judgments_content(view: RunView) -> Mapping[str, Any] | None:
    """Return what the section of the report shows; None for a run that nobody judged."""
    found = view.evaluation.judgments
    if found is None or not (found.judgments or found.judge):
        return None
    judge = found.judge
    people = found.model_copy(update={"judge": None})
    return {
        "lead": _lead(found),
        "pairs": [_pair_view(pair) for pair in found.pairs],
        "more": [text for text in sentences(people) if text not in {pair_sentence(pair) for pair in found.pairs}],
        "judge": judge_sentences(judge) if judge is not None else [],
        "judge_pairs": [_pair_view(pair) for pair in judge.pairs] if judge is not None else [],
    }


def _lead(found: JudgmentsRecord) -> str:
    if not found.judgments:
        return "No person has judged the answers; a model has."
    raters = "1 rater" if found.raters == 1 else f"{count(found.raters)} raters"
    return (
        f"{count(found.judgments)} blind judgments of {_rows(found.rows)} by {raters}: two answers in random "
        "order, without names."
    )


def _pair_view(pair: PairRecord) -> PairView:
    counted = ((pair.first, pair.wins), ("tie", pair.ties), ("both bad", pair.both_bad), (pair.second, pair.losses))
    bars = [(name, number, 100 * number / max(1, pair.judgments)) for name, number in counted]
    return PairView(
        pair.first, pair.second, bars, pair_sentence(pair), "good" if pair.p_adjusted <= PROVEN else "waiting"
    )
