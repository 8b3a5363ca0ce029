"""How large the result of a chat template's operation would be, checked first: nothing stops an operation midway."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jinja2.utils import Namespace

LARGEST_VALUE = 10_000_000
"""Characters of a rendering, and of any value in it."""
LARGEST_ARGUMENT = 1_000_000
"""A number that a filter or a method gets as an argument, such as a width."""
MOST_BITS = 100_000
"""Bits of a computed number."""
ITEM_SIZE = 100
"""What an item of a list or an object counts, in characters."""
LARGEST_TOTAL = 100_000_000
"""Characters of all values of a rendering together."""
MOST_ITEMS = LARGEST_TOTAL // ITEM_SIZE
MOST_DIGITS = 1000
"""Digits of a string that is converted to a number."""
LARGEST_SLOW = 100_000
"""Characters that a slow filter gets; no known chat template uses these filters."""
_ADDING = frozenset({"center", "ljust", "rjust", "zfill", "batch", "slice", "to_bytes"})
_MULTIPLYING = frozenset({"indent", "wordwrap", "translate", "expandtabs", "tojson", "xmlattr"})
_FORMATTING = frozenset({"format", "format_map", "%"})
_SLOW = frozenset({"pprint", "striptags", "truncate", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr"})
_LISTING = frozenset(
    {"batch", "dictsort", "groupby", "list", "map", "max", "min", "random", "reject", "rejectattr", "reverse", "select"}
    | {"selectattr", "slice", "sort", "sum", "unique"}
)
_DIGITS = re.compile(r"\d+")
_WIDE = re.compile(r"\d{6}|\{[^}]*\{|%[^a-zA-Z%]*\*")
"""In a format: a width of six digits, or one that is an argument."""


class TemplateLimit(Exception):
    """A template takes too long, or makes a value that is too large."""


def refuse(what: str) -> None:
    """Stop a rendering.

    Raises:
        TemplateLimit: ``what`` would have too many characters.
    """
    raise TemplateLimit(f"makes {what} of more than {LARGEST_VALUE:,} characters")


def measure(value: Any) -> int:
    """The characters of a value when it is written, roughly; it stops where they are more than ``LARGEST_VALUE``."""
    total, left = 0, [value]
    while left and total <= LARGEST_VALUE:
        item = left.pop()
        if isinstance(item, Namespace):
            item = item._Namespace__attrs
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, dict):
            total += 2 * ITEM_SIZE * len(item)
            left += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            total += ITEM_SIZE * len(item)
            left += item
    return total


def check_call(name: str, value: Any, others: Sequence[Any]) -> None:
    """Check what a filter or a method would make of its operands.

    Args:
        name: Of the filter or the method.
        value: What it works on.
        others: Its further arguments.

    Raises:
        TemplateLimit: If it would be too much.
    """
    if any(isinstance(other, int) and abs(other) > LARGEST_ARGUMENT for other in others):
        raise TemplateLimit(f"has a number beyond {LARGEST_ARGUMENT:,} as an argument of {name}")
    if name == "strftime_now" and any(len(str(other)) > 1000 for other in others):
        refuse("a date")
    if name in _FORMATTING and isinstance(value, str) and _WIDE.search(value):
        raise TemplateLimit("formats with a width beyond 99,999, or with one that is computed")
    if _growth(name, value, others) > LARGEST_VALUE:
        refuse("a string")


def _growth(name: str, value: Any, others: Sequence[Any]) -> int:
    """A bound on the characters of what ``name`` makes of ``value``; 0 where it makes nothing larger."""
    texts = [other for other in others if isinstance(other, str)]
    numbers = [abs(other) for other in others if isinstance(other, int)]
    if name in _ADDING:
        return _length(value) + max(numbers, default=0)
    if name == "replace" and isinstance(value, str) and len(texts) >= 2:
        return len(value) + value.count(texts[0]) * len(texts[1])
    if name == "join":
        return _joined(value, others)
    if name in _FORMATTING:
        marks = value.count("%") + value.count("{") if isinstance(value, str) else 0
        widths = sum(map(int, _DIGITS.findall(value))) if marks else 0
        return (1 + marks) * measure(list(others)) + widths
    if name in _MULTIPLYING and others:
        tables = [text for other in others if isinstance(other, dict) for text in other.values()]
        longest = max(map(_length, (*texts, *tables)), default=0)
        return (measure(value) + 1) * (1 + max(longest, *numbers, 0))
    return 0


def _joined(value: Any, others: Sequence[Any]) -> int:
    """Of the filter, whose value is the list, or of the method, whose value is the separator."""
    of_list = isinstance(value, (list, tuple))
    parts = value if of_list else others[0] if others else ""
    separator = max((_length(other) for other in others), default=0) if of_list else _length(value)
    if not of_list and isinstance(parts, str):
        separator = max(separator, _length(parts))
        parts = max(value, parts, key=_length)
    return measure(parts) + _length(parts) * separator


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict)) else 0


def check_items(name: str, value: Any) -> None:
    """Check what a filter goes through within one call.

    Raises:
        TemplateLimit: If it is too much.
    """
    if name in _LISTING and hasattr(value, "__len__") and len(value) > MOST_ITEMS:
        raise TemplateLimit(f"makes a list of more than {MOST_ITEMS:,} items")
    if name in _SLOW and measure(value) > LARGEST_SLOW:
        raise TemplateLimit(f"has a value of more than {LARGEST_SLOW:,} characters as input of {name}")
    if name in ("int", "float", "round") and isinstance(value, str) and len(value) > MOST_DIGITS:
        raise TemplateLimit(f"computes with a number of more than {MOST_DIGITS:,} digits")


def check_number(value: int) -> None:
    """Check a number that was computed.

    Raises:
        TemplateLimit: If it is too large.
    """
    if value.bit_length() > MOST_BITS:
        raise TemplateLimit(f"computes with numbers of more than {MOST_BITS:,} bits")


def check_numbers(left: Any, right: Any) -> None:
    """Check the operands of ``*``, ``%`` or ``//``, whose time grows with the square.

    Raises:
        TemplateLimit: If the result, or one of them, is too large.
    """
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MOST_BITS:
        raise TemplateLimit(f"computes with numbers of more than {MOST_BITS:,} bits")


def check_product(left: Any, right: Any) -> None:
    """Check the operands of ``*``.

    Raises:
        TemplateLimit: If ``left * right`` would be too much.
    """
    for value, times in ((left, right), (right, left)):
        repeated = isinstance(times, int) and times > 1 and isinstance(value, (str, bytes, list, tuple))
        if repeated and max(measure(value), len(value)) * times > LARGEST_VALUE:
            refuse("a value")
    check_numbers(left, right)


def check_power(base: Any, exponent: Any) -> None:
    """Check the operands of ``**``.

    Raises:
        TemplateLimit: If ``base ** exponent`` would be too much.
    """
    if isinstance(base, int) and isinstance(exponent, int) and max(base.bit_length(), 1) * abs(exponent) > MOST_BITS:
        raise TemplateLimit(f"computes with numbers of more than {MOST_BITS:,} bits")
