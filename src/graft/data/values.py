"""Values of cells as the plain values of JSON, whatever the file's format had in their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from graft.data.personal import shown_text
from graft.documents import DEEPEST
from graft.errors import InputError

_PLAIN = (str, int, bool)


@dataclass(frozen=True)
class Unreadable:
    """Stands for a value that has no text, such as the bytes of an image: an error if its column is read."""

    what: str


def missing(value: Any) -> bool:
    """Return whether ``value`` stands for no value: None, NaN of any kind of number, NaT, or NA of pandas."""
    if value is None:
        return True
    if isinstance(value, (*_PLAIN, list, dict, Unreadable)):
        return False
    if type(value).__name__ == "NAType":
        return True
    try:
        different = value != value  # noqa: PLR0124  only NaN and NaT do
    except Exception:  # whatever the comparison of a foreign class raises
        return False
    return type(different).__name__ in {"bool", "bool_"} and bool(different)


def nothing(value: Any) -> bool:
    """Return whether a cell has nothing to read or to lose: null, or an empty text, list or object."""
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def plain(value: Any, depth: int = 0) -> Any:
    r"""Return ``value`` as str, int, float, bool, None, a list or a dict of these; line ends in texts as ``\n``.

    - A missing value is None.
    - Bytes are decoded as UTF-8; others become ``Unreadable``.
    - Dates and times are ISO 8601, durations, too. Decimals keep their digits: ``Decimal("1.50")`` is ``"1.50"``.
    - Arrays are lists, and the scalars of NumPy are Python's. A list of pairs, as Arrow gives a map, is a dict.

    Args:
        value: What a reader has.
        depth: In how many lists and objects it stands.

    Raises:
        InputError: If lists and objects are nested more than 64 levels.
    """
    if isinstance(value, str):
        return value.replace("\r\n", "\n") if "\r" in value else str(value)
    if type(value) in _PLAIN or isinstance(value, Unreadable):
        return value
    if depth > DEEPEST:
        raise InputError(
            f"a value is nested too deeply: at most {DEEPEST} levels are supported", remedy="store it as a JSON string"
        )
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, set, frozenset)) or type(value) is tuple:
        return _listed(list(value), depth + 1)
    return None if missing(value) else _scalar(value)


def _listed(items: list[Any], depth: int) -> Any:
    if items and all(type(item) is tuple and len(item) == 2 for item in items):
        return {str(key): plain(item, depth) for key, item in items}
    return [plain(item, depth) for item in items]


def _scalar(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _decoded(bytes(value))
    if isinstance(value, (float, int)) and not hasattr(value, "dtype"):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # of NumPy, and of pandas
        converted = value.tolist()
        return str(value) if isinstance(converted, int) and value.dtype.kind in "mM" else plain(converted)
    if type(value).__module__ in {"uuid", "ipaddress", "pathlib"} or hasattr(value, "isoformat"):
        return str(value)
    return Unreadable(f"a value of the type {type(value).__name__}, which has no text")


def _decoded(data: bytes) -> Any:
    try:
        return plain(data.decode("utf-8"))
    except UnicodeDecodeError:
        return Unreadable(f"{len(data):,} bytes that are not UTF-8 text")


def _duration(value: timedelta) -> str:
    """Return a duration in the form of ISO 8601: ``P1DT2H30M``."""
    sign = "-" if value < timedelta(0) else ""
    whole = abs(value)
    minutes, seconds = divmod(whole.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{whole.microseconds:06d}".rstrip("0") if whole.microseconds else ""
    parts = [f"{hours}H" if hours else "", f"{minutes}M" if minutes else ""]
    parts.append(f"{seconds}{fraction}S" if seconds or fraction else "")
    days, clock = (f"{whole.days}D" if whole.days else ""), "".join(parts)
    return f"{sign}P{days}{f'T{clock}' if clock else ''}" if days or clock else "PT0S"


NAMES_SHOWN = 40


def listed_names(names: Iterable[object]) -> str:
    """Return names from a file, such as labels: the first 40 as ``shown_text`` shows them, and how many more."""
    listed = list(names)
    more = len(listed) - NAMES_SHOWN
    shown = ", ".join(shown_text(str(name)) for name in listed[:NAMES_SHOWN])
    return f"{shown} and {more:,} more" if more > 0 else shown


def without_padding(value: Any) -> Any:
    """Return ``value`` without the fields that are None in its objects, however deep: Arrow pads structs with them."""
    if isinstance(value, dict):
        return {name: without_padding(item) for name, item in value.items() if item is not None}
    return [without_padding(item) for item in value] if isinstance(value, list) else value


def unreadable_in(value: Any) -> Iterator[Unreadable]:
    """Yield what has no text in ``value``, however deep."""
    if isinstance(value, Unreadable):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from unreadable_in(item)


def refuse_unreadable(value: Any, where: str = "") -> None:
    """Check that all of a value can be written as text.

    Raises:
        InputError: When there is something in ``value`` that has no text.
    """
    for found in unreadable_in(value):
        raise InputError(f"this row holds {found.what}", where=where, remedy="convert the column to text")
