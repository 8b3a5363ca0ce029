"""Compares predictors on the same rows: each is asked once, and the same code computes every metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from graft.data.baselines import baseline_answers, text_answers
from graft.data.classes import SPELLING, folded_label
from graft.data.example import Example
from graft.data.example_set import ExampleSet
from graft.errors import InputError
from graft.evaluation.bootstrap import Bootstrap
from graft.evaluation.confidence import check_scored, sureness_of, with_confidences
from graft.evaluation.criteria import Criteria
from graft.evaluation.failed_metrics import failure_notes, failure_records, kept_metrics
from graft.evaluation.figures import Statistics, differences_from, figures_of, statistics_of
from graft.evaluation.leaked import leaked_rows
from graft.evaluation.metrics import Metric, Predictions, select_metrics
from graft.evaluation.metrics.classes import confusion, per_class
from graft.evaluation.normalization import near_misses
from graft.evaluation.predict import default_max_new_tokens, predict
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.slices import slices_of
from graft.inference.predictor import Predictor, can_score
from graft.progress import SILENT, Reporter


@dataclass(frozen=True)
class Evaluation:
    """The result of a comparison.

    Attributes:
        document: The content of evaluation.json: ``data``, ``labels``, ``max_new_tokens`` (the limit of an answer),
            ``normalize`` (what does not count), ``metrics`` (what each metric says of itself), ``notes``
            (sentences on the answers), ``failed_metrics`` (those of the user's own that raise), ``predictors``
            (value, 95 % interval and n of each metric), ``differences`` (paired, from one predictor to another),
            ``without_leaked`` (both without the rows that the training data has; None where it has none of them),
            ``baselines`` (scores to beat), ``baseline_differences`` (paired, from each baseline to each predictor), for
            classes ``confusion``, ``classes`` and ``confidence``, and where columns are named ``slices``.
        predictions: The lines of predictions.jsonl. ``likelihoods`` are, by predictor, the log-likelihood in nats, the
            tokens, and whether it is the greedy answer, of each of ``labels``, or without labels of the reference.
    """

    document: dict[str, Any]
    predictions: list[dict[str, Any]]


def evaluate(
    predictors: Sequence[Predictor],
    rows: EvaluationRows,
    criteria: Criteria,
    reporter: Reporter = SILENT,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    train: ExampleSet | None = None,
) -> Evaluation:
    """Compare ``predictors`` on ``rows``.

    Args:
        predictors: The models, with distinct names.
        rows: The rows to evaluate on.
        criteria: The metrics, and how they are computed.
        reporter: Shows the progress.
        pairs: The differences to compute, as names of predictors, the most important first; None takes those from the
            first predictor to each other.
        train: The training rows, if they are known: the scores are also computed without the rows that are among
            them, and baselines learn from them.

    Raises:
        InputError: If there are no rows, or a metric is unknown or does not fit.
    """
    if not rows.examples:
        raise InputError("there are no rows to evaluate on", where=str(rows.source.get("path", "")))
    unlike = _unlike_classes(rows)
    if rows.labels:
        unseen = sorted(set(rows.references) - set(rows.labels))
        rows = replace(rows, labels=[*rows.labels, *unseen])
    asked = select_metrics(criteria.metrics, rows.references, rows.labels, criteria.normalize)
    metrics = _measurable(asked, predictors, criteria.metrics is not None)
    longest = criteria.max_new_tokens or default_max_new_tokens(rows.written, predictors[0].tokenizer)
    check_scored(criteria, predictors, rows.labels)
    further = criteria.further_needs
    found = {p.name: predict(p, rows, metrics, longest, reporter, further) for p in predictors}
    statistics, failed = statistics_of(metrics, found)
    if failed:
        metrics = kept_metrics(metrics, failed, found, rows)
        statistics, _ = statistics_of(metrics, found)
    sureness = sureness_of(found, criteria)
    bootstrap = criteria.bootstrap(len(rows.examples))
    document = {
        "data": rows.source,
        "labels": rows.labels or None,
        "max_new_tokens": longest,
        "normalize": list(criteria.normalize),
        "metrics": _described(metrics),
        "notes": [*failure_notes(failed, rows.examples), *unlike, *_notes(found, metrics, criteria.normalize)],
        **({"failed_metrics": failure_records(failed, rows.examples)} if failed else {}),
        **figures_of(metrics, statistics, bootstrap, pairs),
        "without_leaked": _without_leaked(train, rows, metrics, statistics, criteria, pairs),
        **_baselines(train, rows, metrics, statistics, bootstrap),
        **_classes(found, metrics, rows),
        **({"confidence": sureness.section} if sureness.section else {}),
    }
    if criteria.by:
        document["slices"] = slices_of(rows.examples, metrics, found, statistics, criteria, pairs)
    lines = _prediction_lines(rows.examples, found, metrics, statistics)
    return Evaluation(document, with_confidences(lines, sureness, criteria))


def _measurable(metrics: Sequence[Metric], predictors: Sequence[Predictor], named: bool) -> list[Metric]:
    """Those of ``metrics`` that every predictor allows: without likelihoods there is no perplexity.

    Args:
        metrics: The metrics.
        predictors: The models.
        named: Whether the user named the metrics.

    Raises:
        InputError: If the user named others, or none is left.
    """
    without = [predictor.name for predictor in predictors if not can_score(predictor)]
    lost = [metric.name for metric in metrics if metric.needs == "likelihood"] if without else []
    kept = [metric for metric in metrics if metric.name not in lost]
    if lost and (named or not kept):
        what = f"{', '.join(lost)} cannot be measured: {', '.join(without)} gives no likelihoods of given texts"
        remedy = f"--metrics {','.join(metric.name for metric in kept)}" if kept else "name other --metrics"
        raise InputError(what, where="--metrics", remedy=remedy)
    return kept


def _described(metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return ``metrics`` of evaluation.json; with each metric from a file the ``reference`` that finds it again."""
    return {
        metric.name: {**metric.as_record(), **({"reference": metric.reference} if metric.reference else {})}
        for metric in metrics
    }


def _unlike_classes(rows: EvaluationRows) -> list[str]:
    """Return a sentence on references that are one of the classes but for their spelling, so that no answer fits."""
    names = {folded_label(label): label for label in rows.labels or ()}
    counts = Counter(label for label in rows.references if label not in (rows.labels or ()))
    alike = {label: names[folded_label(label)] for label in counts if folded_label(label) in names}
    if not alike:
        return []
    listed = ", ".join(f"{label!r} for {name!r}" for label, name in alike.items())
    count = sum(counts[label] for label in alike)
    return [f"{count:,} of {len(rows.references):,} references differ from a class only in {SPELLING}: {listed}"]


def _notes(predictions: Mapping[str, Predictions], metrics: Sequence[Metric], normalize: Sequence[str]) -> list[str]:
    """Return ``notes`` of evaluation.json: answers that count as wrong for what ``--normalize`` takes out."""
    if not any(metric.compares_text for metric in metrics):
        return []
    answered = ((name, found.accepted, found.answers) for name, found in predictions.items())
    said = (near_misses(name, right, given, normalize) for name, right, given in answered if given is not None)
    return [sentence for sentence in said if sentence]


def _without_leaked(
    train: ExampleSet | None,
    rows: EvaluationRows,
    metrics: Sequence[Metric],
    statistics: Statistics,
    criteria: Criteria,
    pairs: Sequence[tuple[str, str]] | None,
) -> dict[str, Any] | None:
    """Return ``without_leaked`` of evaluation.json: the figures of the rows that the training data does not have."""
    leaked = None if train is None else leaked_rows(train, rows.examples)
    if leaked is None:
        return None
    kept = ~leaked.is_leaked
    count = int(kept.sum())
    found: dict[str, Any] = {"predictors": {}, "differences": []}
    if count:
        rest = {metric: {name: all_[kept] for name, all_ in each.items()} for metric, each in statistics.items()}
        found = figures_of(metrics, rest, criteria.bootstrap(count), pairs)
    return {"rows": count, "known": leaked.known, "near": leaked.near, **found}


def _baselines(
    train: ExampleSet | None,
    rows: EvaluationRows,
    metrics: Sequence[Metric],
    statistics: Statistics,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Return ``baselines`` and ``baseline_differences`` of evaluation.json, in the metrics without likelihoods."""
    if rows.has_classes:
        answers = {} if train is None else baseline_answers(train, rows.examples)
    else:
        answers = text_answers([] if train is None else train, rows.examples)
    answered = {
        name: Predictions(rows.references, given, given, rows.labels, alternatives=rows.alternatives)
        for name, given in answers.items()
    }
    compared = [metric for metric in metrics if metric.needs != "likelihood"] if answered else []
    known, failed = statistics_of(compared, answered)
    compared = [metric for metric in compared if metric.name not in failed]
    return {
        "baselines": figures_of(compared, known, bootstrap, ())["predictors"],
        "baseline_differences": differences_from(compared, known, statistics, bootstrap),
    }


def _classes(predictions: Mapping[str, Predictions], metrics: Sequence[Metric], rows: EvaluationRows) -> dict[str, Any]:
    """Return ``confusion`` and ``classes`` of evaluation.json, where there are classes."""
    document: dict[str, Any] = {}
    choices = {name: found.choices for name, found in predictions.items() if found.choices is not None}
    if rows.labels and choices:
        document["confusion"] = {name: confusion(rows.references, made, rows.labels) for name, made in choices.items()}
        document["classes"] = {name: per_class(matrix, rows.labels) for name, matrix in document["confusion"].items()}
    for metric in metrics:
        if metric.by_class is not None:
            document["classes"] = {name: metric.by_class(found) for name, found in predictions.items()}
    return document


def _prediction_lines(
    examples: Sequence[Example],
    predictions: Mapping[str, Predictions],
    metrics: Sequence[Metric],
    statistics: Statistics,
) -> list[dict[str, Any]]:
    scores = {
        name: {metric.name: metric.row_values(statistics[metric.name][name]) for metric in metrics}
        for name in predictions
    }
    lines = []
    for index, example in enumerate(examples):
        line: dict[str, Any] = {
            "origin": str(example.origin),
            "prompt": example.prompt_text,
            "reference": example.reference,
            **({"references": [example.reference, *example.alternatives]} if example.alternatives else {}),
            "answers": {n: p.answers[index] for n, p in predictions.items() if p.answers is not None},
        }
        chosen = {n: p.choices[index] for n, p in predictions.items() if p.choices is not None}
        if chosen:
            line["labels"] = chosen
        line["scores"] = {
            name: {metric: values[index] for metric, values in found.items()} for name, found in scores.items()
        }
        likelihoods = {
            n: [astuple(score) for score in p.candidate_scores[index]]
            for n, p in predictions.items()
            if p.candidate_scores is not None
        }
        if likelihoods:
            line["likelihoods"] = likelihoods
        lines.append(line)
    return lines
