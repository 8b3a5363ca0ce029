"""Rows whose answers a teacher writes: distillation, and synthetic data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graft.config import Listed, Settings, setting
from graft.config.types import Paths
from graft.data.against import prompts_against
from graft.data.checks import CHECKS, CheckedData, Side, run_checks
from graft.data.example import AnswerExample, Origin
from graft.data.example_set import ExampleSet, prompt_key, text_hash
from graft.data.faults import Faults
from graft.data.near import near_twins
from graft.data.provenance import PROVENANCE
from graft.data.quality import to_examples
from graft.data.readers import Row
from graft.data.sources import load_rows, settings_of_files
from graft.data.spool import Joined, Spool
from graft.data.steps.added import Taken
from graft.data.steps.base import JUDGED, Change, Sides, StepContext
from graft.data.steps.prompts import PromptForm, form_of
from graft.data.steps.teacher import Teacher, Written
from graft.errors import GraftError, InputError

TOKENS, TOKENS_OF_LABELS = 512, 32
FORM = ("encoding", "control_characters")
"""The checks of the data doctor that answers have to pass."""
_REFUSAL = re.compile(
    r"i['’]?m (really |very )?sorry,? but"
    r"|i (cannot|can['’]?t|am unable to|am not able to) (assist|help|provide|comply|fulfill)"
    r"|as an ai( language model| assistant)?,? i",
    re.IGNORECASE,
)


class GenerateSettings(Settings):
    """The prompts, and what answers may be."""

    generate: Paths | None = setting(
        None, "files with prompts (prompt, messages, or text) that --teacher answers; the new rows are training rows"
    )
    generate_limit: int | None = setting(None, "maximum number of prompts to read (default: all)", gt=0)
    generate_labels: Listed | None = setting(
        None, "labels that answers must be; others are dropped (default: those of the data)"
    )


class Generate:
    """Rows from prompts, with the answers of a teacher, which are checked."""

    name = "generate"
    title = "add rows: prompts with answers written by a teacher"
    safe = False
    Config = GenerateSettings

    def check(self, config: GenerateSettings) -> None:
        """Check that there are prompts.

        Raises:
            InputError: If none are given.
        """
        if not config.generate:
            raise InputError("no prompts are given", where="--generate", remedy="--generate prompts.jsonl")

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the sides with the rows behind those to train on.

        Raises:
            InputError: If there is no teacher, or the prompts cannot be read or do not fit the data.
            GraftError: If the teacher fails; its answers so far are kept.
        """
        config, teacher = context.config, _teacher(context)
        prompts = load_rows(settings_of_files(context.settings, config.generate)).train
        train = sides.get("train", ())
        form = form_of(prompts, train, context.settings, config.generate_labels)
        asked = _asked(prompts[: config.generate_limit], form, sides, context)
        written = teacher.write([each.example for each in asked], TOKENS_OF_LABELS if form.labels else TOKENS)
        added = Spool(_kept(asked, written, form, context))
        context.reporter.note(
            f"kept {len(added):,} of {len(asked):,} answers; changes.jsonl gives the reason for each of the others"
        )
        if not added and not train:
            raise _none_left(context)
        return {**sides, "train": Joined([train, added]) if train else added} if added else sides


def _none_left(context: StepContext) -> InputError:
    """Say why there is nothing to train on: the commonest reasons."""
    dropped = (change.why for change in context.log.changes if change.step == Generate.name)
    reasons = [f"{why} ({count:,})" for why, count in Counter(dropped).most_common(3)]
    what = f"no answer can be trained on: {'; '.join(reasons) or 'there are no prompts'}"
    return InputError(what, where="--generate", remedy="look at the prompts, --max_new_tokens, and --generate_labels")


def _teacher(context: StepContext) -> Teacher:
    """The teacher.

    Raises:
        InputError: If there is none.
    """
    if context.teacher is None:
        remedy = "--endpoint URL --teacher NAME, or --teacher RUN_OR_MODEL"
        raise InputError("no teacher is given that answers the prompts", where="--generate", remedy=remedy)
    return context.teacher


@dataclass(frozen=True)
class _Asked:
    """A row, and its prompt."""

    row: Row
    example: AnswerExample


