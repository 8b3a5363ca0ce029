"""The fixed parts that most texts of a column share: ``### Question:`` before, ``Answer in one word.`` behind."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from graft.data.readers import Row
from graft.data.speakers import known_role

SHARE = 0.8
"""Of the texts, for a part to be the usual one."""
NEARLY = 0.95
"""The share of rows with an instruction from which on all are expected to have one."""
_CUTS = re.compile(r"[:\n]|[.!?](?=\s)")
_BLANKS = re.compile(r"\s{1,20}")
_MOST_PARTS = 6
_LONGEST = 300
"""Characters at either end in which a fixed part is looked for."""
_MARKER = re.compile(r"^[ \t]{0,8}([#*<\[|]{1,4} ?[A-Za-z][\w ]{0,30}[\])|>*]{0,3}:?|[A-Z][\w ]{0,24}:)", re.MULTILINE)
"""The beginning of a line that names what follows."""
_STRUCTURED = re.compile(r"\s{0,20}[\[{<`]|\s{0,20}(?:def|class|function|import|var|const|let)\b")
"""JSON, markup and code share beginnings that are no frame."""
_MOST_COUNTED = 20_000
_INSTRUCTIONS = frozenset(("system", "developer", "instruction"))
"""Columns and roles whose whole text may be the same in most rows."""
_NAMED = "human|user|assistant|question|instruction|prompt|input|output|answer|response"
_FRAMED = re.compile(
    rf"\s{{0,20}}(?:#{{2,4}} ?(?:{_NAMED}|task|system)\b|\[INST\]|<\|\w{{2,30}}\|>|(?:{_NAMED}|q|a):\s)", re.IGNORECASE
)
"""How texts begin that were put into a template."""


@dataclass
class Frame:
    """What texts of a column have in common.

    Attributes:
        prefix: How most begin.
        suffix: How most end.
        markers: Beginnings of lines that most have.
        bare: Whether most are in no template.
        tail: The blanks that most end with; None where they differ.
        expected: Whether it is an instruction that nearly all rows have, whatever it says.
    """

    prefix: str = ""
    suffix: str = ""
    markers: frozenset[str] = frozenset()
    bare: bool = False
    tail: str | None = None
    expected: bool = False

    def lacking(self, text: str) -> str | None:
        """Return which part a text lacks, in words; None if it has all."""
        if not text.startswith(self.prefix):
            return f"does not begin with {self.prefix!r}"
        bare = text.rstrip()
        if not bare.endswith(self.suffix):
            return f"does not end with {self.suffix!r}"
        if self.suffix and self.tail is not None and text[len(bare) :] != self.tail:
            return f"ends with {self.suffix + text[len(bare) :]!r}, and most with {self.suffix + self.tail!r}"
        framed = _FRAMED.match(text) if self.bare else None
        if framed:
            return f"begins with {framed[0].strip()!r}"
        missing = sorted(self.markers - _markers(text))
        return f"has no {missing[0]!r}" if missing else None

    def __bool__(self) -> bool:
        return bool(self.prefix or self.suffix or self.markers or self.bare or self.expected)


@dataclass
class _Counts:
    texts: int = 0
    prefixes: Counter[str] = field(default_factory=Counter)
    suffixes: Counter[str] = field(default_factory=Counter)
    markers: Counter[str] = field(default_factory=Counter)
    tails: Counter[str] = field(default_factory=Counter)
    framed: int = 0

    def add(self, text: str, is_instruction: bool) -> None:
        self.texts += 1
        self.framed += _FRAMED.match(text) is not None
        if is_instruction:
            self.prefixes[text] += 1
        if not is_structured(text):
            self.prefixes.update(_beginnings(text))
            self.suffixes.update(_endings(text.rstrip()))
            self.markers.update(_markers(text))
            self.tails[text[len(text.rstrip()) :]] += 1
        for counter in (self.prefixes, self.suffixes, self.markers, self.tails):
            if len(counter) > _MOST_COUNTED:  # what is rare by now is not the usual part
                for name, _ in counter.most_common()[_MOST_COUNTED // 10 :]:
                    del counter[name]

    def frame(self, expected: bool = False) -> Frame:
        """The longest parts that most texts have."""
        usual = [
            max((part for part, n in counter.items() if n >= SHARE * self.texts), key=len, default="")
            for counter in (self.prefixes, self.suffixes)
        ]
        common = {part for part, n in self.markers.items() if n >= SHARE * self.texts}
        bare = 0 < self.framed <= (1 - SHARE) * self.texts and not any(usual)
        tail = next((tail for tail, n in self.tails.items() if n >= SHARE * self.texts), None)
        return Frame(usual[0], usual[1], frozenset(common), bare, tail, expected)


def frames(rows: Sequence[Row], columns: frozenset[str] | None) -> dict[str, Frame]:
    """Return the fixed parts of each column, and of the first message of each role; only where there are some.

    Args:
        rows: The rows; of many, every n-th is counted.
        columns: The columns to look at; None for all.
    """
    counts: defaultdict[str, _Counts] = defaultdict(_Counts)
    number = 0
    for row in islice(rows, None, None, 1 + len(rows) // _MOST_COUNTED):
        number += 1
        for slot, text in slots(row.columns, columns):
            counts[slot].add(text, slot.rpartition(".")[2] in _INSTRUCTIONS)
    found = {slot: each.frame(slot in _INSTRUCTIONS and each.texts >= NEARLY * number) for slot, each in counts.items()}
    return {slot: frame for slot, frame in found.items() if frame}


def slots(row: Mapping[str, object], columns: frozenset[str] | None) -> Iterator[tuple[str, str]]:
    """Yield the texts of a row that a template may have made: ``prompt``, or ``messages.user`` for the first of a role.

    Args:
        row: Its columns.
        columns: Those to look at; None for all.
    """
    for name, value in row.items():
        if columns is not None and name not in columns:
            continue
        if isinstance(value, str):
            if value.strip():
                yield name, value
        elif isinstance(value, list):
            yield from _first_of_roles(name, value)


def is_structured(text: str) -> bool:
    """Return whether a text is JSON, markup, or code, by how it begins."""
    return _STRUCTURED.match(text) is not None


def _first_of_roles(name: str, messages: list[object]) -> Iterator[tuple[str, str]]:
    seen = set()
    for message in messages:
        if isinstance(message, Mapping):
            role = known_role(message.get("role") or message.get("from"))
            content = message.get("content") or message.get("value")
            if role is not None and role not in seen and isinstance(content, str) and content.strip():
                seen.add(role)
                yield f"{name}.{role}", content


def _beginnings(text: str) -> set[str]:
    """The beginnings of a text up to a line end, a colon, or the end of a sentence; more follows each."""
    ends = [found.end() for found, _ in zip(_CUTS.finditer(text, 0, _LONGEST), range(_MOST_PARTS), strict=False)]
    parts = {text[:end].rstrip("\n") for end in ends if end < len(text)}
    return {whole for part in parts if _is_fixed(part) for whole in (part, part + _blanks(text, len(part)))}


def _blanks(text: str, start: int) -> str:
    """The blanks from a place on, if more follows."""
    found = _BLANKS.match(text, start)
    return found[0] if found and found.end() < len(text) else ""


def _endings(text: str) -> set[str]:
    """The ends of a text from a line end or the end of a sentence; more stands before each."""
    start = max(0, len(text) - _LONGEST)
    cuts = [
        found.end() for found in _CUTS.finditer(text, start) if found.end() < len(text) and text[found.start()] != ":"
    ]
    return {part for cut in cuts[-_MOST_PARTS:] if _is_fixed(part := text[cut:].lstrip())}


def _is_fixed(part: str) -> bool:
    """Whether a part can be one of a template: two words, or a word that names what follows."""
    return len(part.split()) > 1 or part.rstrip().endswith(":") or part.startswith("#")


def _markers(text: str) -> frozenset[str]:
    return frozenset(found[1].strip() for found in _MARKER.finditer(text))
