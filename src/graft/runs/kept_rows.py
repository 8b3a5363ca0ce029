"""The rows that a run keeps in ``data/train.jsonl`` and ``data/eval.jsonl``, checked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.data.example import Example, TaggedExample
from graft.data.rows import from_row
from graft.documents import REMEDY, lines_of, parse_json
from graft.errors import InputError
from graft.runs.links import refuse_links
from graft.runs.record import Record, validate


class _Message(Record):
    role: str


class _KeptRow(Record):
    """What a line may have; which keys it needs depends on the kind of the row."""

    origin: Annotated[str, Field(pattern=r":\d{1,15}$")] = ":0"
    prompt: str | Annotated[list[_Message], Field(min_length=1)] | None = None
    completion: str | None = None
    text: str | None = None
    label: str | None = None
    labels: list[str] | None = None
    tokens: list[str] | None = None
    tags: list[str] | None = None
    first: str | None = None
    second: str | None = None
    similarity: float | None = None
    words: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    answer: dict[str, Any] | None = None
    template_kwargs: dict[str, Any] | None = None
    columns: dict[str, str | None] | None = None


def read_kept_rows(path: Path, kind: str = "", most: int | None = None) -> list[Example]:
    """Return the rows in a file of a run's data.

    Args:
        path: The file.
        kind: What the run recognized the columns as; see ``from_row``.
        most: The number of rows after which reading ends.

    Raises:
        InputError: If the file cannot be read, it or its folder is a link, or a row is damaged.
    """
    return list(islice(kept_rows(path, kind), most))


def kept_rows(path: Path, kind: str = "") -> Iterator[Example]:
    """Yield the rows in a file of a run's data, as ``read_kept_rows`` does, one at a time.

    Raises:
        InputError: As ``read_kept_rows``, once the damaged row is reached.
    """
    return (kept_row(line, f"{path}:{number}", kind) for number, line in _lines(path))


def draw_kept_rows(path: Path, count: int, seed: int, kind: str = "") -> list[Example]:
    """Return rows in a file of a run's data, drawn with ``seed``: those of ``random.sample`` over all rows.

    Args:
        path: The file.
        count: The number of rows; all of them where there are fewer.
        seed: The seed.
        kind: What the run recognized the columns as; see ``from_row``.

    Raises:
        InputError: If the file cannot be read, it or its folder is a link, or a row that was drawn is damaged; no
            others are looked at.
    """
    numbers = [number for number, _ in _lines(path)]
    chosen = random.Random(seed).sample(numbers, min(count, len(numbers)))
    wanted = set(chosen)
    found = {number: kept_row(line, f"{path}:{number}", kind) for number, line in _lines(path) if number in wanted}
    return [found[number] for number in chosen]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    refuse_links(path.parent.parent, (path.parent.name,))
    return ((number, line) for number, line in lines_of(path) if not line.isspace())


def kept_row(line: str, where: str, kind: str = "") -> Example:
    """Return a line of a run's data as an example.

    Raises:
        InputError: If it is damaged.
    """
    document = parse_json(line, where)
    validate(_KeptRow, document, where)
    given = {key: value for key, value in document.items() if value is not None}
    try:
        found = from_row(given, kind)
    except KeyError as error:
        raise InputError(f"the key {error} is missing", where=where, remedy=REMEDY) from None
    except (ValueError, TypeError, AttributeError) as error:  # the forms of graft 0.1, where a text holds a value
        raise InputError(f"this row is damaged: {error}", where=where, remedy=REMEDY) from None
    if isinstance(found, TaggedExample) and len(found.words) != len(found.tags):
        what = f"this row has {len(found.words)} words and {len(found.tags)} tags"
        raise InputError(what, where=where, remedy=REMEDY)
    return found
