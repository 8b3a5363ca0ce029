"""The data pipeline: from files to training and held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from graft.config import DataSettings
from graft.data.chat_template import Renderer
from graft.data.checks.base import Finding
from graft.data.classes import spelling_warnings
from graft.data.columns import ColumnMapping, recognize
from graft.data.columns.several import check_used
from graft.data.example import AnswerExample, Example
from graft.data.example_set import ExampleSet
from graft.data.faults import Faults
from graft.data.ignored import check_ignored
from graft.data.inferred import InferredSetting
from graft.data.kept_columns import check_kept
from graft.data.quality import label_counts, summarize, to_examples, without_duplicates
from graft.data.readers import Row
from graft.data.sources import Loaded, Source, load_readable
from graft.data.split import check_learnable, hold_out, sample, usual_share
from graft.errors import Problems

MOST_CLASSES = 50
LONGEST_CLASS = 60
ROWS_A_CLASS = 5


@dataclass(frozen=True)
class Prepared:
    """Examples to train on and to hold out.

    Attributes:
        train: What is trained on.
        eval: What is held out.
        mapping: How the columns were read.
        source: Where the rows come from.
        eval_source: Where the held-out rows come from, when they were given apart.
        summary: What the data is like, as plain values.
        inferred: What was decided from the data.
        files: The SHA-256 of each file that was read, by its path.
        findings: What the quick checks found, the gravest first.
        eval_rest: What is held out, too, and is not in ``eval`` because of ``--max_eval_samples``.
    """

    train: ExampleSet
    eval: ExampleSet
    mapping: ColumnMapping
    source: Source
    eval_source: Source | None
    summary: dict[str, Any]
    inferred: list[InferredSetting]
    files: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    eval_rest: ExampleSet | None = None


@dataclass(frozen=True)
class Read:
    """Examples to evaluate on."""

    examples: list[Example]
    mapping: ColumnMapping
    source: Source


def prepare(
    settings: DataSettings,
    seed: int,
    tokenizer: Any = None,
    recognize: Callable[..., ColumnMapping] = recognize,
    loaded: Loaded | None = None,
    by: Sequence[str] = (),
) -> Prepared:
    """Load the rows, convert them to examples, and hold some of them out.

    Args:
        settings: Where the rows are and how they are read.
        seed: Decides which rows are drawn and held out.
        tokenizer: Tells where its turns begin, for a ``text_template``.
        recognize: Finds what the columns are for.
        loaded: The rows, when they are loaded already.
        by: Columns whose values are kept, for an evaluation by them.

    Raises:
        InputError: With everything that is wrong with the data.
    """
    loaded = loaded or load_readable(settings)
    mapping, examples, held = _converted(
        loaded, settings, lambda rows: recognize(rows, settings, _generation_prompt(tokenizer)), by
    )
    check_used(settings, mapping, examples[0])
    mapping = replace(mapping, labels=_classes(mapping, examples))
    examples, repeated, warnings = without_duplicates(examples, settings.keep_duplicates)
    said = [*loaded.inferred, *mapping.inferred, *mapping.notes.lines()]
    examples = _drawn(examples, settings.max_train_samples, seed, mapping.labels, said)
    _check_learnable(examples, mapping.labels, held is None, warnings)
    if held is None:
        examples, held = _held_out(examples, settings.eval_share, seed, mapping.labels, said)
    rest = None
    if settings.max_eval_samples and len(held) > settings.max_eval_samples:
        share = settings.max_eval_samples / len(held)
        rest, chosen = hold_out(held, share, seed, mapping.labels)
        held = chosen[: settings.max_eval_samples]
    if mapping.labels:
        said.append(InferredSetting("labels", mapping.labels, f"{len(mapping.labels)} different answers"))
    summary = summarize(examples, mapping.labels)
    removed = 0 if settings.keep_duplicates else repeated
    summary = {"duplicates": removed, **summary, "warnings": [*warnings, *summary["warnings"]]}
    sources = loaded.source, loaded.eval_source
    return Prepared(examples, held, mapping, *sources, summary, said, loaded.files, eval_rest=rest)


def _generation_prompt(tokenizer: Any) -> str | None:
    return Renderer(tokenizer).generation_prompt() if tokenizer is not None else None


class _Converted(NamedTuple):
    """How the columns are read, and the examples of both sides; None where no rows to hold out were given."""

    mapping: ColumnMapping
    train: ExampleSet
    held_out: ExampleSet | None


def _converted(
    loaded: Loaded,
    settings: DataSettings,
    recognize: Callable[[Sequence[Row]], ColumnMapping],
    by: Sequence[str] = (),
) -> _Converted:
    """The examples of both sides.

    Raises:
        InputError: With what is wrong with files, columns and rows on either side, together.
    """
    faults = loaded.faults
    with faults.collecting():
        check_ignored(loaded.train, settings.ignore_columns)
    with faults.collecting():
        check_kept(loaded.train if loaded.eval is None else loaded.eval, by)
    with faults.collecting():
        mapping = replace(recognize(loaded.train), kept=tuple(by))
        train = to_examples(loaded.train, mapping, faults)
        held_out = None if loaded.eval is None else to_examples(loaded.eval, mapping, faults)
        if held_out is not None:
            _refuse_added(held_out, faults)
    faults.raise_if_any()
    return _Converted(mapping, train, held_out)


def _refuse_added(judged: ExampleSet, faults: Faults) -> None:
    """Add a fault where rows to judge by were added by a program, such as copies and a teacher's answers."""
    added = np.flatnonzero(judged.sources).tolist()
    if added:
        first, count = judged[added[0]].origin, len(added)
        what = "a row of those" if count == 1 else f"{count:,} rows of those"
        faults.add(
            f"{what} to judge by was added by graft prepare: a model is judged by what people wrote",
            first,
            "remove such rows",
        )


