"""Labels that may be one: other spellings, plurals, punctuation, typing errors."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from graft.data.checks.base import Finding, many, prepare_command
from graft.data.checks.view import CheckedData, Side
from graft.data.classes import SPELLING, folded_label
from graft.data.label_column import LabelColumn, label_column
from graft.data.label_variants import REASONS, Variant, find_variants
from graft.data.located import Located
from graft.data.personal import shown_text

MOST_SHOWN = 5
_LONGEST = 400
"""Characters of a mapping that is typed."""
_FILE = "mapping.json"


class LabelVariants:
    """One label in several forms."""

    name = "label_variants"
    title = "Label variants"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield one finding for forms that graft takes as one, and one for those that a person has to confirm."""
        column = label_column(data)
        if column is None:
            return
        sides = list(data.own_sides)
        counts = [Counter(label for row in side.rows for label in column.written(row.columns)) for side in sides]
        found = find_variants(sum(counts, Counter()))
        learned = [folded_label(label) for label in data.labels or ()]  # of labeled texts, they are one class already
        apart = len(set(learned)) < len(learned)
        folded = column.kind != "tags" and not apart
        for side, seen in zip(sides, counts, strict=True):
            here = [variant for variant in found if seen[variant.label]]
            spelled = [variant for variant in here if variant.reason == "spelling"]
            others = [variant for variant in here if variant.reason != "spelling"]
            if spelled:
                yield _spellings(side, column, seen, spelled, folded)
            if others:
                yield _doubtful(side, column, seen, others)


def _spellings(
    side: Side, column: LabelColumn, counts: Counter[str], found: Sequence[Variant], folded: bool
) -> Finding:
    rows = _rows_with(side, column, found)
    one = many(len(rows), "row has a label that differs", "rows have labels that differ")
    why = "graft takes them as one class, named as most rows write it; other programs do not"
    return Finding(
        "label_variants",
        "note" if folded else "warning",
        f"{one} from another only in {SPELLING}",
        rows,
        why=why if folded else "they are learned as different ones",
        remedy="write each label in one way",
        fix=prepare_command("--steps labels"),
        evidence=_listed(found, counts),
        figures=_figures(found, counts),
        side=side.name,
    )


def _doubtful(side: Side, column: LabelColumn, counts: Counter[str], found: Sequence[Variant]) -> Finding:
    rows = _rows_with(side, column, found)
    one = many(len(rows), "row has a label that may be another one", "rows have labels that may be others")
    rarest = min(counts[variant.label] for variant in found)
    mapping = _mapping(found)
    reasons = list(dict.fromkeys(REASONS[variant.reason] for variant in found))
    return Finding(
        "label_variants",
        "warning",
        f"{one}: they differ in {', '.join(reasons)}",
        rows,
        why=f"each form is learned as a class of its own; the rarest has {many(rarest, 'row')}",
        remedy="map those that mean the same; the mapping below proposes all, and you decide"
        if mapping
        else f'write those that mean the same to {_FILE}, as {{"OLD": "NEW"}}; the mapping in the figures of --json '
        "proposes all, and you decide",
        fix=prepare_command(f"--label_mapping {shlex.quote(mapping) if mapping else _FILE}"),
        evidence=_listed(found, counts),
        figures=_figures(found, counts),
        side=side.name,
    )


def _rows_with(side: Side, column: LabelColumn, found: Sequence[Variant]) -> Located:
    labels = {variant.label for variant in found}
    return Located(row.origin for row in side.rows if not labels.isdisjoint(column.written(row.columns)))


def _mapping(found: Sequence[Variant]) -> str:
    """The mapping as ``OLD=NEW,…``; empty where it is long, or labels have signs or private data."""
    names = [name.strip() for variant in found for name in (variant.label, variant.of)]
    typed = ",".join(f"{variant.label.strip()}={variant.of.strip()}" for variant in found)
    is_plain = all(shown_text(name) == name and not set(",=") & set(name) for name in names)
    return typed if is_plain and len(typed) <= _LONGEST else ""


def _listed(found: Sequence[Variant], counts: Counter[str]) -> tuple[str, ...]:
    return tuple(
        f"{_quoted(each.label)} ({counts[each.label]:,}) may be {_quoted(each.of)} ({counts[each.of]:,}): {each.reason}"
        for each in found[:MOST_SHOWN]
    )


def _quoted(label: str) -> str:
    """The label in quotation marks, with the blanks around it."""
    bare = label.strip()
    if not bare:
        return repr(label)
    before, _, after = label.partition(bare)
    return f'"{repr(before)[1:-1]}{shown_text(bare)}{repr(after)[1:-1]}"'


def _figures(found: Sequence[Variant], counts: Counter[str]) -> dict[str, Any]:
    listed = [{"label": each.label, "of": each.of, "reason": each.reason, "rows": counts[each.label]} for each in found]
    return {"variants": listed, "mapping": {each.label.strip(): each.of.strip() for each in found}}
