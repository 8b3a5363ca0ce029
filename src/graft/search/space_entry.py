"""What a search space says of one setting, in the words of Olive, Ludwig, Optuna, and Ray Tune."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from graft.config import one_of
from graft.documents import shown
from graft.errors import did_you_mean
from graft.search.space_text import entry

Kind = Literal["float", "int", "choice"]
LARGEST = 10**15
MOST_VALUES = 10_000
"""How many values a choice may have, or a grid may take of a range."""
KEYS: Mapping[str, str] = {
    **dict.fromkeys(("type", "space", "distribution", "kind"), "type"),
    **dict.fromkeys(("low", "lower", "min", "minimum"), "low"),
    **dict.fromkeys(("high", "upper", "max", "maximum"), "high"),
    **dict.fromkeys(("values", "choices", "categories", "options", "grid_search"), "values"),
    **dict.fromkeys(("step", "q"), "step"),
    "log": "log",
    "num": "num",
}
"""The keys of an entry, each with graft's own."""
TYPES: Mapping[str, tuple[Kind | None, bool | None]] = {
    **dict.fromkeys(("choice", "categorical", "grid_search", "categoricaldistribution"), ("choice", None)),
    **dict.fromkeys(("float", "double", "floatdistribution"), ("float", None)),
    **dict.fromkeys(("uniform", "quniform"), ("float", False)),
    **dict.fromkeys(("loguniform", "log_uniform", "log_uniform_values", "qloguniform"), ("float", True)),
    **dict.fromkeys(("int", "integer", "intdistribution"), ("int", None)),
    **dict.fromkeys(("randint", "qrandint", "int_uniform"), ("int", False)),
    **dict.fromkeys(("lograndint", "qlograndint"), ("int", True)),
}
"""The kind that a type names, and whether it is logarithmic; None: not said."""
OWN_TYPES = ("float", "int", "choice")
EXAMPLE = "{type: float, low: 1e-6, high: 1e-3, log: true}, or [8, 16, 32]"


@dataclass(frozen=True)
class Entry:
    """An entry, in graft's own words; ``kind`` None: a range of the numbers that the setting takes."""

    kind: Kind | None
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    num: int | None = None
    values: tuple[Any, ...] = ()


class Wrong(Exception):
    """What is wrong with an entry: each with what to do, which may be empty."""

    def __init__(self, *found: tuple[str, str]) -> None:
        super().__init__(found)
        self.found = found


def read_entry(given: Any) -> Entry:
    """Return an entry as it was written.

    Args:
        given: A mapping, a list of choices, or text: ``1e-5..1e-3 log``.

    Raises:
        Wrong: With everything that is wrong with it by itself, whatever the setting is.
    """
    if isinstance(given, str):
        try:
            given = entry(given)
        except ValueError as error:
            raise Wrong((str(error), "")) from None
    if isinstance(given, (list, tuple)):
        given = {"type": "choice", "values": list(given)}
    if not isinstance(given, Mapping):
        raise Wrong((f"is {shown(given)}; expected how to search it", EXAMPLE))
    return _Reader(given).entry()


