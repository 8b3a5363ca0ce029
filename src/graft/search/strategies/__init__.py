"""How a search chooses its trials. A strategy is one file and a line here."""

from __future__ import annotations

from graft.registry import Registry
from graft.search.strategies.base import Strategy
from graft.search.strategies.chosen import propose, strategy_settings

__all__ = ["STRATEGIES", "Strategy", "propose", "strategy_settings"]

STRATEGIES: Registry[type[Strategy]] = Registry(
    "strategy",
    Strategy,
    {
        "random": "graft.search.strategies.random:RandomSearch",
        "grid": "graft.search.strategies.grid:GridSearch",
        "tpe": "graft.search.strategies.tpe:TreeParzenSearch",
    },
    classes=True,
)
