"""Evaluation: predictors on the same rows, metrics with intervals, paired differences."""
