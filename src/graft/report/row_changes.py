"""Rows that tuning fixed and rows that it broke, and how to show their texts: without personal data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup, escape

from graft.data.personal import masked
from graft.data.words import pieces, words
from graft.report.format import metric_of
from graft.runs.evaluation_document import PredictionRecord
from graft.runs.metric_info import MetricInfo
from graft.runs.view import RunView, number

SHARED_ENOUGH = 16
"""Characters at the start or the end of every prompt that are worth showing once."""
BREAKS = (" ", "\n", ">", *"：。，、！？")
"""After these a text is cut; Chinese and Japanese have no blanks."""
LONGEST = 240
"""Characters of a text that are shown at once."""
MOST_LINES = 6
MOST_LABELS = 60
"""Maximum number of labels that rows can be filtered by."""


@dataclass(frozen=True)
class Change:
    """A row whose score changed; ``gain`` is positive where the tuning helped.

    ``others`` are the right answers besides ``reference``; ``place`` is where the row is among the evaluated ones.
    """

    origin: str
    prompt: str
    reference: str
    before: str
    after: str
    wrote: str
    gain: float
    others: tuple[str, ...] = ()
    place: int = 0


@dataclass(frozen=True)
class Changes:
    """``binary``: rows are right or wrong, else they are better or worse by ``metric``; ``labels``: of the answers."""

    metric: MetricInfo
    binary: bool
    fixed: list[Change]
    broken: list[Change]
    same_right: int
    same_wrong: int
    opening: str
    ending: str
    labels: list[str] = field(default_factory=list)

    @property
    def short(self) -> bool:
        """All answers fit on one line beside each other."""
        texts = [text for c in (*self.fixed, *self.broken) for text in (c.reference, c.before, c.after)]
        return all(len(text) <= 32 and "\n" not in text for text in texts)


def find_changes(view: RunView, before: str = "base", after: str = "tuned") -> Changes | None:
    """None where the rows were not answered by both."""
    rows = [row for row in view.predictions if {before, after} <= set(row.labels or row.answers)]
    metric = _metric(view, rows, before, after)
    if not rows or metric is None:
        return None
    sign = -1 if metric.lower_is_better else 1
    pairs = [(row, _score(row, metric, before), _score(row, metric, after)) for row in rows]
    scored = [(row, old, new) for row, old, new in pairs if old is not None and new is not None]
    if not scored:
        return None
    prompts = [masked(row.prompt) for row, _, _ in scored]
    opening, ending = common_affixes(prompts)
    changed = [
        replace(
            _change(row, metric, sign * (new - old), prompt[len(opening) : len(prompt) - len(ending)], before, after),
            place=place,
        )
        for place, ((row, old, new), prompt) in enumerate(zip(scored, prompts, strict=True))
        if new != old
    ]
    changed.sort(key=lambda change: -abs(change.gain))  # stable: rows with equal gains stay in the file's order
    same = [old for _, old, new in scored if old == new]
    by_label = all(row.labels for row, _, _ in scored) and metric.needs == "choice"
    return Changes(
        metric,
        binary=all(value in (0.0, 1.0) for _, old, new in scored for value in (old, new)),
        fixed=[change for change in changed if change.gain > 0],
        broken=[change for change in changed if change.gain < 0],
        same_right=sum(value == 1.0 for value in same),
        same_wrong=sum(value == 0.0 for value in same),
        opening=opening.strip(),
        ending=ending.strip(),
        labels=view.labels[:MOST_LABELS] if by_label else [],
    )


def common_affixes(prompts: Sequence[str], enough: int = SHARED_ENOUGH) -> tuple[str, str]:
    """What all prompts begin and end with, cut between words; empty where it is less than ``enough`` characters."""
    if len(prompts) < 3:
        return "", ""
    opening = _common(prompts)
    cut = max(opening.rfind(mark) for mark in BREAKS) + 1
    opening = opening[:cut] if cut >= enough else ""
    rests = [prompt[len(opening) :] for prompt in prompts]
    ending = _common([rest[::-1] for rest in rests])[::-1]
    space = re.search(r"\s|[<：。，、！？]", ending)
    ending = ending[space.start() :] if space and len(ending) - space.start() >= enough else ""
    return opening, ending


def _common(texts: Sequence[str]) -> str:
    """What all begin with: that of the first and the last in order is that of all."""
    first, last = min(texts), max(texts)
    same = next((place for place, letter in enumerate(first) if letter != last[place]), len(first))
    return first[:same]


def marked(text: str, *references: str) -> Markup:
    """``text`` with the words marked that are in none of ``references``, whatever their case."""
    wanted = {word for reference in references for word in words(reference)}
    return Markup("").join(
        Markup("<mark>{}</mark>").format(piece) if index % 2 and not wanted.issuperset(words(piece)) else escape(piece)
        for index, piece in enumerate(pieces(text))
    )


def cut(text: str) -> str:
    """What is shown of a long text before it unfolds; a text that is only a little longer is shown whole."""
    lines = text.split("\n")
    if len(text) <= LONGEST * 1.25 and len(lines) <= MOST_LINES + 2:
        return text
    shown = "\n".join(lines[:MOST_LINES])
    return shown if len(shown) <= LONGEST else shown[:LONGEST].rsplit(" ", 1)[0]


def _metric(view: RunView, rows: Sequence[PredictionRecord], before: str, after: str) -> MetricInfo | None:
    """Return the metric that decides: the headline if rows have it, or else the first that they have."""
    scored = rows[0].scores.get(after, {}) if rows else {}
    for metric in (metric_of(view, name) for name in dict.fromkeys([*view.metric_names, *scored])):
        if any(_score(row, metric, name) is not None for row in rows for name in (before, after)):
            return metric
    return None


def _score(row: PredictionRecord, metric: MetricInfo, predictor: str) -> float | None:
    found = number(row.scores.get(predictor, {}).get(metric.name))
    if found is None and metric.has_majority_baseline and row.labels:
        return float(row.labels.get(predictor, "").strip() == row.reference.strip())
    return found


def _shown_origin(origin: str) -> str:
    """The row's file without its folder, and its line: the page is shared, and no place on the machine is."""
    return re.split(r"[\\/]", origin)[-1]


def _change(row: PredictionRecord, metric: MetricInfo, gain: float, prompt: str, before: str, after: str) -> Change:
    by_label = bool(row.labels) and metric.needs == "choice"
    shown = row.labels if by_label else row.answers or row.labels
    old, new, written = shown.get(before, ""), shown.get(after, ""), row.answers.get(after, "")
    wrote = written if shown is row.labels and written.strip() != new.strip() else ""
    reference, old, new, wrote = map(masked, (row.reference, old, new, wrote))
    others = tuple(map(masked, row.references[1:]))
    return Change(_shown_origin(row.origin), prompt.strip(), reference, old, new, wrote, gain, others)