def _asked(prompts: Sequence[Row], form: PromptForm, sides: Sides, context: StepContext) -> list[_Asked]:
    """The prompts to send: each once, none that a training row has, and none of an evaluation row.

    Raises:
        InputError: Naming the rows that cannot be asked.
    """
    train, taken, faults = sides.get("train", ()), Taken.of(sides, context), Faults()
    known = set(to_examples(train, form.mapping, Faults()).prompts.tolist()) if train else set()
    there, asked = set(known), list[_Asked]()
    for row in prompts:
        try:
            example = form.asked(row)
        except GraftError as error:
            faults.take(error.problems, str(row.origin))
            continue
        key = text_hash(prompt_key(example))
        if taken.is_judged(form.texts(row)):
            _drop(context, row.origin, "it is the prompt of an evaluation row, so it is not asked")
        elif key in there and key not in known:
            _drop(context, row.origin, "the prompt repeats an earlier one, so it is asked once")
        elif key not in there:
            asked.append(_Asked(row, example))
        there.add(key)
    faults.raise_if_any()
    near = _near_judged(asked, form, sides, context)
    for place in near:
        _drop(context, asked[place].row.origin, "it is nearly the prompt of an evaluation row, so it is not asked")
    return [each for place, each in enumerate(asked) if place not in near]


def _near_judged(asked: Sequence[_Asked], form: PromptForm, sides: Sides, context: StepContext) -> set[int]:
    """The places of prompts that are nearly those of evaluation rows."""
    judged = [to_examples(sides[side], form.mapping, Faults()) for side in JUDGED if sides.get(side)]
    if context.against and asked:
        first = asked[0]
        answered = form.answered(first.row, next(iter(form.labels), "…"), first.example)
        sample = first.row if form.is_text else replace(first.row, columns=answered)
        judged.append(prompts_against(context.against, [sample], form.mapping, faults := Faults()))
        faults.raise_if_any()
    prompts = ExampleSet.of([each.example for each in asked])
    return {
        place for rows in judged if asked for place in np.flatnonzero(near_twins(prompts, rows).places >= 0).tolist()
    }


def _drop(context: StepContext, origin: Origin, why: str, column: str = "", answer: str = "") -> None:
    context.log.add(Change(Generate.name, "dropped", origin, "train", why, column, after=answer))


def _kept(asked: Sequence[_Asked], written: Sequence[Written], form: PromptForm, context: StepContext) -> Iterator[Row]:
    """The rows with answers that can be trained on."""
    assert context.teacher is not None
    about, unclean = context.teacher.about(), _unclean(asked, written)
    for place, (each, answer) in enumerate(zip(asked, written, strict=True), 1):
        label = form.label(answer.text) if form.labels else None
        why = answer.fault or unclean.get(place, "") or _fault(answer.text, form, label)
        if why:
            _drop(context, each.row.origin, f"the answer was dropped: {why}", form.column, answer.text)
            continue
        text = label or answer.text
        marked = {"step": Generate.name, **about, "source": str(each.row.origin)}
        columns = {**form.answered(each.row, text, each.example), PROVENANCE: marked}
        said, column = "answered by the teacher", form.column
        context.log.add(Change(Generate.name, "added", each.row.origin, "train", said, column, after=text))
        yield Row(columns, replace(each.row.origin, added=True))


def _fault(text: str, form: PromptForm, label: str | None) -> str:
    if not text.strip():
        return "it is empty"
    if form.labels and label is None:
        return f"it is not one of the labels {', '.join(list(form.labels)[:10])}"
    if not form.labels and _REFUSAL.match(text.strip()):
        return "the teacher refused to answer"
    return ""


def _unclean(asked: Sequence[_Asked], written: Sequence[Written]) -> dict[int, str]:
    """What the data doctor's checks of form say of the answers, by their number from 1."""
    rows = [Row({"answer": answer.text}, Origin("", place)) for place, answer in enumerate(written, 1)]
    checks = [name for name in FORM if name in CHECKS.names()]
    found = run_checks(CheckedData(Side("train", rows, ExampleSet.of([]))), checks) if rows else []
    return {origin.line: each.kind.replace("_", " ") for each in found for origin in each.rows}
