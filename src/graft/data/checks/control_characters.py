"""Characters that nobody sees, and that a model is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from graft.data.checks.base import Finding, prepare_command
from graft.data.checks.spotted import Spotted, around, counted_rows
from graft.data.checks.view import CheckedData, texts_of
from graft.data.mojibake import repaired
from graft.data.unseen import controls, invisible


class _Kind(NamedTuple):
    """A kind of finding: how it is found, and what is said of it."""

    name: str
    find: Callable[[str], list[tuple[int, int]]]
    what: str
    why: str


_KINDS = (
    _Kind(
        "control_characters",
        controls,
        "control characters",
        "they are damage, or the output of a terminal; the model learns to write them",
    ),
    _Kind(
        "invisible_characters",
        invisible,
        "characters without width, or marks that reorder text",
        "nobody sees them, and they split words into other tokens than the model knows",
    ),
)


class ControlCharacters:
    """Control characters, and characters without width where no script needs them."""

    name = "control_characters"
    title = "Control characters"

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield a finding for each kind and each side."""
        for side in data.own_sides:
            spotted = {kind.name: Spotted() for kind in _KINDS}
            for row in side.rows:
                for place, text in texts_of(row, data.read_columns()):
                    if text.isprintable():
                        continue
                    whole = repaired(text)  # in a wrong encoding half of a letter may be a control character
                    for kind in _KINDS:
                        for start, end in kind.find(whole)[:1]:
                            spotted[kind.name].add(row.origin, partial(around, place, whole, start, end))
            for kind in _KINDS:
                found = spotted[kind.name]
                if len(found):
                    yield Finding(
                        kind.name,
                        "warning",
                        f"{counted_rows(len(found), 'has', 'have')} {kind.what}",
                        found.rows,
                        why=kind.why,
                        remedy="remove them",
                        fix=prepare_command("--steps control_characters"),
                        evidence=tuple(found.evidence),
                        side=side.name,
                    )
