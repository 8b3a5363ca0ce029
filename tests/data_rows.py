"""Rows as a loader gives them, without files."""

from graft.config import DataSettings
from graft.data.clean import to_examples
from graft.data.columns import recognise
from graft.data.example import Origin
from graft.data.readers import Row


def made(*columns):
    return [Row(dict(row), Origin("rows.jsonl", number)) for number, row in enumerate(columns, 1)]


def examples_of(*columns, generation_prompt=None, **settings):
    """The recipe and the examples of rows with these columns."""
    rows = made(*columns)
    recipe = recognise(rows, DataSettings(**settings), generation_prompt)
    return recipe, to_examples(rows, recipe)
