"""Personal data and secrets in texts: found by form and check digit, and masked wherever graft shows a row."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

from graft.data.private_values.keys import keys, private_keys
from graft.data.private_values.national_ids import ids
from graft.data.private_values.payment import cards, ibans
from graft.data.private_values.phones import phones
from graft.plain_text import escape_controls, lone_surrogate, mask_secrets

KINDS = ("private key", "key", "e-mail", "IBAN", "card", "id", "phone")
"""What is found. Where two overlap, the earlier kind is taken."""

SECRETS = frozenset(("private key", "key"))
"""What gives access: it has to be revoked, too."""

_DIGITS = re.compile(r"[0-9](?:[ ().\-/]{0,3}[0-9]){6}")
_DIGIT = re.compile(r"[0-9]")
_LETTERED = re.compile(r"[A-Z][A-Z] ?[0-9][0-9]")
"""IBANs and identity numbers with fewer than seven digits in a row."""
_LONG = re.compile(r"\b[A-Za-z0-9+/_.-]{15}")
"""What a key has, and few words of a text."""
_ADDRESS = re.compile(r"\w@\w")
_EMAIL = re.compile(r"(?<![\w.%+'-])[\w%+-][\w.%+'-]{0,63}@((?:[^\W_][\w-]{0,62}\.){1,8})([A-Za-z]{2,13})(?![\w@-])")
_NAMES = (
    "com org net edu gov mil int info biz name pro mobi jobs museum travel coop aero app dev xyz online site shop tech "
    "cloud email store blog life live world today company agency digital health academy bank work works solutions "
    "services group team space website page link news media club global systems software network studio design "
    "example test invalid local localhost lan internal corp home"
)
_ENDINGS = frozenset(_NAMES.split())
"""Top-level domains of e-mail addresses besides those of two letters: ``y = x@self.weight`` is no address."""
_ADDRESS_OF_HOST = re.compile(r":[\w~/]")
"""``git@github.com:owner/name``."""
_WINDOW = 20_000
_SHORT = 80
_BESIDE, _AROUND = 500, 25
_UNSEEN = {0x0A: "\\n", 0x09: "\\t"} | {
    code: f"\\u{code:04x}" for code in (0x00AD, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF)
}


class Found(NamedTuple):
    """Personal data in a text: the kind, and where it begins and ends."""

    kind: str
    start: int
    end: int


def find(text: str) -> list[Found]:
    """Return the personal data and secrets in a text, in order; none overlaps another.

    Args:
        text: A text of a row.
    """
    taken: list[Found] = []
    for kind, finder in _finders(text):
        kept, last = [], 0
        for start, end in sorted(finder(text)):
            if start >= last and _is_free(taken, start, end):
                kept.append(Found(kind, start, end))
                last = end
        taken = sorted((*taken, *kept), key=_START) if kept else taken
    return taken


_START = attrgetter("start")


def _is_free(taken: list[Found], start: int, end: int) -> bool:
    """Whether a place overlaps none of those that are taken, which are in order."""
    at = bisect_left(taken, end, key=_START)
    return not at or taken[at - 1].end <= start


def masked(text: str) -> str:
    """Return a text with ``[e-mail]``, ``[phone]``, … in place of personal data and secrets."""
    while places := find(text):  # again, as of two numbers side by side one may be found only now
        parts, at = [], 0
        for found in places:
            parts += [text[at : found.start], f"[{found.kind}]"]
            at = found.end
        text = "".join((*parts, text[at:]))
    return text


def shown_text(text: str, most: int = _SHORT) -> str:
    """Return a text of a row for a message: masked, on one line, with control characters visible, and shortened.

    Args:
        text: The text.
        most: The maximum number of characters.
    """
    hidden = mask_secrets(masked(text[:_WINDOW]))
    if len(text) > _WINDOW:  # the last word may be the first half of an address
        hidden = hidden[: -_WINDOW // 10]
    visible = escape_controls(hidden[: most + 1].translate(_UNSEEN))
    if lone_surrogate(visible):
        visible = visible.encode("utf-8", "backslashreplace").decode("utf-8")
    return visible if len(visible) <= most else f"{visible[: most - 1]}…"


def shown_around(text: str, start: int, end: int, instead: str | None = None) -> str:
    """Return a part of a text with some of what is around it, as ``shown_text`` does.

    Args:
        text: The text.
        start: Where the part begins.
        end: Where it ends.
        instead: What is shown in place of the part.
    """
    # Masked before they are cut: half of a number is not recognized, and tells as much.
    before = masked(text[max(0, start - _BESIDE) : start])[-_AROUND:]
    after = masked(text[end : end + _BESIDE])[:_AROUND]
    return shown_text(f"{before}{text[start:end] if instead is None else instead}{after}")


def _finders(text: str) -> Iterator[tuple[str, Callable[[str], Iterator[tuple[int, int]]]]]:
    """The finders that can find something in a text, by a look that takes a few microseconds."""
    if _LONG.search(text) or "://" in text:
        yield from (("private key", private_keys), ("key", keys))
    if "@" in text and _ADDRESS.search(text):
        yield "e-mail", _emails
    if not _DIGIT.search(text):
        return
    digits = _DIGITS.search(text)
    if digits or _LETTERED.search(text):
        yield from (("IBAN", ibans), ("card", cards), ("id", ids))
    if digits:
        yield "phone", phones


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for found in _EMAIL.finditer(text):
        domain, ending = found[1], found[2].lower()
        known = ending in _ENDINGS or len(ending) == 2
        if known and not domain[0].isdigit() and not _ADDRESS_OF_HOST.match(text, found.end()):
            yield found.span()
