"""How findings name rows and quote them."""

from __future__ import annotations

import numpy as np

from graft.data.example_set import ExampleSet, Places
from graft.data.located import Located
from graft.data.personal import shown_text


def at(examples: ExampleSet, places: Places) -> Located:
    """Return where the rows of some examples are, each row once."""
    _, first = np.unique(examples.origins[places], return_index=True)
    return Located(example.origin for example in examples.take(places[np.sort(first)]))


def first_rows(examples: ExampleSet) -> Places:
    """Return the place of the first example of each row."""
    return np.unique(examples.origins, return_index=True)[1]


def opening(examples: ExampleSet) -> str:
    """Return the words that prompts begin with, such as an instruction: they are not worth quoting."""
    chosen = [examples[place].prompt_text for place in (0, len(examples) // 2, len(examples) - 1)]
    first, last = min(chosen), max(chosen)
    length = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), 0)
    return first[: max(first.rfind(" ", 0, length), first.rfind("\n", 0, length)) + 1]


def quoted(examples: ExampleSet, place: int) -> str:
    """Return where an example is and how its prompt goes: ``rows.jsonl:3 “Anger is ugly.”``."""
    example = examples[place]
    text = (example.prompt_text or example.reference).removeprefix(opening(examples))
    return f"{example.origin} “{shown_text(text)}”"
