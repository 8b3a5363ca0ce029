"""A column mapping: ``call`` is the prompt, and ``echo`` the answer."""

from graft.data.columns.base import mapping_by_name
from graft.data.example import AnswerExample


def call_echo(columns, rows, settings, labels):
    """The mapping of rows with these two columns; None of others."""
    if not {"call", "echo"} <= set(columns):
        return None

    def convert(row, origin):
        return [AnswerExample(({"role": "user", "content": row["call"]},), row["echo"], origin)]

    return mapping_by_name("call/echo", ("call", "echo"), convert)