def _check_learnable(examples: ExampleSet, labels: Sequence[str] | None, whole: bool, removed: Sequence[str]) -> None:
    """As ``check_learnable``; what may be the reason is said with what is missing: rows that were removed, or spelling.

    Raises:
        InputError: When there is too little to learn.
    """
    problems = Problems()
    with problems.collecting():
        check_learnable(examples, labels, whole)
    if problems:
        alike = spelling_warnings(label_counts(examples)) if labels else []
        for said in (*removed, *alike):
            problems.add(said)
    problems.raise_if_any()


def _drawn(
    examples: ExampleSet, most: int | None, seed: int, labels: Sequence[str] | None, said: list[InferredSetting]
) -> ExampleSet:
    """Sample the training rows down to the maximum; records what was done in ``said``."""
    if most is None:
        return examples
    drawn, rows = sample(examples, most, seed, labels)
    if rows > most:
        mix = ", with the same mix of answers" if labels else ""
        said.append(InferredSetting("max_train_samples", most, f"sampled from {rows:,} rows with the seed{mix}"))
    return drawn


def _held_out(
    examples: ExampleSet, share: float | None, seed: int, labels: Sequence[str] | None, said: list[InferredSetting]
) -> tuple[ExampleSet, ExampleSet]:
    """The two sides of the training file, and what was decided in ``said``."""
    own = int(np.count_nonzero(examples.sources == 0))
    chosen = share or usual_share(own)
    train, held = hold_out(examples, chosen, seed, labels)
    left_out = len(examples) - len(train) - len(held)
    if left_out:
        why = "added rows left out: they were made from held-out rows"
        said.append(InferredSetting("eval_share", round(chosen, 3), f"{left_out:,} {why}"))
    if share is None:
        mix = ", with the same mix of answers" if labels else ""
        said.append(InferredSetting("eval_share", round(chosen, 3), f"{len(held):,} of {own:,} rows{mix}"))
    # Where most conversations begin alike, their first turns are on both sides: only what comes after is unseen.
    unseen = ~np.isin(held.prompts, train.prompts) | (held.prompts == 0)
    return train, held.take(unseen) if unseen.any() else held


def _classes(mapping: ColumnMapping, examples: Sequence[Example], known: list[str] | None = None) -> list[str] | None:
    return None if mapping.names is not None else known or mapping.labels or find_labels(examples)


def find_labels(examples: Sequence[Example]) -> list[str] | None:
    """Return the classes, where answers are few, short, and each given often."""
    answers: set[str] = set()
    for example in examples:
        if isinstance(example, AnswerExample) and (example.answer is not None or example.prompt == ""):
            return None
        if example.alternatives:
            return None
        answer = example.reference.strip()
        if len(answer) > LONGEST_CLASS or "\n" in answer:
            return None
        answers.add(example.reference)
        if len(answers) > MOST_CLASSES and len(_stripped(answers)) > MOST_CLASSES:
            return None
    count = len(_stripped(answers))
    return sorted(answers) if count >= 2 and len(examples) >= ROWS_A_CLASS * count else None


def _stripped(answers: Iterable[str]) -> set[str]:
    return {answer.strip() for answer in answers}


def read_examples(
    settings: DataSettings,
    labels: list[str] | None = None,
    generation_prompt: str | None = None,
    recognize: Callable[..., ColumnMapping] = recognize,
    token: str | None = None,
    by: Sequence[str] = (),
) -> Read:
    """Read all rows of some files as examples, in the shape ``settings`` say; nothing is held out or left out.

    Of a folder or a hub data set it is the test split, where there is one.

    Args:
        settings: Where the rows are and how they are read.
        labels: The classes, where they are known already.
        generation_prompt: What the model's chat template puts before an answer, for a ``text_template``.
        recognize: Finds what the columns are for.
        token: The access token for the Hugging Face hub.
        by: Columns whose values are kept, for an evaluation by them.

    Raises:
        InputError: With everything that is wrong with the data.
    """
    loaded = replace(load_readable(settings, token, prefer=("test", "validation", "train")), eval=None)
    mapping, found, _ = _converted(
        loaded, settings, lambda rows: recognize(rows, settings, generation_prompt, labels), by
    )
    _refuse_added(found, faults := Faults())
    faults.raise_if_any()
    examples = list(found)
    return Read(examples, replace(mapping, labels=_classes(mapping, examples, labels)), loaded.source)
