"""Lists and objects that stand as text in a cell: as JSON, as pandas writes them to CSV, and as NumPy prints them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from graft.data.values import plain, unreadable_in
from graft.errors import InputError

LONGEST = 1 << 22
"""Characters; a longer text is no list that somebody wrote to a cell."""
DEEPEST = 40
_STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_TOKEN = re.compile(
    rf"(?P<value>{_STRING}|-?[\w.+-]+)|(?P<open>[\[{{(])|(?P<close>[\]}})])|(?P<sign>[,:])|(?P<blank>\s+)", re.DOTALL
)
_ARRAY = re.compile(r"\barray\((?=\[)|(?<=\]),\s*dtype=[\w.<>=']+\)")
_WORDS = {"nan": "None", "NaN": "None", "NaT": "None", "null": "None", "true": "True", "false": "False"}


def decoded(value: Any) -> Any:
    """Return the list or the object that a text holds; another text, or another value, as it is.

    Read are JSON, Python's form (``['a', 'b']``, as pandas writes lists to CSV), and NumPy's (``['a' 'b']``).
    """
    if not isinstance(value, str) or len(value) > LONGEST:
        return value
    text = value.strip()
    if text[:1] + text[-1:] not in {"[]", "{}"}:
        return value
    try:
        return plain(json.loads(text))
    except InputError:  # nested too deeply to be read
        return value
    except (ValueError, RecursionError):
        found = _literal(text)
        return value if found is None else found


def _literal(text: str) -> Any:
    source = _python(_ARRAY.sub("", text))
    if source is None:
        return None
    try:
        found = plain(ast.literal_eval(source))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return None if any(unreadable_in(found)) else found  # such as the "..." that NumPy puts in place of values


def _python(text: str) -> str | None:
    """Return the text with commas between values that only blanks separate; None if it is no list of values.

    Python would join ``'a' 'b'``, which is how NumPy prints two strings, to one.
    """
    parts: list[str] = []
    place = depth = 0
    ended = parted = False  # whether a value has just ended, and whether blanks follow it
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        place, kind, part = match.end(), match.lastgroup, match.group()
        if kind == "blank":
            parted = True
            continue
        if ended and kind in {"value", "open"}:
            if not parted:
                return None
            parts.append(",")
        depth += (kind == "open") - (kind == "close")
        if depth > DEEPEST:
            return None
        parts.append(_WORDS.get(part, part))
        ended, parted = kind in {"value", "close"}, False
    return "".join(parts)
