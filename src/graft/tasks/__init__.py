"""Tasks: what a model does with rows. Each is one file with its model class, inputs, loss, metrics and snippet."""

from __future__ import annotations

from graft.registry import Registry
from graft.tasks.base import Task

TASKS: Registry[Task] = Registry(
    "task",
    Task,
    {
        "text-generation": "graft.tasks.text_generation:TEXT_GENERATION",
        "text-classification": "graft.tasks.text_classification:TEXT_CLASSIFICATION",
        "token-classification": "graft.tasks.token_classification:TOKEN_CLASSIFICATION",
        "feature-extraction": "graft.tasks.feature_extraction:FEATURE_EXTRACTION",
        "summarization": "graft.tasks.summarization:SUMMARIZATION",
    },
)
