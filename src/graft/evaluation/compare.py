"""Predictors on the same rows: each asked once for what the metrics need, then judged by the same code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graft.data.example import Example
from graft.errors import InputError
from graft.evaluation.bootstrap import Bootstrap, Interval
from graft.evaluation.metrics import Metric, Outcome, choose
from graft.evaluation.metrics.classes import confusion, per_class
from graft.inference.predictor import Predictor, Progress

Watch = Callable[[str, int, int], None]
CHARACTERS_A_TOKEN = 2


@dataclass(frozen=True)
class Evaluation:
    """``document`` is evaluation.json, ``predictions`` the lines of predictions.jsonl."""

    document: dict[str, Any]
    predictions: list[dict[str, Any]]


def evaluate(
    predictors: Sequence[Predictor],
    examples: Sequence[Example],
    *,
    metrics: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    source: dict[str, Any],
    bootstrap_samples: int = 1000,
    max_new_tokens: int | None = None,
    seed: int = 42,
    progress: Watch | None = None,
) -> Evaluation:
    """Judge ``predictors`` on ``examples``; differences are from the first to each other.

    Raises:
        InputError: when there are no rows, or a metric is unknown or does not fit.
    """
    if not examples:
        raise InputError("there are no rows to evaluate on", where=str(source.get("path", "")))
    references = [example.completion for example in examples]
    if labels:
        labels = [*labels, *sorted(set(references) - set(labels))]
    chosen = choose(metrics, references, labels)
    longest = max_new_tokens or default_length(references, predictors[0].tokenizer)
    outcomes = {p.name: _ask(p, examples, chosen, labels, longest, progress) for p in predictors}
    document: dict[str, Any] = {
        "data": source,
        "labels": list(labels) if labels else None,
        "lower_is_better": [metric.name for metric in chosen if not metric.higher_is_better],
        **_figures(outcomes, chosen, Bootstrap(len(examples), bootstrap_samples, seed)),
    }
    choices = {name: outcome.choices for name, outcome in outcomes.items() if outcome.choices is not None}
    if labels and choices:
        document["confusion"] = {name: confusion(references, made, labels) for name, made in choices.items()}
        document["classes"] = {name: per_class(m, labels) for name, m in document["confusion"].items()}
    for metric in chosen:
        if metric.by_class is not None:
            document["classes"] = {name: metric.by_class(outcome) for name, outcome in outcomes.items()}
    return Evaluation(document, _predictions(examples, outcomes, chosen))


def default_length(references: Sequence[str], tokenizer: Any = None) -> int:
    """Tokens a generated answer may have: a quarter more than the longest reference has, and a few.

    A model that never stops writes to this bound for every row. Without a tokenizer the length is guessed from bytes.
    """
    if tokenizer is None:
        longest = max(len(reference.encode("utf-8")) for reference in references) / CHARACTERS_A_TOKEN
    else:
        longest = max(map(len, tokenizer(list(references), add_special_tokens=False).input_ids))
    return max(16, int(1.25 * longest) + 8)


def _ask(
    predictor: Predictor,
    examples: Sequence[Example],
    metrics: Sequence[Metric],
    labels: Sequence[str] | None,
    longest: int,
    progress: Watch | None,
) -> Outcome:
    needs = {metric.needs for metric in metrics}
    references = [example.completion for example in examples]
    answers: list[str] | None = None
    choices: list[str] | None = None
    scores = None
    todo = list(range(len(examples)))
    if labels and needs & {"choice", "likelihood"}:
        scored = predictor.score(
            examples, [list(labels)] * len(examples), _watch(progress, f"{predictor.name}: scoring")
        )
        choices = [labels[max(range(len(labels)), key=lambda i: row[i].log_likelihood)] for row in scored]
        scores = [row[labels.index(reference)] for row, reference in zip(scored, references, strict=True)]
        # A label that is the likeliest token by token is what generation would write: no need to ask again.
        known = [next((label for label, s in zip(labels, row, strict=True) if s.is_greedy), None) for row in scored]
        answers = [label or "" for label in known]
        todo = [index for index, label in enumerate(known) if label is None]
    elif "likelihood" in needs:
        scored = predictor.score(examples, [[r] for r in references], _watch(progress, f"{predictor.name}: scoring"))
        scores = [row[0] for row in scored]
    if "generation" in needs:
        answers = answers or [""] * len(examples)
        if todo:
            watch = _watch(progress, f"{predictor.name}: answering")
            written = predictor.generate([examples[index] for index in todo], longest, watch)
            for index, answer in zip(todo, written, strict=True):
                answers[index] = answer
    else:
        answers = None
    return Outcome(references, answers, choices, labels, scores)


def _watch(progress: Watch | None, what: str) -> Progress | None:
    return None if progress is None else lambda done, total: progress(what, done, total)


def _figures(outcomes: dict[str, Outcome], metrics: Sequence[Metric], bootstrap: Bootstrap) -> dict[str, Any]:
    """``predictors`` and ``differences`` of evaluation.json."""
    predictors: dict[str, dict[str, Any]] = {name: {} for name in outcomes}
    differences: list[dict[str, Any]] = []
    first = next(iter(outcomes))
    for metric in metrics:
        valued = {name: bootstrap.values(metric, metric.statistics(outcome)) for name, outcome in outcomes.items()}
        for name, (value, samples) in valued.items():
            figures = _rounded(bootstrap.interval(value, samples))
            predictors[name][metric.name] = {**figures, "n": len(outcomes[name].references)}
        for name, (value, samples) in valued.items():
            if name != first:
                found = bootstrap.difference(value - valued[first][0], samples - valued[first][1])
                differences.append({"metric": metric.name, "from": first, "to": name, **_rounded(found)})
    return {"predictors": predictors, "differences": differences}


def _rounded(interval: Interval) -> dict[str, float]:
    found = {name: round(getattr(interval, name), 6) for name in ("value", "low", "high")}
    return found if interval.p is None else {**found, "p": round(interval.p, 6)}


def _predictions(
    examples: Sequence[Example], outcomes: dict[str, Outcome], metrics: Sequence[Metric]
) -> list[dict[str, Any]]:
    scores = {name: {metric.name: metric.rows(outcome) for metric in metrics} for name, outcome in outcomes.items()}
    lines = []
    for index, example in enumerate(examples):
        line: dict[str, Any] = {
            "origin": str(example.origin),
            "prompt": prompt_text(example),
            "reference": example.completion,
            "answers": {n: o.answers[index] for n, o in outcomes.items() if o.answers is not None},
        }
        chosen = {n: o.choices[index] for n, o in outcomes.items() if o.choices is not None}
        if chosen:
            line["labels"] = chosen
        line["scores"] = {
            name: {metric: values[index] for metric, values in found.items()} for name, found in scores.items()
        }
        lines.append(line)
    return lines


def prompt_text(example: Example) -> str:
    """What a person would look at: the last message, or the prompt as it is."""
    if isinstance(example.prompt, str):
        return example.prompt
    content = example.prompt[-1].get("content")
    return content if isinstance(content, str) else str(content)
