"""Splits, and slices of them: ``train[:4096]``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from graft.data.readers import Row
from graft.data.spool import Joined
from graft.data.values import listed_names
from graft.errors import InputError, did_you_mean

_PART = re.compile(r"^(\w[\w-]*)(?:\[(-?\d{1,18}%?)?:(-?\d{1,18}%?)?\])?$")
Splits = dict[str, Sequence[Row]]


def take(splits: Splits, spec: str, option: str) -> Sequence[Row]:
    """Return the rows of ``train``, ``train[:4096]``, ``train[10%:20%]``, ``train[-100:]``, or a sum of these by ``+``.

    Raises:
        InputError: For another form, a split that does not exist, or a slice without rows.
    """
    parts: list[Sequence[Row]] = []
    for part in spec.replace(" ", "").split("+"):
        match = _PART.match(part)
        if match is None:
            raise InputError(f"{part!r} is not of the form train, train[:100] or train[10%:]", where=option)
        name, start, stop = match.groups()
        if name not in splits:
            raise InputError(
                f"there is no split {name!r}; there are: {listed_names(splits)}",
                where=option,
                remedy=did_you_mean(name, splits),
            )
        count = len(splits[name])
        whole = start is None and stop is None  # read in its own order, part by part
        parts.append(splits[name] if whole else splits[name][_place(start, count, 0) : _place(stop, count, count)])
    rows = parts[0] if len(parts) == 1 else Joined(parts)
    if not rows:
        raise InputError(
            f"{spec} has no rows", where=option, remedy=f"the split {name!r} has {len(splits[name]):,} rows"
        )
    return rows


def _place(text: str | None, count: int, otherwise: int) -> int:
    if text is None:
        return otherwise
    if text.endswith("%"):
        return round(int(text[:-1]) / 100 * count)
    return int(text)
