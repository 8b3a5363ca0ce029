"""What a model is to do with rows: each task is one file that knows its model class, inputs, loss and metrics."""

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
ALIASES = {
    "sentence-similarity": "feature-extraction",
    "text2text-generation": "summarization",
    "ner": "token-classification",
    "sequence-classification": "text-classification",
    "causal-lm": "text-generation",
    "text-generation-with-past": "text-generation",
}