class _Reader:
    """Reads a mapping, and collects everything wrong in it."""

    def __init__(self, given: Mapping[Any, Any]) -> None:
        self.wrong: list[tuple[str, str]] = []
        self.said: dict[str, Any] = {}
        names: dict[str, str] = {}
        for key, value in given.items():
            name = KEYS.get(str(key).lower())
            if name is None:
                self._add(f"has an unknown key {shown(str(key))}", did_you_mean(str(key), KEYS))
            elif name in self.said and self.said[name] != value:
                self._add(f"has {key} and {names[name]}, which are the same, with different values", "keep one")
            else:
                self.said[name], names[name] = value, str(key)

    def _add(self, what: str, remedy: str = "") -> None:
        self.wrong.append((what, remedy))

    def entry(self) -> Entry:
        """The entry, if there is nothing wrong with it."""
        kind, log = self._type()
        choice = kind == "choice" or (kind is None and "values" in self.said)
        made = self._choice() if choice else self._range(kind, log)
        if self.wrong:
            raise Wrong(*self.wrong)
        return made

    def _type(self) -> tuple[Kind | None, bool | None]:
        given = self.said.get("type")
        if given is None:
            return None, None
        name = given.lower() if isinstance(given, str) else ""
        if name not in TYPES:
            self._add(f"has the unknown type {shown(given)}", did_you_mean(name, TYPES) or f"use {one_of(OWN_TYPES)}")
            return ("choice" if "values" in self.said else None), None
        return TYPES[name]

    def _choice(self) -> Entry:
        for name in self.said.keys() - {"type", "values"}:
            if self.said[name] is not None and self.said[name] is not False:
                self._add(f"has {name} although it is a choice", "give values alone, or low and high")
        values = self.said.get("values")
        if isinstance(values, str):
            values = [part.strip() for part in values.split("|")]
        if not isinstance(values, (list, tuple)):
            missing = "values" not in self.said
            self._add("has no values" if missing else f"has values {shown(values)}; expected a list", "[8, 16, 32]")
            return Entry("choice")
        if not values:
            self._add("is a choice of nothing", "give values to choose from, such as [8, 16, 32]")
        for value in values:
            if isinstance(value, float) and not math.isfinite(value):
                self._add(f"has {value} among its values; expected numbers", "remove it")
        return Entry("choice", values=tuple(values))

    def _range(self, kind: Kind | None, of_type: bool | None) -> Entry:
        if "values" in self.said:
            self._add(f"has values although its type is {self.said.get('type')}", "type: choice")
        log = self._log(of_type)
        low, high = self._number("low", kind), self._number("high", kind)
        for name, found in (("low", low), ("high", high)):
            if found is None and self.said.get(name) is None:
                self._add(f"has no {name}", EXAMPLE)
        step = self._number("step", kind) if self.said.get("step") is not None else None
        num = self._number("num", "int") if self.said.get("num") is not None else None
        if low is not None and high is not None:
            self._bounds(low, high, step, log)
        if step is not None and step <= 0:
            self._add(f"has step {step:g}; a step must be above 0")
        if num is not None and not 2 <= num <= MOST_VALUES:
            self._add(f"has num {num:g}; a grid needs from 2 to {MOST_VALUES:,} values of a range")
        if step is not None and num is not None:
            self._add("has step and num, which both divide the range", "keep one")
        if self.wrong or low is None or high is None:
            return Entry(kind)
        return Entry(kind, low, high, log, step, None if num is None else int(num))

    def _bounds(self, low: float, high: float, step: float | None, log: bool) -> None:
        if low > high:
            self._add(f"has low {low:g} above high {high:g}", f"low: {high:g}, high: {low:g}")
        if log and min(low, high) <= 0:
            self._add(f"has log with low {min(low, high):g}; a logarithm needs numbers above 0", "raise low")
        if log and step is not None:
            self._add("has log and step, which contradict each other", "keep one, or list the values")
        if step is not None and 0 < high - low < step:
            self._add(f"has step {step:g}, which is more than the distance of low {low:g} and high {high:g}")

    def _log(self, of_type: bool | None) -> bool:
        given = self.said.get("log")
        if given is None:
            return bool(of_type)
        if isinstance(given, str) and given.lower() in {"true", "false"}:
            given = given.lower() == "true"
        if not isinstance(given, bool):
            self._add(f"has log {shown(given)}; expected true or false")
            return False
        if of_type is not None and given != of_type:
            self._add(f"has log {str(given).lower()} although its type is {self.said['type']}", "keep one")
        return given

    def _number(self, name: str, kind: Kind | None) -> float | None:
        """The number under a key; None where there is none, or where it is none."""
        given = self.said.get(name)
        if given is None:
            return None
        found = as_number(given)
        if found is None:
            self._add(f"has {name} {shown(given)}; expected a number")
        elif kind == "int" and found != int(found):
            self._add(f"has {name} {found:g}; expected a whole number")
            return None
        elif kind == "int":
            return int(found)
        return found


def as_number(given: Any) -> float | None:
    """Return a number that may be written as text (``1e-6`` in many YAML readers); None for anything else.

    True and false, NaN and infinity are no numbers, nor are those that no setting accepts because of their size.
    """
    if isinstance(given, str):
        text = given.strip()
        try:
            given = int(text) if text.lstrip("+-").isdecimal() and len(text) < 20 else float(text)
        except ValueError:
            return None
        if "_" in text:
            return None
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return None
    return given if abs(given) <= LARGEST and not math.isnan(given) else None
