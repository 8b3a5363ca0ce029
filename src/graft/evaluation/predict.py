"""Computes the predictions that the metrics need, once per row."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from graft.evaluation.answered_label import answered_label
from graft.evaluation.metrics import Metric, Predictions
from graft.evaluation.rows import EvaluationRows
from graft.inference.predictor import CompletionScore, Predictor, Progress, can_score
from graft.progress import Reporter
from graft.runs.metric_info import Need

CHARACTERS_A_TOKEN = 2
"""Bytes of text for each token, where no tokenizer is known: a low guess, so that no answer is cut."""


def predict(
    predictor: Predictor,
    rows: EvaluationRows,
    metrics: Sequence[Metric],
    max_new_tokens: int,
    reporter: Reporter,
    further: Set[Need] = frozenset(),
) -> Predictions:
    """Ask ``predictor`` for the answers, choices and scores that ``metrics`` need.

    A label whose every token is the most likely one is what generation would write, so rows with such a label are
    scored and not generated again. Of a predictor without likelihoods the choice is the label that it writes.

    Args:
        predictor: The model to ask.
        rows: The rows, with the labels to choose from.
        metrics: The metrics that say what is needed.
        max_new_tokens: The maximum number of tokens in a generated answer.
        reporter: Shows the progress.
        further: What is needed besides.
    """
    needs: set[Need] = {*(metric.needs for metric in metrics), *further}
    if not can_score(predictor):
        return _written(predictor, rows, needs, max_new_tokens, reporter)
    choices: list[str] | None = None
    scores: list[CompletionScore] | None = None
    scored: list[list[CompletionScore]] | None = None
    known: list[str | None] = [None] * len(rows.examples)
    if rows.labels and needs & {"choice", "likelihood"}:
        scored = _score(predictor, rows, [rows.labels] * len(rows.examples), reporter)
        choices = [rows.labels[_most_likely(row)] for row in scored]
        scores = [row[rows.labels.index(right)] for row, right in zip(scored, rows.references, strict=True)]
        known = [_greedy(rows.labels, row) for row in scored]
    elif "likelihood" in needs:
        scored = _score(predictor, rows, [[right] for right in rows.references], reporter)
        scores = [row[0] for row in scored]
    answers = _answers(predictor, rows, known, max_new_tokens, reporter) if "generation" in needs else None
    return Predictions(rows.references, answers, choices, rows.labels, scores, scored, rows.alternatives)


def _written(
    predictor: Predictor, rows: EvaluationRows, needs: Set[str], max_new_tokens: int, reporter: Reporter
) -> Predictions:
    """What a predictor without likelihoods writes, and the labels that this names."""
    answers = _answers(predictor, rows, [None] * len(rows.examples), max_new_tokens, reporter)
    labels = rows.labels if rows.labels and "choice" in needs else None
    choices = [answered_label(answer, labels) for answer in answers] if labels else None
    return Predictions(rows.references, answers, choices, rows.labels)


def default_max_new_tokens(references: Sequence[str], tokenizer: Any = None) -> int:
    """Return the number of tokens that a generated answer may have: 1.25 times the longest reference, and 8 more.

    A model that never stops writes this many tokens for every row.

    Args:
        references: The reference answers.
        tokenizer: Counts their tokens; without one the number is estimated from their bytes.
    """
    if tokenizer is None:
        longest = max(len(reference.encode("utf-8")) for reference in references) / CHARACTERS_A_TOKEN
    else:
        longest = max(map(len, tokenizer(list(references), add_special_tokens=False).input_ids))
    return max(16, int(1.25 * longest) + 8)


def _score(
    predictor: Predictor, rows: EvaluationRows, completions: Sequence[Sequence[str]], reporter: Reporter
) -> list[list[CompletionScore]]:
    return predictor.score(rows.examples, completions, _progress(reporter, f"{predictor.name}: scoring"))


def _most_likely(scores: Sequence[CompletionScore]) -> int:
    return max(range(len(scores)), key=lambda index: scores[index].log_likelihood)


def _greedy(labels: Sequence[str], scores: Sequence[CompletionScore]) -> str | None:
    return next((label for label, score in zip(labels, scores, strict=True) if score.is_greedy), None)


def _answers(
    predictor: Predictor,
    rows: EvaluationRows,
    known: Sequence[str | None],
    max_new_tokens: int,
    reporter: Reporter,
) -> list[str]:
    """Generate the answers that are not ``known`` already."""
    answers = [answer or "" for answer in known]
    asked = [index for index, answer in enumerate(known) if answer is None]
    if asked:
        progress = _progress(reporter, f"{predictor.name}: answering")
        written = predictor.generate([rows.examples[index] for index in asked], max_new_tokens, progress)
        for index, answer in zip(asked, written, strict=True):
            answers[index] = answer
    return answers


def _progress(reporter: Reporter, what: str) -> Progress:
    """Return a callback that predictors call with the rows done and the rows in all."""
    return lambda done, total: reporter.advance(what, done, total)
