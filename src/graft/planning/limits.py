"""What a run may take: amounts of memory and time as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from graft.errors import InputError, Problems

_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) {0,3}([a-z]{0,8})", re.IGNORECASE)
_BYTES = {"b": 1e-6, "kb": 1e-3, "mb": 1.0, "gb": 1e3, "tb": 1e6, "m": 1.0, "g": 1e3, "t": 1e6}
_BYTES |= {"kib": 2**10 / 1e6, "mib": 2**20 / 1e6, "gib": 2**30 / 1e6, "tib": 2**40 / 1e6}
_MINUTES = {"s": 1 / 60, "sec": 1 / 60, "seconds": 1 / 60, "m": 1.0, "min": 1.0, "minutes": 1.0}
_MINUTES |= {"h": 60.0, "hours": 60.0, "d": 1440.0, "days": 1440.0}


@dataclass(frozen=True)
class Limits:
    """The most that a run may take; None for no limit.

    Attributes:
        memory_mb: In training.
        minutes: Of training and the comparison.
        size_mb: Of what is deployed.
    """

    memory_mb: float | None = None
    minutes: float | None = None
    size_mb: float | None = None

    @classmethod
    def read(cls, memory: Any = None, minutes: Any = None, size: Any = None) -> Limits:
        """The limits as they were typed.

        Raises:
            InputError: With each that is no amount, and how to write it.
        """
        problems = Problems()
        found: list[float | None] = []
        for value, option, read in (
            (memory, "--max_memory", megabytes),
            (minutes, "--max_time", _minutes),
            (size, "--max_size", megabytes),
        ):
            found.append(None)
            with problems.collecting():
                found[-1] = None if value is None else read(value, option)
        problems.raise_if_any()
        return cls(*found)


def megabytes(value: Any, option: str) -> float:
    """An amount of memory, such as ``8GB``, in MB.

    Args:
        value: What was typed.
        option: After which option.

    Raises:
        InputError: If it is no amount, or has no unit.
    """
    return _amount(value, option, _BYTES, "8GB or 500MB")


def _minutes(value: Any, option: str) -> float:
    return _amount(value, option, _MINUTES, "30m, 2h or 90s")


def _amount(value: Any, option: str, units: dict[str, float], example: str) -> float:
    match = _AMOUNT.fullmatch(str(value).strip())
    if match is None or not float(match[1]):
        raise InputError(f"{value!r} is not an amount", where=option, remedy=f"such as {example}")
    unit = match[2].lower()
    if not unit:
        raise InputError(f"{value!r} has no unit", where=option, remedy=f"such as {example}")
    if unit not in units:
        raise InputError(f"{match[2]!r} is not a unit of {option}", where=option, remedy=f"such as {example}")
    return float(match[1]) * units[unit]
