"""Metrics of a user's own: a function of references and answers, or a small class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, get_args

import numpy as np

from graft.errors import InputError, Problems, did_you_mean
from graft.evaluation.metrics.base import Array, Metric, MetricFailure, Need, Predictions, ratio
from graft.registry import place_in_extension
from graft.runs.metric_info import MetricInfo

NEEDS: Mapping[str, Need] = {"answers": "generation", "choices": "choice", "likelihoods": "likelihood"}
"""What a user's class calls what it gets, and what ``MetricInfo`` calls it."""
MOST_REASONS = 3
"""Rows whose error is quoted; the others are named."""
Function = Callable[[Sequence[str], Sequence[Any]], Any]


def own_metric(name: str, found: Any) -> Metric:
    """Make a metric of a user's function or class.

    Args:
        name: The metric's name.
        found: A function of all references and all answers that returns a number for each row; or a class, or an
            object, with one of these methods:

            - ``rows(references, answers)`` returns a number for each row, whose mean is the metric's value. If it
              returns k numbers for each row, ``value(sums)`` makes the metric's value of their sums (k,).
            - ``corpus(references, answers)`` returns the value of all rows. It is called again for each resample.

            ``needs`` says what comes in place of answers: ``"choices"`` are the most likely labels, and
            ``"likelihoods"`` for each row a dictionary of the log-likelihood in nats of each label, or without labels
            of the reference. Further attributes (``title``, ``direction``, …) are those of ``MetricInfo``. Of several
            right answers to a row the first is the reference.

    Raises:
        InputError: With all attributes that have a value that no metric can have.
    """
    own = _constructed(name, found) if isinstance(found, type) else found
    info = _described(name, own)
    if callable(getattr(own, "corpus", None)):
        return _corpus_metric(name, own, info)
    function: Function = own.rows if callable(getattr(own, "rows", None)) else own
    value = _value_of(own) if callable(getattr(own, "value", None)) else ratio
    statistics = partial(_row_statistics, name, function, info["needs"], value)
    return Metric(name=name, statistics=statistics, value=value, **info)


def is_own(found: object) -> bool:
    """Whether an object that a user named can be made a metric of."""
    methods = (getattr(found, "rows", None), getattr(found, "corpus", None))
    return not isinstance(found, Metric) and (callable(found) or any(map(callable, methods)))


def _constructed(name: str, cls: type[Any]) -> Any:
    try:
        return cls()
    except Exception as error:  # whatever a user's constructor may raise
        what = f"the metric {name} cannot be constructed: {type(error).__name__}: {error}"
        raise InputError(what, remedy="name an object, or a class that takes no arguments") from error


def _described(name: str, own: Any) -> dict[str, Any]:
    """Return the fields of ``MetricInfo`` that ``own`` has, and ``needs``.

    Raises:
        InputError: Naming every one with a value that it cannot have.
    """
    known = [field.name for field in fields(MetricInfo) if field.name not in ("name", "needs")]
    info = {key: getattr(own, key) for key in known if hasattr(own, key)}
    problems, where = Problems(), f"--metrics {name}"
    needs = getattr(own, "needs", "answers")
    if needs not in (*NEEDS, *get_args(Need)):
        hint = did_you_mean(str(needs), NEEDS)
        problems.add(f"needs is {needs!r}; expected one of {', '.join(NEEDS)}", where, hint)
    for key in ("title", "meaning", "hub_name"):
        if not isinstance(info.get(key, ""), str):
            problems.add(f"{key} is {info[key]!r}; expected a text", where)
    digits, scale = info.get("digits", 0), info.get("scale")
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 9:
        problems.add(f"digits is {digits!r}; expected a whole number from 0 to 9", where)
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, (int, float)) or not scale > 0):
        problems.add(f"scale is {scale!r}; expected a number above 0, or None", where)
    if info.get("direction", "higher") not in ("higher", "lower"):
        problems.add(f"direction is {info['direction']!r}; expected 'higher' or 'lower'", where)
    problems.raise_if_any()
    return {**info, "needs": NEEDS.get(needs, needs)}


def given_to(predictions: Predictions, needs: Need) -> list[Any]:
    """Return what a metric of the user's own gets for each row besides the reference."""
    if needs == "choice":
        assert predictions.choices is not None
        return list(predictions.choices)
    if needs == "likelihood":
        assert predictions.candidate_scores is not None
        texts = predictions.labels
        return [
            {text: score.log_likelihood for text, score in zip(texts or [reference], scores, strict=True)}
            for reference, scores in zip(predictions.references, predictions.candidate_scores, strict=True)
        ]
    assert predictions.answers is not None
    return list(predictions.answers)


