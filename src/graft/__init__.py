"""graft: fine-tune a small language model on your own data, prove that it got better, and ship it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graft._version import __version__

if TYPE_CHECKING:
    from graft.commands.evaluate import evaluate_model
    from graft.commands.finetune import finetune
    from graft.data.example import AnswerExample, Example
    from graft.errors import GraftError, InputError

_PUBLIC = {
    "AnswerExample": "graft.data.example",
    "Example": "graft.data.example",
    "GraftError": "graft.errors",
    "InputError": "graft.errors",
    "evaluate_model": "graft.commands.evaluate",
    "finetune": "graft.commands.finetune",
}

__all__ = ["AnswerExample", "Example", "GraftError", "InputError", "__version__", "evaluate_model", "finetune"]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: importing graft imports no torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'graft' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
