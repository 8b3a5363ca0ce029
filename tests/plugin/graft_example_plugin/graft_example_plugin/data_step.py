"""A step of ``graft prepare`` with an option of its own: texts are cut behind some words."""

from dataclasses import replace

from graft.config import Settings, setting
from graft.data.steps import Change, each_row


class ShortenConfig(Settings):
    """Options of ``Shorten``."""

    most_words: int = setting(5, "number of words to keep of a text", gt=0)


class Shorten:
    """Cuts the texts of rows."""

    name = "shorten"
    title = "truncate texts after some words"
    safe = False
    Config = ShortenConfig

    def apply(self, sides, context):
        most = context.config.most_words

        def change(row, side):
            columns = {name: self._cut(value, most) for name, value in row.columns.items()}
            for name, value in row.columns.items():
                if columns[name] != value:
                    why = f"more than {most} words"
                    context.log.add(Change(self.name, "changed", row.origin, side, why, name, value, columns[name]))
            return replace(row, columns=columns)

        return each_row(sides, change)

    @staticmethod
    def _cut(value, most):
        return " ".join(value.split(" ")[:most]) if isinstance(value, str) else value
