"""API keys and private keys."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator

from graft.plain_text import KEY_FORMS

Span = tuple[int, int]

_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(KEY_FORMS)})")
_URL_PASSWORD = re.compile(r"(?<=://)[^\s/@?#:'\"<>]{1,100}:[^\s/@?#'\"<>${}]{1,200}(?=@[\w.-])")
_NAMED = re.compile(
    r"(?:secret|api|access|account|auth|private|client)[_-]?(?:access[_-]?)?(?:key|token|secret)['\"]?\s{0,3}[:=]{1,2}\s{0,3}"
    r"['\"]?([A-Za-z0-9/+=_.-]{20,})",
    re.IGNORECASE,
)
"""``AWS_SECRET_ACCESS_KEY=…``, ``"api_key": "…"``, ``AccountKey=…`` of Azure."""
_BASIC = re.compile(r"\bBasic\s{1,3}([A-Za-z0-9+/]{4,}={0,2})", re.IGNORECASE)
_BEARER = re.compile(r"\bBearer\s{1,3}([A-Za-z0-9._~+/=-]{20,})")
_PEM = re.compile(
    r"-----BEGIN ([A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----(?:\\[rn]|\s|['\"+>|]){0,8}"
    r"(?:[A-Za-z-]{3,20}: [^\n]{0,100}\s+){0,4}[A-Za-z0-9+/=]{12,}"
)
_PEM_REST = re.compile(
    r"(?:[A-Za-z0-9+/=]|\\[rn]|\s|-(?=----)"
    r"|[^A-Za-z0-9+/=\s]{1,3}(?=[A-Za-z0-9+/=]{6}| [A-Za-z0-9+/=]{16})){0,20000}"
)
"""The content of a key without an end, with what strays into a line of it."""
_LONGEST_PEM = 20_000
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
    yield from (found.span(1) for found in _BASIC.finditer(text) if _is_login(found[1]))


def private_keys(text: str) -> Iterator[Span]:
    """Yield where private keys are: a PEM or PGP block with content, up to its end line or where it is cut."""
    if "-----BEGIN" not in text:
        return
    for found in _PEM.finditer(text):
        closing = f"-----END {found[1]}-----"
        at = text.find(closing, found.end(), found.end() + _LONGEST_PEM)
        if at >= 0:
            yield found.start(), at + len(closing)
        else:
            rest = _PEM_REST.match(text, found.end())
            yield found.start(), rest.end() if rest else found.end()


def _is_login(encoded: str) -> bool:
    """Whether this is a name and a password as HTTP has them: both in Base64, with a colon between."""
    try:
        return b":" in b64decode(encoded, validate=True)[1:-1]
    except binascii.Error:
        return False


def _is_random(text: str) -> bool:
    """Whether this is drawn at random: names of functions and placeholders are not."""
    mixed = any(each.isdigit() for each in text) or (text.lower() != text and text.upper() != text)
    return mixed and len(set(text)) >= _FEWEST_CHARACTERS
