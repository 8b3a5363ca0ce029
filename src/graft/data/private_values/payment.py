"""Numbers of payment cards and bank accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

_CARD = re.compile(
    r"(?<![\w.,+/-])(?:\d{14,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?![\w/]|[-.,]\d| \d{4}(?!\d))"
)
_ISSUERS = re.compile(
    r"4(?:\d{15}|\d{18})|(?:5[1-5]|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720))\d*(?<=^.{16})|3[47]\d{13}"
    r"|(?:30[0-5]|3[689]\d)\d{11}|(?:6011|65\d\d|64[4-9]\d|35(?:2[89]|[3-8]\d)|62\d\d)\d{12}"
    r"|(?:50(?:18|20|38)|5893|6304|6759|676[1-3])\d{10,15}"
)
"""Visa, Mastercard, American Express, Diners, Discover, JCB and UnionPay, Maestro: prefixes with their lengths.

Visa's of 13 digits are no longer issued, and one in ten bar codes (EAN-13) of a country has their form.
"""
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])", re.A | re.I
)
_FEWEST_DIGITS = 10
"""Of an IBAN in small letters: words of four letters are not one."""
_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"), 20),
    **dict.fromkeys(("CH", "CR", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "DZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HN", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    "LC": 32,
    "RU": 33,
}
"""The length of an IBAN by country, from the IBAN registry of SWIFT."""


def cards(text: str) -> Iterator[Span]:
    """Yield where card numbers are: an issuer's prefix and length, grouped as on a card, with Luhn's check digit."""
    for found in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", found[0])
        if _ISSUERS.fullmatch(digits) and luhn(digits):
            yield found.span()


def ibans(text: str) -> Iterator[Span]:
    """Yield where IBANs are: the length of the country, and 1 modulo 97 (ISO 13616)."""
    for found in _IBAN.finditer(text):
        span = _iban(found[0].upper())
        iban = found[0][:span]
        if span and (iban.isupper() or sum(map(str.isdigit, iban)) >= _FEWEST_DIGITS):
            yield found.start(), found.start() + span


def _iban(text: str) -> int:
    """The length of the IBAN with which a text begins, with its blanks; 0 where there is none."""
    wanted, taken = _LENGTHS.get(text[:2], 0), ""
    for at, character in enumerate(text):
        taken += character if character != " " else ""
        if len(taken) == wanted:
            ends = at + 1 == len(text) or text[at + 1] == " "
            return (
                at + 1 if ends and int("".join(str(int(each, 36)) for each in taken[4:] + taken[:4])) % 97 == 1 else 0
            )
    return 0


def luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of Luhn's algorithm (ISO/IEC 7812-1)."""
    doubled = (int(each) * (2 if at % 2 else 1) for at, each in enumerate(reversed(digits)))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0
