"""What is wrong with rows, and what is too much of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from graft.data.columns import Recipe
from graft.data.example import Example
from graft.data.readers import Row
from graft.errors import GraftError, Problems, shorten


def to_examples(rows: Sequence[Row], recipe: Recipe) -> list[Example]:
    """The examples of all rows.

    Raises:
        InputError: naming by file and line the rows without a column the recipe reads, and those with an empty answer.
    """
    problems = Problems()
    examples: list[Example] = []
    for row in rows:
        missing = [name for name in recipe.columns if row.columns.get(name) is None and not _optional(recipe, name)]
        if missing:
            there = ", ".join(row.columns) or "none"
            what = "there is no" if any(name not in row.columns for name in missing) else "there is nothing in"
            problems.add(
                f"{what} {', '.join(missing)} (the columns are {there})", row.origin.file + f":{row.origin.line}"
            )
            continue
        try:
            made = recipe.convert(row.columns, row.origin)
        except GraftError as error:
            problems.found.extend(error.problems)
            continue
        for example in made:
            if not example.completion.strip() and example.answer is None:
                problems.add("the answer is empty", str(example.origin), "fill it in or remove the row")
        examples += [normalised(example) for example in made]
    shorten(problems, "rows like these")
    problems.raise_if_any()
    return examples


def _optional(recipe: Recipe, name: str) -> bool:
    return name == "tools"


def normalised(example: Example) -> Example:
    """Line ends as ``\\n``, and no blanks at the end of the answer, which a model would learn."""
    completion = example.completion.replace("\r\n", "\n")
    return replace(example, completion=completion.rstrip() if isinstance(example.prompt, tuple) else completion)


def prompt_key(example: Example) -> str:
    """What makes two prompts the same text: letter case and white space don't."""
    if isinstance(example.prompt, str):
        text = "\n".join(filter(None, (example.prompt or example.completion, example.second)))
    else:
        text = "\n".join(str(message.get("content")) for message in example.prompt)
    return re.sub(r"\s+", " ", text).strip().casefold()


def without_duplicates(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """What is kept, and what stands a second time: the same prompt with the same answer."""
    seen: set[tuple[str, str]] = set()
    kept: list[Example] = []
    doubled: list[Example] = []
    for example in examples:
        key = (prompt_key(example), str(example.answer or example.completion))
        (doubled if key in seen else kept).append(example)
        seen.add(key)
    return kept, doubled
