"""A model as a method prepares it, by the method's own options."""

from typing import Any

from graft.methods.base import Method


def prepared(method: Method, model: Any, seed: int = 42, **options: Any) -> Any:
    """``model``, to be trained by ``method`` with ``options``, those of its ``Config``."""
    return method.prepare(model, method.Config(**options), seed, ())
