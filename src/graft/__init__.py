"""graft: fine-tune a small language model on your own data, prove that it got better, and ship it."""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

from graft._version import __version__

if TYPE_CHECKING:
    from graft.commands.evaluate import evaluate_model
    from graft.commands.finetune import finetune
    from graft.data.example import Example
    from graft.errors import GraftError, InputError

# Read by OpenMP when torch is imported. Threads that wait by spinning keep a core from whoever has work: with one other
# busy process on a machine of two cores a step of training took over twenty times as long, and 1.6 times with this.
# To spin for some microseconds first costs little there; threads meet often, and on a quiet machine it is a tenth less.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# PEFT imports it wherever it is installed, and it warns of kernels for a CPU that nobody asked for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

_PUBLIC = {
    "Example": "graft.data.example",
    "GraftError": "graft.errors",
    "InputError": "graft.errors",
    "evaluate_model": "graft.commands.evaluate",
    "finetune": "graft.commands.finetune",
}

__all__ = ["Example", "GraftError", "InputError", "__version__", "evaluate_model", "finetune"]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: importing graft imports no torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'graft' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
