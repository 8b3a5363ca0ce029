"""The strategy that a user chose, and what it proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graft.documents import shown
from graft.errors import GraftError, InputError, Problems, located, renamed
from graft.registry import naming_extension
from graft.runs.search_manifest import TrialRecord
from graft.search.space import SearchSpace
from graft.search.strategies.base import Strategy

_TYPE = frozenset({"type", "name", "sampler", "search_algorithm"})
_TRIALS = frozenset({"num_trials", "n_trials", "num_samples", "max_samples", "max_trials"})


def strategy_settings(given: Any, where: str = "") -> dict[str, Any]:
    """Return the settings in a file's ``search_strategy``, by their names on the command line.

    Args:
        given: A name, or a mapping such as ``{type: random, num_trials: 20}`` with the strategy's options.
        where: The file.

    Returns:
        ``search_strategy``, ``num_trials`` and the others; they are checked with the rest of the settings.

    Raises:
        InputError: If it is neither, or says the same twice.
    """
    place = f"{where}: search_strategy" if where else "--search_strategy"
    if isinstance(given, str) or given is None:
        return {} if given is None else {"search_strategy": given}
    if not isinstance(given, Mapping):
        what = f"search_strategy must be a name or a mapping, not {shown(given)}"
        raise InputError(what, where=place, remedy="{type: random, num_trials: 20}")
    problems = Problems()
    found: dict[str, Any] = {}
    for name, value in given.items():
        key = str(name).replace("-", "_")
        setting = "search_strategy" if key in _TYPE else "num_trials" if key in _TRIALS else key
        if setting in found and found[setting] != value:
            problems.add(
                f"{name} is given twice, by different names and with different values", located(place, name), "keep one"
            )
        elif key == "execution_order" and value == "joint":
            continue  # Olive's word for what every search here does
        elif setting == "search_strategy" and not isinstance(value, str):
            problems.add(
                f"{name} must be the name of a strategy, not {shown(value)}",
                located(place, name, of_value=True),
                "type: random",
            )
        else:
            found[renamed(name, setting) if isinstance(name, str) else setting] = value
    problems.raise_if_any()
    return found


def propose(
    strategy: Strategy,
    space: SearchSpace,
    number: int,
    seed: int,
    past: Sequence[TrialRecord],
    greater_is_better: bool,
) -> dict[str, Any]:
    """Return what a strategy proposes for a trial, by the space's names in their order.

    Raises:
        GraftError: If the strategy fails, or proposes other settings than those of the space.
    """
    with naming_extension("strategy", strategy.name, strategy):
        found: Any = strategy.propose(space, number, seed, past, greater_is_better)
        names = [dimension.name for dimension in space.dimensions]
        if not isinstance(found, Mapping) or set(found) != set(names):
            what = f"the strategy {strategy.name} proposes {shown(found)} for trial {number}"
            raise GraftError(what, remedy=f"propose must return a mapping of exactly: {', '.join(names)}")
    return {name: found[name] for name in names}
