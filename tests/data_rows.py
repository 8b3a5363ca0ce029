"""Rows as a loader gives them, without files."""

from graft.config import DataSettings
from graft.data.columns import recognize
from graft.data.example import Origin
from graft.data.quality import to_examples
from graft.data.readers import Row


def made(*columns):
    return [Row(dict(row), Origin("rows.jsonl", number)) for number, row in enumerate(columns, 1)]


def examples_of(*columns, generation_prompt=None, **settings):
    """The mapping and the examples of rows with these columns."""
    rows = made(*columns)
    mapping = recognize(rows, DataSettings(**settings), generation_prompt)
    return mapping, to_examples(rows, mapping)
