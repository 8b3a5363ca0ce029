"""How a search chooses its trials. A strategy is one file and a line here."""

from __future__ import annotations

from graft.registry import Registry
from graft.search.strategies.base import Strategy

__all__ = ["STRATEGIES", "Strategy"]

STRATEGIES: Registry[type[Strategy]] = Registry(
    "strategy", Strategy, {"random": "graft.search.strategies.random:RandomSearch"}, classes=True
)
