"""Data, from files to examples on two sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graft.config import DataSettings
from graft.data.chat_template import Renderer
from graft.data.columns import ColumnMapping, recognize
from graft.data.example import AnswerExample, Example
from graft.data.inferred import InferredSetting
from graft.data.quality import summarize, to_examples, without_duplicates
from graft.data.sources import Loaded, Source, load_rows
from graft.data.split import check_learnable, hold_out, sample, usual_share
from graft.errors import Problems

MOST_CLASSES = 50
LONGEST_CLASS = 60
ROWS_A_CLASS = 5


@dataclass(frozen=True)
class Prepared:
    train: list[Example]
    eval: list[Example]
    mapping: ColumnMapping
    source: Source
    eval_source: Source | None
    summary: dict[str, Any]
    inferred: list[InferredSetting]


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
) -> Prepared:
    """Load (unless they are ``loaded``), recognize, clean and split.

    ``tokenizer`` tells where its turns begin, for a ``text_template``; ``recognize`` finds what the columns are for.

    Raises:
        InputError: with everything that is wrong with the data.
    """
    loaded = loaded or load_rows(settings)
    generation = Renderer(tokenizer).generation_prompt() if tokenizer is not None else None
    mapping = recognize(loaded.train, settings, generation)
    examples, held = _both(loaded, mapping, settings)
    mapping = replace(mapping, labels=_classes(mapping, examples))
    examples, doubled = without_duplicates(examples)
    said = list(mapping.inferred)
    examples = _no_more(examples, settings.max_train_samples, seed, mapping.labels, said)
    check_learnable(examples, mapping.labels, held is None)
    if held is None:
        share = settings.eval_share or usual_share(len(examples))
        examples, held = hold_out(examples, share, seed, mapping.labels)
        mix = ", with the same mix of answers" if mapping.labels else ""
        why = f"{len(held):,} of {len(held) + len(examples):,} rows{mix}"
        if settings.eval_share is None:
            said.append(InferredSetting("eval_share", round(share, 3), why))
    if settings.max_eval_samples and len(held) > settings.max_eval_samples:
        held = _sample(held, settings.max_eval_samples, seed, mapping.labels)
    if mapping.labels:
        said.append(InferredSetting("labels", mapping.labels, f"{len(mapping.labels)} different answers"))
    summary = summarize(examples, held, doubled, mapping.labels)
    return Prepared(examples, held, mapping, loaded.source, loaded.eval_source, summary, said)


def _both(loaded: Loaded, mapping: ColumnMapping, settings: DataSettings) -> tuple[list[Example], list[Example] | None]:
    """The examples of both sides; what is wrong on either is said together."""
    problems = Problems()
    sides: list[list[Example]] = []
    for rows in (loaded.train, loaded.eval or []):
        with problems.collecting():
            sides.append(to_examples(rows, mapping))
    problems.raise_if_any()
    return sides[0], None if loaded.eval is None else sides[1]


def _no_more(
    examples: list[Example], most: int | None, seed: int, labels: Sequence[str] | None, said: list[InferredSetting]
) -> list[Example]:
    """At most so many rows of the training file, and what was done in ``said``."""
    if most is None:
        return examples
    drawn, rows = sample(examples, most, seed, labels)
    if rows > most:
        mix = ", with the same mix of answers" if labels else ""
        said.append(InferredSetting("max_train_samples", most, f"drawn of {rows:,} rows by the seed{mix}"))
    return drawn


def _sample(examples: list[Example], count: int, seed: int, labels: Sequence[str] | None) -> list[Example]:
    _, kept = hold_out(examples, count / len(examples), seed, labels)
    return kept[:count]


def _classes(mapping: ColumnMapping, examples: Sequence[Example], known: list[str] | None = None) -> list[str] | None:
    return None if mapping.names is not None else known or mapping.labels or find_labels(examples)


def find_labels(examples: Sequence[Example]) -> list[str] | None:
    """The classes, where answers are few, short, and each given often."""
    if any(isinstance(e, AnswerExample) and (e.answer is not None or e.prompt == "") for e in examples):
        return None
    counts = Counter(example.reference.strip() for example in examples)
    few = 2 <= len(counts) <= MOST_CLASSES and len(examples) >= ROWS_A_CLASS * len(counts)
    if few and all(len(answer) <= LONGEST_CLASS and "\n" not in answer for answer in counts):
        return sorted({example.reference for example in examples})
    return None


def read_examples(
    settings: DataSettings,
    labels: list[str] | None = None,
    tokenizer: Any = None,
    recognize: Callable[..., ColumnMapping] = recognize,
    token: str | None = None,
) -> Read:
    """All rows of some files as examples, in the shape ``settings`` say; nothing is held out or left out.

    Of a folder or a hub data set it is the test split, where there is one.

    Raises:
        InputError: with everything that is wrong with the data.
    """
    loaded = load_rows(settings, token, prefer=("test", "validation", "train"))
    generation = Renderer(tokenizer).generation_prompt() if tokenizer is not None else None
    mapping = recognize(loaded.train, settings, generation, labels)
    examples = to_examples(loaded.train, mapping)
    return Read(examples, replace(mapping, labels=_classes(mapping, examples, labels)), loaded.source)
