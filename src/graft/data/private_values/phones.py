"""Telephone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

_NUMBER = re.compile(
    r"(?<![\w.,=#$€£%+/-])(?<!\d:)(?:\+(?=[1-9])|\(?(?=\d))[\d(][\d ()./-]{4,24}\d(?!\w|%|[.,:/-]\d| \d)"
)
_AMERICAN = re.compile(
    r"(?<![\w.,=#$€£%+/-])(?:1[ .-])?(?:\(([2-9]\d\d)\) ?|([2-9]\d\d)([ .-]))\d{3}[ .-]\d{4}(?!(?!x\d)\w|%|[.,:/-]\d)"
)
"""(212) 555-0100, 212-555-0100, 212.555.0100, 212 555 0100."""
_TRUNK = re.compile(r"\(?0[1-9]\d{0,3}\)?(?:[ /-]| - )\d{2,9}(?:[ -]\d{2,5}){0,4}")
"""030 1234567, 0171/1234567, 020 7946 0958, 06 12 34 56 78: the form of most of Europe, Australia, and others."""
_CUE = re.compile(
    r"(?:\b(?:tel|phone|telephone|mobile|mobil|cell|fax|call|whatsapp|telefono|tel[eé]fono|m[oó]vil|t[eé]l[eé]phone|portable"
    r"|telefon|handy|rufnummer|ph|my number|reach (?:me|us)|contact|text (?:me|us)|sms|dial)\b|☎|📞)[^\d\n]{0,18}$",
    re.IGNORECASE,
)
_REGIONS = ("US", "GB", "DE", "FR", "NL", "AT", "CH", "BE", "AU", "IT", "ES", "SE", "PL", "BR", "IN", "MX")
_TRUNK_REGIONS = ("GB", "DE", "FR", "NL", "AT", "CH", "BE", "AU", "SE")
_FICTIONAL = "555"
"""The area code of examples: valid nowhere, and written down as a phone all the same."""
_ISBN = re.compile(r"ISBN[^\d\n]{0,6}(?:1[03]:? ?)?$", re.IGNORECASE)
_ZIP = re.compile(r"\d{5}-\d{4}")
"""A ZIP code of the United States with its four further digits."""
_FEWEST, _MOST = 7, 15
"""Digits of a phone number (E.164)."""


def phones(text: str) -> Iterator[Span]:
    """Yield where telephone numbers are.

    A number behind ``+`` must be possible in its country. Another must be valid in one, and be written as phones are,
    or follow a word such as "tel": ten digits alone are as likely an order, a time stamp, or an ISBN.
    """
    for found in _AMERICAN.finditer(text):
        is_spaced = found[3] == " "  # among other numbers three groups are most often none
        beside = text[max(0, found.start() - 2) : found.start()].strip() + text[found.end() : found.end() + 2].strip()
        if _is_american(found) and not (is_spaced and re.search(r"\d", beside)):
            yield found.span()
    for found in _NUMBER.finditer(text):
        number, before = found[0], text[max(0, found.start() - 30) : found.start()]
        if not sum(map(str.isdigit, number)) >= _FEWEST or _ISBN.search(before):
            continue
        number = number if number.count("(") == number.count(")") else number.strip("()")
        start = found.start() + found[0].index(number)
        end = _length(number, bool(_CUE.search(before)))
        if end:
            yield start, start + end


def _length(text: str, cued: bool) -> int:
    """How many characters at the beginning of a text are a phone number; 0 for none. Another may follow."""
    number = text
    while sum(map(str.isdigit, number)) >= _FEWEST:
        follows = text[len(number) :].lstrip(" /-")
        ends = number == text or number.startswith("+") or follows.startswith(("0", "("))
        if ends and sum(map(str.isdigit, number)) <= _MOST and _is_phone(number, cued):
            return len(number)
        shorter = re.sub(r"[ ()./-]{1,3}\d{0,15}\)?$", "", number)
        number = shorter if shorter != number and not _AMERICAN.fullmatch(shorter) else ""
    return 0


def _is_phone(number: str, cued: bool) -> bool:
    if number.startswith("+"):
        return _possible(number)
    if _ZIP.fullmatch(number):
        return False
    if number.startswith("00"):
        return _valid(f"+{number[2:]}", ("ZZ",))
    american = _AMERICAN.fullmatch(number)
    if american:
        return _is_american(american)
    if _TRUNK.fullmatch(number):
        return _valid(number, _TRUNK_REGIONS)
    return cued and (number.startswith(_FICTIONAL) or _valid(number, _REGIONS))


def _is_american(found: re.Match[str]) -> bool:
    fictional = (found[1] or found[2]) == _FICTIONAL and found[3] != " "
    return bool(found[1]) or fictional or _valid(found[0], ("US",))


def _possible(number: str) -> bool:
    import phonenumbers  # 40 ms, which graft --help need not wait for

    try:
        reason = phonenumbers.is_possible_number_with_reason(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return False
    return bool(reason == phonenumbers.ValidationResult.IS_POSSIBLE)


def _valid(number: str, regions: tuple[str, ...]) -> bool:
    import phonenumbers

    for region in regions:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(number, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False
