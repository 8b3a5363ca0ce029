"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from graft.config import DataSettings
from graft.data.columns import ColumnMapping
from graft.data.example import Example
from graft.data.pipeline import Prepared
from graft.data.readers import Row
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError, Problems
from graft.evaluation.metrics import select_metrics
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import Predictor
from graft.methods.base import Method
from graft.models.load import Kind
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.training.objective import Objective

TEMPLATES = frozenset({"text_template", "prompt_template", "completion_template"})
"""Settings that say which columns are the prompt and which the answer."""


class Task(Protocol):
    """How rows become a model's inputs, which class loads the model, and what it is trained on and judged by."""

    name: str
    kinds: tuple[Kind, ...]
    """The models that can do it."""
    auto_class: str
    """The class of transformers that loads them."""
    learning_rates: Mapping[str, float]
    """By method, where the method's own doesn't suit."""
    uses: frozenset[str]
    """Those settings that mean something to it and not to every task; that another task's is given is an error."""

    def fits(self, columns: Sequence[str], row: Mapping[str, Any]) -> bool:
        """Whether rows with these columns, such as ``row``, are plainly meant for this task."""
        ...

    def recognize(
        self,
        rows: Sequence[Row],
        settings: DataSettings,
        generation_prompt: str | None = None,
        labels: list[str] | None = None,
    ) -> ColumnMapping:
        """What the columns are for.

        Raises:
            InputError: when the task can make nothing of them.
        """
        ...

    def label_space(self, data: Prepared) -> LabelSpace:
        """The head that the data need.

        Raises:
            InputError: when the data don't fit the task.
        """
        ...

    def encode(self, examples: Sequence[Example], encoding: Encoding, problems: Problems) -> list[TokenizedExample]:
        """Rows as the model reads them; what cannot be encoded becomes a problem with its file and line."""
        ...

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        """What the model reads, and what it is trained to give, for ``--dry_run``."""
        ...

    def objective(self, label_space: LabelSpace) -> Objective | None:
        """Batches and outputs for the loss; None for the engine's own: the next token."""
        ...

    def predictor(self, name: str, model: Any, encoding: Encoding, adapter: bool | None = None) -> Predictor:
        """The model as evaluation asks it; ``adapter`` as ``TorchPredictor`` has it."""
        ...

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        """What the predictor can be asked for."""
        ...

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        """What is measured when nothing is asked for, the headline first; None: what fits the answers."""
        ...


def default_learning_rate(task: Task, method: Method) -> float:
    """The learning rate to start from, where none is given."""
    return task.learning_rates.get(method.name, method.learning_rate)


def check_metrics(
    names: Sequence[str] | None, task: Task, label_space: LabelSpace, labels: Sequence[str] | None
) -> None:
    """Whether what is asked for exists and can be measured: said before any training.

    Raises:
        InputError: naming every metric that is unknown, or needs what the task doesn't give.
    """
    if names is None:
        return
    wrong = [
        metric.name for metric in select_metrics(names, [], labels) if metric.needs not in task.provides(label_space)
    ]
    if wrong:
        usual = ", ".join(task.default_metrics(label_space) or ())
        remedy = f"--metrics {usual}" if usual else "leave --metrics away"
        raise InputError(f"{', '.join(wrong)} cannot be measured of {task.name}", where="--metrics", remedy=remedy)
