"""Names of columns that graft knows, however they are spelled."""

from __future__ import annotations

from collections.abc import Iterable

from graft.data.columns import names
from graft.data.columns.names import ANSWERS, DOCUMENTS, LABELS, SUMMARIES, TEXTS
from graft.data.columns.pairs import PAIRS, SIMILARITY
from graft.data.columns.tagged import SPANS, TAGS, WORDS
from graft.data.readers.plain import bare_names
from graft.data.templates import folded

KNOWN = frozenset(
    {
        *(*ANSWERS, *DOCUMENTS, *LABELS, *SUMMARIES, *TEXTS, *SPANS, *TAGS, *WORDS, *SIMILARITY, *names.KNOWN),
        *(name for pair in PAIRS for name in pair),
        *("prompt", "instruction", "input", "context", "question", "answers", "rejected"),
    }
)


def known_names(written: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a row's columns, those that are known in another spelling as they are known.

    A name that is there in its own spelling is not given to another column: of ``text`` and ``Text``, the latter stays.
    """
    bare = bare_names(written)
    return tuple(_known(name, bare) for name in bare)


def _known(name: str, others: Iterable[str]) -> str:
    known = folded(name)
    return known if name not in KNOWN and known in KNOWN and known not in others else name
