"""Texts that are rendered already, with the answers found by the marker before them (``--response_template``).

The marker is looked for in the text, not among its tokens: a tokenizer may split the same marker in another way where
other letters stand around it, so that a search among tokens misses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from graft.config import DataSettings
from graft.data.columns.base import ColumnMapping, by_name
from graft.data.example import AnswerExample, Example, Origin, as_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.data.templates import Template, check_names, parse_template
from graft.data.turn_markers import TURN_MARKERS, family_of, without_end
from graft.data.values import listed_names
from graft.errors import InputError, Problems

_STARTS = ("<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>")
"""Beginning tokens, which templates write anew before each user's turn."""


class _Span(NamedTuple):
    """A part of a text, as an answer or a marker."""

    start: int
    stop: int


@dataclass(frozen=True)
class RenderedText:
    """Finds the answers in a text.

    Attributes:
        response: The text before each answer, blanks around it included.
        instruction: The text before each following prompt; None where no answer is followed by one.
    """

    response: str
    instruction: str | None = None

    def answers(self, text: str) -> list[_Span]:
        """Return each answer; of several without a known end the last alone, since others would run on."""
        markers = _places(text, self.response)
        ends = family_of(self.response).ends
        if not ends and self.instruction is None:
            markers = markers[-1:]
        stops = [*(marker.start for marker in markers), len(text)][1:]
        return [self._answer(text, m.stop, stop, ends) for m, stop in zip(markers, stops, strict=True)]

    def _answer(self, text: str, start: int, stop: int, ends: Sequence[str]) -> _Span:
        """The answer from ``start``: up to its end token, else up to the next prompt, and at most to ``stop``."""
        closed = [
            found.stop for end in ends for found in _occurrences(text[:stop], end, start) if _ends_turn(text, found)
        ]
        if closed:
            return _Span(start, min(closed))
        following = _places(text[:stop], self.instruction, start) if self.instruction else []
        if following:
            stop = following[0].start
        return _Span(start, _without_starts(text, start, stop) if stop < len(text) else stop)


def _ends_turn(text: str, end: _Span) -> bool:
    """Whether a turn ends here: with the text, or before another marker; ``</s>`` is HTML, too."""
    return text[end.stop :].lstrip()[:1] in {"", "<", "["}


def _places(text: str, marker: str, start: int = 0) -> list[_Span]:
    """Where ``marker`` is in ``text``; the blanks around it may differ where it is not there as it is written."""
    exact = list(_occurrences(text, marker, start))
    core = marker.strip()
    if exact or core == marker:
        return exact
    after = marker[len(marker.rstrip()) :]
    bare = _occurrences(text, core, start)
    return [_Span(s, e + _shared(after, text[e : e + len(after)])) for s, e in bare]


