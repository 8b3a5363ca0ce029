"""API keys and private keys."""

from __future__ import annotations

import re
from collections.abc import Iterator

from graft.plain_text import KEY_FORMS

Span = tuple[int, int]

_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(KEY_FORMS)})")
_URL_PASSWORD = re.compile(r"(?<=://)[^\s/@?#:'\"<>]{1,100}:[^\s/@?#'\"<>${}]{1,200}(?=@[\w.-])")
_NAMED = re.compile(
    r"(?:secret|api|access|auth|private|client)[_-]?(?:access[_-]?)?(?:key|token|secret)['\"]?\s{0,3}[:=]{1,2}\s{0,3}"
    r"['\"]?([A-Za-z0-9/+=_.-]{20,})",
    re.IGNORECASE,
)
"""``AWS_SECRET_ACCESS_KEY=…``, ``"api_key": "…"``."""
_BEARER = re.compile(r"\bBearer\s{1,3}([A-Za-z0-9._~+/=-]{20,})")
_PEM = re.compile(
    r"-----BEGIN ([A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----(?:\\[rn]|\s|['\"+]){0,8}"
    r"(?:[A-Za-z-]{3,20}: [^\n]{0,100}\s+){0,4}[A-Za-z0-9+/=]{12,}"
)
_PEM_REST = re.compile(r"(?:[A-Za-z0-9+/=]|\\[rn]|\s|-(?=----)){0,20000}")
_FEWEST_CHARACTERS = 8
"""Different ones in a key: ``sk-xxxxxxxxxxxxxxxxxxxx`` is none."""


def keys(text: str) -> Iterator[Span]:
    """Yield where API keys, and passwords in URLs, are."""
    for found in _KEY.finditer(text):
        if _is_random(found[0]):
            yield found.span()
    if "://" in text and "@" in text:
        yield from (found.span() for found in _URL_PASSWORD.finditer(text))
    for found in (*_NAMED.finditer(text), *_BEARER.finditer(text)):
        if _is_random(found[1]) and any(character.isdigit() for character in found[1]):
            yield found.span(1)


def private_keys(text: str) -> Iterator[Span]:
    """Yield where private keys are: a PEM or PGP block with content, up to its end line or where it is cut."""
    if "-----BEGIN" not in text:
        return
    for found in _PEM.finditer(text):
        rest = _PEM_REST.match(text, found.end())
        end = rest.end() if rest else found.end()
        closing = f"-----END {found[1]}-----"
        at = text.find(closing, found.end(), end + len(closing) + 1)
        yield found.start(), at + len(closing) if at >= 0 else end


def _is_random(text: str) -> bool:
    """Whether this is drawn at random: names of functions and placeholders are not."""
    mixed = any(each.isdigit() for each in text) or (text.lower() != text and text.upper() != text)
    return mixed and len(set(text)) >= _FEWEST_CHARACTERS