def _row_statistics(
    name: str, function: Function, needs: Need, value: Callable[[Array], Array], predictions: Predictions
) -> Array:
    """Return (n, 2): each row's number, and 1 to count it; of a class with ``value`` (n, k).

    Raises:
        MetricFailure: Naming the rows that it fails on, or that it gives no number.
    """
    references, given = list(predictions.references), given_to(predictions, needs)
    try:
        numbers = np.asarray(function(references, given), dtype=float)
    except Exception as error:  # whatever a user's function may raise
        raise _failure(name, function, error, references, given) from error
    count, summed = len(references), value is not ratio
    if numbers.ndim not in ((1, 2) if summed else (1,)) or len(numbers) != count:
        what = f"the metric {name} returned an array of shape {numbers.shape} for {count} rows"
        form = "k numbers" if summed else "one number"
        raise MetricFailure(what, "--metrics", f"it takes (references, answers) and returns {form} for each row")
    numbers = numbers.reshape(count, -1)
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=1)).tolist()
    if wrong:
        what = f"the metric {name} gives no finite number: {numbers[wrong[0]].tolist()}"
        raise MetricFailure(what, "", "correct it so that it returns a number for each row", wrong)
    if not summed:
        return np.concatenate([numbers, np.ones((count, 1))], axis=1)
    if count and not np.isfinite(value(numbers.sum(axis=0, keepdims=True))[0]):
        raise MetricFailure(f"the metric {name} has no finite value on all rows together", "", "correct its value")
    return numbers


def _failure(
    name: str, function: Function, error: Exception, references: Sequence[str], given: Sequence[Any]
) -> MetricFailure:
    """Return the failure with the rows that raise when they are given alone."""
    reasons: dict[int, str] = {}
    for place, (reference, one) in enumerate(zip(references, given, strict=True)):
        try:
            function([reference], [one])
        except Exception as found:  # as above
            reasons[place] = f"{type(found).__name__}: {found}"
    said = list(dict.fromkeys(reasons.values()))[:MOST_REASONS] or [f"{type(error).__name__}: {error}"]
    what = f"the metric {name} cannot be computed: {'; '.join(said)}"
    return MetricFailure(what, place_in_extension(error), "correct its function", list(reasons))


def _value_of(own: Any) -> Callable[[Array], Array]:
    """Return ``own.value`` for several sums at once; what it cannot compute is not a number."""

    def values(sums: Array) -> Array:
        return np.array([_or_nan(own.value, row) for row in sums])

    return values


def _or_nan(compute: Callable[..., Any], *arguments: Any) -> float:
    try:
        with np.errstate(all="ignore"):
            return float(compute(*arguments))
    except Exception:  # a single row or a resample may lack what the value needs, such as a second class
        return float("nan")


def _corpus_metric(name: str, own: Any, info: dict[str, Any]) -> Metric:
    """Make the metric of ``own.corpus``. Its statistics (n, 2) say of which predictions a row is, and which it is."""
    asked: list[tuple[list[str], list[Any]]] = []

    def statistics(predictions: Predictions) -> Array:
        """Keep the predictions, after the value of all rows was computed once.

        Raises:
            MetricFailure: If that is impossible, or no number.
        """
        references, given = list(predictions.references), given_to(predictions, info["needs"])
        try:
            value = float(own.corpus(list(references), list(given)))
        except Exception as error:  # whatever a user's method may raise
            what = f"the metric {name} cannot be computed: {type(error).__name__}: {error}"
            raise MetricFailure(what, place_in_extension(error), "correct its method corpus") from error
        if not np.isfinite(value):
            raise MetricFailure(f"the metric {name} is {value} on all rows", "", "correct its method corpus")
        asked.append((references, given))
        return np.stack([np.full(len(references), len(asked) - 1.0), np.arange(len(references))], axis=1)

    def resample(found: Array, weights: Array) -> Array:
        """Compute the value of the rows of each resample."""
        if not len(found):
            return np.full(len(weights), np.nan)
        references, given = asked[int(found[0, 0])]
        places = found[:, 1].astype(int)
        taken = (np.repeat(places, row.astype(int)).tolist() for row in weights)
        return np.array([_or_nan(own.corpus, [references[i] for i in t], [given[i] for i in t]) for t in taken])

    return Metric(
        name=name,
        statistics=statistics,
        value=lambda rows: np.full(len(rows), np.nan),
        resample=resample,
        fitted=lambda _: _corpus_metric(name, own, info),
        **info,
    )
