"""National identity, tax and insurance numbers that have a check digit or a strict form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from graft.data.private_values.payment import luhn

Span = tuple[int, int]


class _Id(NamedTuple):
    """A kind of number: its form, its check, and the words that must stand before one whose form alone says little."""

    form: re.Pattern[str]
    check: Callable[[str], bool]
    cue: re.Pattern[str] | None = None


def ids(text: str) -> Iterator[Span]:
    """Yield where national identity numbers are."""
    for kind in _IDS:
        for found in kind.form.finditer(text):
            if kind.cue is not None and not kind.cue.search(text[max(0, found.start() - 40) : found.start()]):
                continue
            if kind.check(re.sub(r"[ ./-]", "", found[0]).upper()):
                yield found.span()


def _form(expression: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.+/-])(?:{expression})(?!\w|[-./]\w)")


def _cue(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{words})[^\d\n]{{0,20}}$", re.IGNORECASE)


def _us_ssn(text: str) -> bool:
    """The Social Security Administration assigns no area 000, 666, 9xx, no group 00 and no serial number 0000."""
    return text[:3] not in {"000", "666"} and text[0] != "9" and text[3:5] != "00" and text[5:] != "0000"


def _german_tax(text: str) -> bool:
    """ISO 7064 MOD 11,10, and among the first ten digits exactly one that occurs twice or three times."""
    repeated = [count for count in Counter(text[:10]).values() if count > 1]
    rest = 10
    for each in text[:10]:
        total = (int(each) + rest) % 10 or 10
        rest = total * 2 % 11
    return text[0] != "0" and len(repeated) == 1 and repeated[0] in {2, 3} and (11 - rest) % 10 == int(text[10])


def _spanish(text: str) -> bool:
    """DNI and NIE: the letter is the number modulo 23."""
    number = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


def _french(text: str) -> bool:
    """NIR: the key is 97 less the number modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


_ODD = dict(zip("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True)) | dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)


def _italian(text: str) -> bool:
    """Codice fiscale: odd places by a table, even ones by their value, modulo 26."""
    total = sum(_ODD[each] if at % 2 == 0 else int(each, 36) - 10 * each.isalpha() for at, each in enumerate(text[:15]))
    return chr(ord("A") + total % 26) == text[15]


def _brazilian(text: str) -> bool:
    """CPF: two check digits modulo 11; eleven equal digits are none."""

    def digit(part: str) -> int:
        weighted = sum(int(each) * weight for each, weight in zip(part, range(len(part) + 1, 1, -1), strict=True))
        return weighted * 10 % 11 % 10

    return len(set(text)) > 1 and text[9:] == f"{digit(text[:9])}{digit(text[:10])}"


def _dutch(text: str) -> bool:
    """BSN: the eleven test, the last digit weighing -1."""
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    return int(text) > 0 and sum(int(each) * weight for each, weight in zip(text, weights, strict=True)) % 11 == 0


def _polish(text: str) -> bool:
    """PESEL: weights 1, 3, 7, 9."""
    total = sum(int(each) * weight for each, weight in zip(text[:10], (1, 3, 7, 9) * 3, strict=False))
    return (10 - total % 10) % 10 == int(text[10])


def _belgian(text: str) -> bool:
    """97 less the first nine digits modulo 97, with a 2 before them for those born from 2000 on."""
    return int(text[9:]) in {97 - int(text[:9]) % 97, 97 - int(f"2{text[:9]}") % 97}


def _swiss(text: str) -> bool:
    """AHV/AVS: the check digit of EAN-13."""
    return sum(int(each) * (3 if at % 2 else 1) for at, each in enumerate(text)) % 10 == 0


def _chinese(text: str) -> bool:
    """ISO 7064 MOD 11-2 (GB 11643)."""
    total = sum(int(each) * (1 << (17 - at)) for at, each in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17]


def _verhoeff(text: str) -> bool:
    """Aadhaar: Verhoeff's check, in the dihedral group of order 10."""
    check, permutation = 0, (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    for at, each in enumerate(reversed(text)):
        digit = int(each)
        for _ in range(at % 8):
            digit = permutation[digit]
        check = _product(check, digit)
    return check == 0


def _product(first: int, second: int) -> int:
    if first < 5:
        return (first + second) % 5 + (0 if second < 5 else 5)
    return (first - second) % 5 + (5 if second < 5 else 0)


def _british(text: str) -> bool:
    """National insurance number: prefixes that are not given out."""
    return text[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}


_YEAR, _MONTH, _DAY = r"\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_SSN = _cue(r"\bssn|social security|\bs\.s\.n")
_TAX = _cue(r"steuer-?(?:id|ident|nummer)|tax (?:id|number)|identifikationsnummer|\bidnr|\btin\b")
_IDS = (
    _Id(_form(r"\d{3}-\d\d-\d{4}"), _us_ssn),
    _Id(_form(r"\d{3} \d\d \d{4}|\d{9}"), _us_ssn, _SSN),
    _Id(_form(r"\d\d \d{3} \d{3} \d{3}"), _german_tax),
    _Id(_form(r"\d{11}"), _german_tax, _TAX),
    _Id(_form(r"(?ai:\d{8}[ -]?[A-HJ-NP-TV-Z]|[XYZ][ -]?\d{7}[ -]?[A-HJ-NP-TV-Z])"), _spanish),
    _Id(_form(rf"[12] ?{_YEAR} ?{_MONTH} ?(?:\d\d|2[AB]) ?\d{{3}} ?\d{{3}} ?\d\d"), _french),
    _Id(_form(r"(?ai:[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z])"), _italian),
    _Id(_form(r"\d{3}\.\d{3}\.\d{3}-\d\d"), _brazilian),
    _Id(_form(r"\d{11}"), _brazilian, _cue(r"\bcpf")),
    _Id(_form(r"\d{9}|\d{4}[ .]\d\d[ .]\d{3}"), _dutch, _cue(r"\bbsn|burgerservicenummer|sofinummer")),
    _Id(_form(r"\d{11}"), _polish, _cue(r"pesel")),
    _Id(_form(rf"{_YEAR}\.{_MONTH}\.{_DAY}-\d{{3}}\.\d\d"), _belgian),
    _Id(_form(rf"(?:19|20)?{_YEAR}{_MONTH}{_DAY}[-+]\d{{4}}"), lambda text: luhn(text[-10:])),
    _Id(_form(r"756\.\d{4}\.\d{4}\.\d\d|756\d{10}"), _swiss),
    _Id(_form(rf"[1-6]\d{{5}}(?:19|20){_YEAR}{_MONTH}{_DAY}\d{{3}}[\dXx]"), _chinese),
    _Id(_form(rf"{_YEAR}{_MONTH}{_DAY}-[1-8]\d{{6}}"), lambda text: True),
    _Id(_form(r"(?<!\d )[2-9]\d{3} \d{4} \d{4}(?! \d)"), _verhoeff),
    _Id(_form(r"(?:QQ|[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]) ?\d\d ?\d\d ?\d\d ?[A-D]"), _british),
    _Id(_form(r"\d{3}[ -]\d{3}[ -]\d{3}|\d{9}"), luhn, _cue(r"\bsin\b|social insurance")),
)
"""United States, Germany, Spain, France, Italy, Brazil, Netherlands, Poland, Belgium, Sweden, Switzerland, China,
Korea, India, United Kingdom, Canada."""
