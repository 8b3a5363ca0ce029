"""The inputs of training rows in other words, by a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graft.config import Settings, setting
from graft.data.example import AnswerExample
from graft.data.language import language_of
from graft.data.readers import Row
from graft.data.spool import Joined, Spool
from graft.data.steps.added import (
    Source,
    Sources,
    Taken,
    check_train,
    input_of,
    judged_texts,
    made_before,
    near_texts,
    sources_of,
    words,
)
from graft.data.steps.base import Action, Change, Sides, StepContext
from graft.data.steps.teacher import Written
from graft.errors import InputError

WAYS = (
    "in other words",
    "in a shorter way",
    "in another order, with other words",
    "as somebody else would say it",
    "in simpler words",
)
"""How a paraphrase differs; greedy decoding would write the same text for the same request."""
LONGEST, TOKENS = 2.0, 256
"""The most times longer, and shorter, that a paraphrase is than its source; the usual most tokens of one."""
NEAR = 0.8
"""The Jaccard similarity of letters in fives from which a text repeats another."""
_NUMBER = re.compile(r"\d+")


class ParaphraseSettings(Settings):
    """How many paraphrases there are."""

    paraphrase: int | None = setting(
        None, "number of paraphrases to add for each training row, written by --teacher", ge=1, le=len(WAYS)
    )


class Paraphrase:
    """Copies of training rows in other words, written by a model and checked; the answers are not changed."""

    name = "paraphrase"
    title = "add paraphrases of training rows, written by a model"
    safe = False
    Config = ParaphraseSettings

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the sides with the copies behind the rows to train on.

        Raises:
            InputError: If there is no teacher, or rows of this kind have no copies.
            GraftError: If the teacher fails.
        """
        rows = sides["train"]
        check_train(rows, self.name)
        if context.teacher is None:
            remedy = "--endpoint URL --teacher NAME, or --teacher RUN_OR_MODEL"
            raise InputError("no model is given that writes paraphrases", where=f"--{self.name}", remedy=remedy)
        sources = Sources(context.mapping(rows), context.settings, self.name)
        taken = Taken.of(sides, context)
        asked = list(_asked(rows, sources, taken, context.config.paraphrase or 1))
        if not asked:
            return sides
        written = context.teacher.write([each.example for each in asked], TOKENS)
        added = Spool(_kept(asked, written, taken, sides, context))
        context.reporter.note(
            f"kept {len(added):,} of {len(asked):,} paraphrases; changes.jsonl gives the reason for each of the others"
        )
        return {**sides, "train": Joined([rows, added])} if added else sides


@dataclass(frozen=True)
class _Asked:
    """A row, and the request for its paraphrase."""

    source: Source
    number: int
    example: AnswerExample


def _asked(rows: Sequence[Row], sources: Sources, taken: Taken, copies: int) -> Iterator[_Asked]:
    there: set[tuple[str, int]] = set()
    for key, number, row in made_before(rows, Paraphrase.name):
        there.add((key, number))
        taken.add(input_of(row, sources))
    for source in sources_of(rows, sources, taken):
        for number in range(copies if source is not None else 0):
            if source is not None and (source.key, number) not in there:
                there.add((source.key, number))
                yield _Asked(source, number, _request(source, number))


def _request(source: Source, number: int) -> AnswerExample:
    asked = (
        f"Write the text below {WAYS[number]}. Keep its meaning, its tone, its language, and every name and number. "
        f"Answer with the new text only.\n\n{source.text}"
    )
    return AnswerExample(({"role": "user", "content": asked},), "", source.row.origin)


def _kept(
    asked: Sequence[_Asked], written: Sequence[Written], taken: Taken, sides: Sides, context: StepContext
) -> Iterator[Row]:
    assert context.teacher is not None
    about, texts = context.teacher.about(), [_bare(answer.text) for answer in written]
    near = near_texts(texts, (each.source.text for each in asked if each.number == 0))
    near_judged = near_texts(texts, judged_texts(sides, context))
    for number, (each, answer, text) in enumerate(zip(asked, written, texts, strict=True)):
        source = each.source
        why = answer.fault or fault(source.text, text, source.answer_words)
        if not why and number in near_judged:
            why = "it is nearly the text of an evaluation row"
        if not why and number in near:
            why = "it is nearly the text of another row"
        if not why and taken.is_judged([text]):
            why = "it is the text of an evaluation row"
        if not why and not taken.add(text):
            why = "another row has this text"
        place, before = str(source.place[0]), source.text
        said = f"the paraphrase was dropped: {why}" if why else WAYS[each.number]
        action: Action = "dropped" if why else "added"
        context.log.add(Change(Paraphrase.name, action, source.row.origin, "train", said, place, before, text))
        if not why:
            yield source.made(text, {"step": Paraphrase.name, "copy": each.number, **about})


def _bare(text: str) -> str:
    """The text without the quotation marks that models put around it."""
    text = text.strip()
    for left, right in (('"', '"'), ("“", "”"), ("«", "»"), ("„", "“")):
        if (
            len(text) > 1
            and text.startswith(left)
            and text.endswith(right)
            and text.count(left) + text.count(right) in (2, 4)
        ):
            return text[1:-1].strip()
    return text


def fault(source: str, text: str, answer: frozenset[str] = frozenset()) -> str:
    """Return why a text is no paraphrase of another, in one clause; empty where nothing speaks against it.

    Args:
        source: The text.
        text: What is said to be a paraphrase.
        answer: Words of the answer, which are kept where the text has them.
    """
    if not text:
        return "it is empty"
    if not 1 / LONGEST <= len(text) / len(source) <= LONGEST:
        return f"it has {len(text):,} letters, and the text {len(source):,}"
    if similarity(source, text) >= NEAR:
        return "it is nearly the same text"
    if sorted(_NUMBER.findall(source)) != sorted(_NUMBER.findall(text)):
        return "its numbers differ"
    lost = sorted(answer & set(words(source)) - set(words(text)))
    if lost:
        return f"it lacks {lost[0]!r}, which the answer has"
    one, other = language_of(source), language_of(text)
    return f"it is in another language ({other}, not {one})" if one and other and one != other else ""


def similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of the runs of five letters of two texts; from 0 (none in common) to 1."""
    left, right = (_fives(text) for text in (one, other))
    return len(left & right) / max(1, len(left | right))


def _fives(text: str) -> set[str]:
    whole = " ".join(words(text))
    return {whole[place : place + 5] for place in range(max(1, len(whole) - 4))}
