"""Personal data and secrets in the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from graft.data.checks.base import Finding, Severity, prepare_command
from graft.data.checks.spotted import Spotted, counted_rows
from graft.data.checks.view import CheckedData, Side, texts_of
from graft.data.personal import SECRETS, Found, find, shown_around

_KINDS = {
    "private key": ("private_keys", "private keys"),
    "key": ("api_keys", "API keys or passwords"),
    "card": ("card_numbers", "card numbers"),
    "IBAN": ("ibans", "bank account numbers (IBAN)"),
    "id": ("national_ids", "numbers of national identity, tax, or insurance"),
    "e-mail": ("email_addresses", "e-mail addresses"),
    "phone": ("phone_numbers", "phone numbers"),
}
_NOTES = frozenset(("e-mail", "phone"))
"""What is published as often as it is private."""


class PersonalData:
    """E-mail addresses, phone and card numbers, IBANs, national ids, API keys, and private keys."""

    name = "personal_data"
    title = "Personal data and secrets"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each kind and each side."""
        for side in data.sides:
            spotted, counts = _spotted(side, data.read_columns())
            for kind, (name, what) in _KINDS.items():
                if len(spotted[kind]):
                    yield _finding(kind, name, what, spotted[kind], counts[kind], side.name)


def _finding(kind: str, name: str, what: str, spotted: Spotted, count: int, side: str) -> Finding:
    severity: Severity = "note" if kind in _NOTES else "warning"
    remedy = "mask them, unless the model is to write them"
    return Finding(
        name,
        severity,
        f"{counted_rows(len(spotted), 'has', 'have')} {what}",
        spotted.rows,
        why="a model can write what it was trained on, word for word; whoever has the model has these",
        remedy=f"revoke them, and {remedy}" if kind in SECRETS else remedy,
        fix=prepare_command("--steps privacy"),
        evidence=tuple(spotted.evidence),
        figures={"found": count, "mask": f"[{kind}]"},
        side=side,
    )


def _spotted(side: Side, columns: frozenset[str] | None) -> tuple[dict[str, Spotted], Counter[str]]:
    spotted, counts = {kind: Spotted() for kind in _KINDS}, Counter[str]()
    for row in side.rows:
        for place, text in texts_of(row, columns):
            for found in find(text):
                counts[found.kind] += 1
                spotted[found.kind].add(row.origin, partial(_shown, place, text, found))
    return spotted, counts


def _shown(place: str, text: str, found: Found) -> str:
    return f"{place}: {shown_around(text, found.start, found.end)}"
