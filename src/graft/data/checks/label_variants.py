"""Labels that may be one: other spellings, plurals, punctuation, typing errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from graft.data.checks.base import Finding, prepare_command
from graft.data.checks.view import CheckedData, Side
from graft.data.classes import SPELLING
from graft.data.label_column import LabelColumn, label_column
from graft.data.label_variants import REASONS, Variant, find_variants
from graft.data.located import Located
from graft.data.personal import shown_text

MOST_SHOWN = 5


class LabelVariants:
    """One label in several forms."""

    name = "label_variants"
    title = "Variants of labels"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield one finding for forms that graft takes as one, and one for those that a person has to confirm."""
        column = label_column(data)
        if column is None:
            return
        sides = [side for side in (data.train, data.eval) if side is not None]
        counts = [Counter(label for row in side.rows for label in column.labels(row.columns)) for side in sides]
        found = find_variants(sum(counts, Counter()))
        learned = {label.strip() for label in data.labels or ()}  # of labeled texts, spellings are one class already
        spellings = [variant for variant in found if variant.reason == "spelling"]
        apart = any({variant.label.strip(), variant.of.strip()} <= learned for variant in spellings)
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
    one = f"{len(rows):,} row{' has a label' if len(rows) == 1 else 's have labels'}"
    why = "graft takes them as one class, named as most rows write it; other programs do not"
    return Finding(
        "label_variants",
        "note" if folded else "warning",
        f"{one} that differ from another only in {SPELLING}",
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
    one = f"{len(rows):,} row{' has a label' if len(rows) == 1 else 's have labels'}"
    mapping = ",".join(f"{variant.label}={variant.of}" for variant in found)
    reasons = list(dict.fromkeys(REASONS[variant.reason] for variant in found))
    return Finding(
        "label_variants",
        "warning",
        f"{one} that may be another one: they differ in {', '.join(reasons)}",
        rows,
        why=f"each form is learned as a class of its own, of {min(counts[v.label] for v in found):,} rows or more",
        remedy="map those that mean the same; the mapping below proposes all, and you decide",
        fix=f'graft prepare DATA -o OUT --label_mapping "{shown_text(mapping, 400)}"',
        evidence=_listed(found, counts),
        figures=_figures(found, counts),
        side=side.name,
    )


def _rows_with(side: Side, column: LabelColumn, found: Sequence[Variant]) -> Located:
    labels = {variant.label for variant in found}
    return Located(row.origin for row in side.rows if not labels.isdisjoint(column.labels(row.columns)))


def _listed(found: Sequence[Variant], counts: Counter[str]) -> tuple[str, ...]:
    return tuple(
        f"{_quoted(each.label)} ({counts[each.label]:,}) may be {_quoted(each.of)} ({counts[each.of]:,}): {each.reason}"
        for each in found[:MOST_SHOWN]
    )


def _quoted(label: str) -> str:
    return f'"{shown_text(label)}"'


def _figures(found: Sequence[Variant], counts: Counter[str]) -> dict[str, Any]:
    listed = [{"label": each.label, "of": each.of, "reason": each.reason, "rows": counts[each.label]} for each in found]
    return {"variants": listed, "mapping": {each.label: each.of for each in found}}
