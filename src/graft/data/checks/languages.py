"""Texts in several languages or scripts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from graft.data.checks.base import Finding
from graft.data.checks.spotted import Spotted, counted_rows, severity_of
from graft.data.checks.view import CheckedData, Side
from graft.data.frames import Frame, frames, is_structured, slots
from graft.data.language import language_of
from graft.data.personal import shown_text

MOST_ROWS = 50_000
"""Of more, every n-th is looked at: a text takes 75 µs."""
FEWEST = 5
"""Texts of a column that are long enough: of fewer, no language is that of most."""
_MINORITY = 0.05
"""The share below which the texts in a language look like strays."""


class Languages:
    """Rows in another language than most, and data in several."""

    name = "languages"
    title = "Languages and scripts"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each column, or role, of each side that has texts in several languages."""
        usual = frames(data.train.rows, data.read_columns())
        for side in data.own_sides:
            step = 1 + len(side.rows) // MOST_ROWS
            for slot, found in _detected(side, data.read_columns(), usual, step).items():
                counts = Counter({language: len(spotted) for language, spotted in found.items()})
                if len(counts) > 1 and counts.total() >= FEWEST:
                    yield from _findings(slot, found, counts, step, side.name)


def _detected(
    side: Side, columns: frozenset[str] | None, usual: Mapping[str, Frame], step: int
) -> dict[str, dict[str, Spotted]]:
    """Where the texts of each language are, by column or role."""
    found: defaultdict[str, defaultdict[str, Spotted]] = defaultdict(lambda: defaultdict(Spotted))
    for number, row in enumerate(side.rows):
        if number % step:
            continue
        for slot, text in slots(row.columns, columns):
            own = text.removeprefix(usual[slot].prefix).removesuffix(usual[slot].suffix) if slot in usual else text
            language = None if is_structured(own) else language_of(own)
            if language is not None:
                found[slot][language].add(row.origin, f"{slot}: {language}: {shown_text(own)}")
    return {slot: dict(each) for slot, each in found.items()}


def _findings(slot: str, found: Mapping[str, Spotted], counts: Counter[str], step: int, side: str) -> Iterator[Finding]:
    """Strays are a warning if they are more than a few; languages with many rows each may be meant."""
    total = counts.total()
    strays = {language for language, count in counts.items() if count < _MINORITY * total}
    several = set(counts) - strays
    most = counts.most_common(1)[0][0]
    shares = ", ".join(f"{language} {count / total:.1%}" for language, count in counts.most_common(8))
    looked = f"of {total:,} texts in {shown_text(slot)} that are long enough"
    looked += f", every {step}th row looked at" if step > 1 else ""
    for kind, languages in (("other_language", strays), ("languages", several if len(several) > 1 else set())):
        rows = _joined(found, languages - {most})
        if len(rows):
            yield Finding(
                kind,
                severity_of(len(rows), total) if kind == "other_language" else "note",
                f"{counted_rows(len(rows), 'is', 'are')} in another language than most ({most}) in {shown_text(slot)}",
                rows.rows,
                why=f"{shares} {looked}",
                remedy="remove them, or add more rows in these languages, if the model is to answer in them",
                evidence=tuple(rows.evidence),
                figures={"languages": dict(counts), "column": shown_text(slot)},
                side=side,
            )


def _joined(found: Mapping[str, Spotted], languages: set[str]) -> Spotted:
    """The rows of several languages, those of the rarest first."""
    joined = Spotted()
    for language in sorted(languages, key=lambda language: (len(found[language]), language)):
        for origin, line in zip(
            found[language].rows, (*found[language].evidence, *[""] * len(found[language])), strict=False
        ):
            joined.add(origin, line.removeprefix(f"{origin}: "))
    return joined
