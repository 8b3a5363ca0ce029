"""A check of data with an option of its own: texts in capital letters."""

from graft.config import Settings, setting
from graft.data.checks import Finding, texts_of
from graft.data.located import Located


class ShoutingConfig(Settings):
    """Options of ``Shouting``."""

    most_capitals: float = setting(0.7, "share of capital letters from which a text is shouted", gt=0, le=1)


class Shouting:
    """Finds rows with a text in capital letters; ``graft finetune`` runs it before training."""

    name = "shouting"
    title = "Texts in capital letters"
    quick = True
    Config = ShoutingConfig

    def examine(self, data, config):
        columns = data.read_columns()
        for side in data.sides:
            rows = Located(row.origin for row in side.rows if self._is_shouted(row, columns, config.most_capitals))
            if rows:
                title = f"{len(rows):,} {'row is' if len(rows) == 1 else 'rows are'} in capital letters"
                yield Finding("shouting", "warning", title, rows, remedy="write them as they are read", side=side.name)

    @staticmethod
    def _is_shouted(row, columns, most):
        return any(sum(map(str.isupper, text)) >= most * max(8, len(text)) for _, text in texts_of(row, columns))