def _shared(one: str, other: str) -> int:
    """The number of letters that both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _occurrences(text: str, part: str, start: int) -> Iterator[_Span]:
    place = text.find(part, start)
    while place >= 0:
        yield _Span(place, place + len(part))
        place = text.find(part, place + len(part))


def _without_starts(text: str, start: int, stop: int) -> int:
    """``stop`` before the blanks and the beginning tokens in front of it, which belong to the next prompt."""
    bare = text[start:stop].rstrip()
    while bare.endswith(_STARTS):
        bare = next(bare[: -len(token)] for token in _STARTS if bare.endswith(token)).rstrip()
    return start + len(bare)


def rendered_text(columns: Sequence[str], rows: Sequence[Row], settings: DataSettings) -> ColumnMapping:
    """Return the mapping of rows whose text is rendered, by ``--response_template``.

    Args:
        columns: The columns that any row has.
        rows: The rows.
        settings: The markers, and the template of the text where it is no column of its own.

    Raises:
        InputError: When there is no text, or the marker is in no row of it.
    """
    response = settings.response_template
    if response is None or not response.strip():
        what = "--instruction_template needs --response_template, which marks where an answer begins"
        raise InputError(what, remedy='for example --response_template "[/INST]"')
    template = _text_template(columns, settings, rows)
    names = tuple(dict.fromkeys(template.names))
    texts = [_text(template, row.columns) for row in rows if all(row.columns.get(name) is not None for name in names)]
    if texts and not any(_places(text, response) for text in texts):
        raise InputError(
            f"no row contains --response_template {response!r}",
            where=str(rows[0].origin),
            remedy=_remedy(texts),
        )
    finder, said = _finder(texts, response, settings.instruction_template)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        """Make an example of each answer, whose prompt is all the text before it."""
        return list(_examples(_text(template, row), finder, origin))

    return ColumnMapping("rendered text", names, convert, None, [by_name("rendered text", *names), *said])


def _text_template(columns: Sequence[str], settings: DataSettings, rows: Sequence[Row]) -> Template:
    """The text as a template: as given, else the column ``text``."""
    if settings.text_template is not None:
        template, problems = parse_template(settings.text_template), Problems()
        check_names(template, columns, "--text_template", problems)
        problems.raise_if_any()
        return template
    if "text" not in columns:
        raise InputError(
            "--response_template marks answers in rendered text, and the rows have no column `text`; "
            f"the columns are: {listed_names(columns)}",
            where=str(rows[0].origin),
            remedy='name the column, as in --text_template "{column}", or omit --response_template: '
            "rows with messages, or with a prompt and an answer, say themselves where answers begin",
        )
    return Template(("", ""), ("text",))


def _text(template: Template, row: Mapping[str, Any]) -> str:
    return template.fill({name: as_text(row[name]) for name in template.names}).replace("\r\n", "\n")


def _finder(texts: Iterable[str], response: str, given: str | None) -> tuple[RenderedText, list[InferredSetting]]:
    """What finds the answers, and what is said of texts with several."""
    several = [text for text in texts if len(_places(text, response)) > 1]
    if given is not None:
        return RenderedText(response, given), []
    known = [mark for mark in family_of(response).instructions if any(mark in text for text in several)]
    if known:
        why = (
            f"{len(several):,} texts have several answers, and {known[0]!r} is known to begin the prompts between them"
        )
        return RenderedText(response, known[0]), [InferredSetting("instruction_template", known[0], why)]
    if several and not family_of(response).ends:
        why = (
            f"{len(several):,} texts have several; --instruction_template, the text before prompts, trains each answer"
        )
        return RenderedText(response), [InferredSetting("trained_answer", "the last of each text", why)]
    return RenderedText(response), []


def _examples(text: str, finder: RenderedText, origin: Origin) -> Iterator[AnswerExample]:
    """An example for each answer in ``text``; blanks before it are its own, as tokenizers join one with a word.

    Raises:
        InputError: When there is no marker, or nothing after one.
    """
    found = finder.answers(text)
    if not found:
        raise InputError(
            f"the text does not contain --response_template {finder.response!r}, so it has no answer to train on",
            where=str(origin),
            remedy="remove the row, or correct its text",
        )
    for start, stop in found:
        if not without_end(text[start:stop]).strip():
            raise InputError("the answer is empty", where=str(origin), remedy="fill it in, or remove the row")
        prompt = text[:start].rstrip(" \t")
        yield AnswerExample(prompt, text[len(prompt) : stop], origin)


def _remedy(texts: Sequence[str]) -> str:
    """What to give in place of a marker that is in no row."""
    found = common_marker(texts)
    begins = texts[0][:100] + ("…" if len(texts[0]) > 100 else "")
    return f"the rows contain {found!r}" if found else f"give the text before the answers; the first row is {begins!r}"


def common_marker(texts: Sequence[str]) -> str | None:
    """Return the turn marker that most of ``texts`` contain, the longest first; None where there is none."""
    return next((marker for marker in TURN_MARKERS if 2 * sum(marker in text for text in texts) > len(texts)), None)
