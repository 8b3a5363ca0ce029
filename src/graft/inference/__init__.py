"""Predictors: models that generate and score answers, wherever they run."""
