"""The Predictor protocol as evaluation's own name; it lives lower down, where deployment, too, can import it."""

from graft.data.predictors import Predictor, Progress, Score

__all__ = ["Predictor", "Progress", "Score"]
