"""Special tokens and turn markers that stand in rows as plain text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from graft.data.chat_template import Renderer
from graft.data.checks.base import Finding, many
from graft.data.checks.view import CheckedData, Side, Tokens
from graft.data.example import THINK, THOUGHT, AnswerExample, Example
from graft.data.located import Located
from graft.data.turn_markers import FAMILIES
from graft.data.values import listed_names

_SHAPE = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|<</?SYS>>|</?[A-Za-z][\w-]{0,30}>|\[/?[A-Za-z_]{2,20}\]"
)
"""What special tokens look like, in all known families."""
_ANY_MODEL = re.compile(r"<\|\w{2,40}\|>|<｜[^<>｜\s]{2,40}｜>")
_KNOWN = frozenset(
    (
        *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>", "<eos>", "<bos>"),
        *(end for family in FAMILIES for end in family.ends if end != "</s>"),
    )
)
"""Markers of well-known families that don't look like ``<|…|>``. ``<s>`` and ``</s>`` are also tags of HTML."""
_SENTENCE = re.compile(r"\A\s*<s>|</s>\s*\Z")
_NO_ROLES = ("text", "input")
MOSTLY = 0.5
"""The share of rows of plain text with markers from which on the markers are their form."""


class SpecialTokens:
    """Special tokens of the model, and turn markers of other models, as plain text inside rows."""

    name = "special_tokens"
    title = "Special tokens"
    quick = True

    def examine(self, data: CheckedData, config: Any) -> Iterator[Finding]:
        """Yield the rows with special tokens of the model, and those with markers of other models."""
        markers = _Markers.of(data.tokens)
        for side in data.own_sides:
            yield from _examined(side, markers)


class _Text(NamedTuple):
    """A text of a row, and whose it is: a role, or ``text`` where the model reads it as it stands."""

    role: str
    text: str


class _Markers(NamedTuple):
    """What special tokens there are.

    Attributes:
        special: Those of the model; None without one.
        ends: Those that are taken from the end of an answer.
    """

    special: frozenset[str] | None
    ends: tuple[str, ...] = ()

    @classmethod
    def of(cls, tokens: Tokens | None) -> _Markers:
        """Return those of the model, or of all well-known ones."""
        if tokens is None:
            return cls(None)
        tokenizer = tokens.tokenizer
        special = {str(tokenizer.convert_ids_to_tokens(number)) for number in tokens.ends}
        template = str(tokenizer.chat_template or "")
        special |= {text for text in _SHAPE.findall(template) if text in _KNOWN or _ANY_MODEL.fullmatch(text)}
        return cls(frozenset(special), Renderer(tokenizer).ends)

    def found(self, given: _Text) -> Iterator[tuple[str, bool]]:
        """Yield the markers in a text, and whether each is a special token of the model."""
        text = given.text
        if "<" not in text and "[" not in text:
            return
        if given.role == "assistant":
            text = self._without_end(text)
        for marker in _SHAPE.findall(text):
            if self.special is not None and marker in self.special and not _is_thought(marker, given):
                yield marker, True
            elif marker in _KNOWN or _ANY_MODEL.fullmatch(marker) or _is_stray_thought(marker, given):
                yield marker, self.special is None
        for marker in _SENTENCE.findall(text):
            if self.special is None or marker.strip() not in self.special:
                yield marker.strip(), self.special is None

    def _without_end(self, text: str) -> str:
        bare = text.rstrip()
        while end := next((end for end in self.ends if bare.endswith(end)), ""):
            bare = bare.removesuffix(end).rstrip()
        return bare


def _is_thought(marker: str, given: _Text) -> bool:
    return marker in (THINK, THOUGHT) and not _is_stray_thought(marker, given)


def _is_stray_thought(marker: str, given: _Text) -> bool:
    """Whether a tag of reasoning stands elsewhere than around what an answer begins with."""
    if marker not in (THINK, THOUGHT):
        return False
    counts = given.text.count(THINK), given.text.count(THOUGHT)
    whole = given.text.lstrip().startswith(THINK) and counts == (1, 1)
    return not (given.role == "text" or (given.role == "assistant" and (whole or counts == (0, 1))))


@dataclass
class _Found:
    """The rows with markers of one kind, and in how many rows each is."""

    rows: Located = field(default_factory=Located)
    counts: Counter[str] = field(default_factory=Counter)
    evidence: list[str] = field(default_factory=list)

    def add(self, origin: Any, markers: dict[str, str]) -> None:
        """Add a row with its markers, and the role of the text that each is in."""
        self.rows.add(origin)
        self.counts.update(list(markers))
        if len(self.evidence) < 5:
            first, role = next(iter(markers.items()))
            where = "the text" if role in _NO_ROLES else f"a message of the {role}"
            self.evidence.append(f"{origin}: {first} in {where}")


def _examined(side: Side, markers: _Markers) -> Iterator[Finding]:
    own, foreign, total, plain = _Found(), _Found(), 0, 0
    for origin, examples in groupby(side.examples, key=lambda example: example.origin):
        total += 1
        *_, last = examples  # the last answer of a conversation is to all turns before it
        texts = list(_texts(last))
        plain += bool(texts) and texts[0].role == "text"
        found = [(marker, text.role, is_own) for text in texts for marker, is_own in markers.found(text)]
        for kind, chosen in ((own, True), (foreign, False)):
            here = {marker: role for marker, role, is_own in found if is_own is chosen}
            if here:
                kind.add(origin, here)
    are_form = plain > MOSTLY * total and len(own.rows) > MOSTLY * total
    if own.rows and not are_form:
        yield _own(own, side, markers.special is not None)
    if foreign.rows:
        yield _foreign(foreign, side)


def _texts(example: Example) -> Iterator[_Text]:
    if not isinstance(example, AnswerExample):
        yield _Text("input", example.input_text)
    elif isinstance(example.prompt, str):
        yield _Text("text", example.prompt + example.completion)
    else:
        for message in example.prompt:
            yield _Text(str(message["role"]), str(message.get("content") or ""))
        yield _Text("assistant", example.completion)


def _named(found: _Found) -> str:
    return listed_names([marker for marker, _ in found.counts.most_common()])


def _own(found: _Found, side: Side, is_known: bool) -> Finding:
    why = "the tokenizer makes control tokens of them: a turn begins or ends in the middle of a text"
    if not is_known:
        why = "they are control tokens of well-known models: where the model has them, a turn begins or ends there"
    return Finding(
        "special_tokens",
        "warning",
        f"{many(len(found.rows), 'row has', 'rows have')} special tokens as plain text: {_named(found)}",
        found.rows,
        why=f"{why} ({len(found.rows) / max(1, len(side.rows) or len(side.examples)):.1%} of the rows)",
        remedy="remove them; where a text is a whole conversation, give it as messages",
        evidence=tuple(found.evidence),
        figures={"rows_by_token": dict(found.counts.most_common(50))},
        side=side.name,
    )


def _foreign(found: _Found, side: Side) -> Finding:
    return Finding(
        "foreign_markers",
        "warning",
        f"{many(len(found.rows), 'row has', 'rows have')} turn markers of other models: {_named(found)}",
        found.rows,
        why="they are no special tokens of this model, which would read and learn to write them as plain text",
        remedy="remove them, or give the conversations as messages, which the model's own template writes",
        evidence=tuple(found.evidence),
        figures={"rows_by_token": dict(found.counts.most_common(50))},
        side=side.name,
    )
