"""``confidence`` of evaluation.json: how sure predictors are of their labels."""

from __future__ import annotations

from pydantic import Field

from graft.runs.record import Count, Record


class ShareRecord(Record):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


class BinRecord(Record):
    """The rows with a confidence above ``from`` and up to ``to``: their mean confidence, and how many are right."""

    above: float = Field(alias="from")
    to: float
    rows: Count
    confidence: float
    accuracy: float
    low: float
    high: float


class CalibrationRecord(Record):
    """How well confidences say how often the model is right.

    Attributes:
        ece: The expected calibration error.
        ece_by_chance: What 95 % of perfectly calibrated models would stay below on as many rows.
        confidence: The mean confidence.
        nll: The mean negative log-likelihood of the right label among the labels, in nats.
        bins: The bins that have rows.
    """

    ece: float
    ece_by_chance: float
    confidence: float
    nll: float
    bins: list[BinRecord] = Field(default_factory=list)


class ScaledRecord(CalibrationRecord):
    """The same with a temperature: each row by one that the rows of the other folds gave.

    Attributes:
        temperature: The temperature that all rows give.
        folds: The number of folds.
    """

    temperature: float
    folds: Count


class ThresholdRecord(Record):
    """What is answered, and how well, where only confidences of at least ``threshold`` are.

    ``accuracy`` is of the answered rows; None where there are none.
    """

    threshold: float
    answered: Count
    coverage: ShareRecord
    accuracy: ShareRecord | None = None


class PredictorConfidenceRecord(CalibrationRecord):
    """How sure a predictor is.

    Attributes:
        rows: The number of rows.
        accuracy: The share of rows whose likeliest label is right.
        scaled: The calibration with a temperature; None where there are too few rows to fit one.
        curve: Coverage and accuracy by threshold.
        abstaining: The same at ``abstain_below``, where it was given.
    """

    rows: Count
    accuracy: float
    scaled: ScaledRecord | None = None
    curve: list[ThresholdRecord] = Field(default_factory=list)
    abstaining: ThresholdRecord | None = None


class ConfidenceRecord(Record):
    """How sure the predictors are.

    Attributes:
        bins: The number of bins.
        binning: How they are cut.
        temperature_scaling: Whether ``curve`` and ``abstaining`` are of scaled confidences.
        abstain_below: The threshold that was given.
        predictors: By name.
    """

    bins: Count
    binning: str
    temperature_scaling: bool = False
    abstain_below: float | None = None
    predictors: dict[str, PredictorConfidenceRecord] = Field(default_factory=dict)
