"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from graft.config import DataSettings
from graft.data.columns import Recipe
from graft.data.example import Example
from graft.data.pipeline import Prepared
from graft.data.readers import Row
from graft.data.tokenize import Encoded
from graft.errors import InputError, Problems
from graft.evaluation.metrics import choose
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import Predictor
from graft.methods.base import Method
from graft.models.base import Base
from graft.models.load import Kind, kind_of
from graft.training.objective import Objective

TEMPLATES = frozenset({"text_template", "prompt_template", "completion_template"})
"""Settings that say which columns are the prompt and which the answer."""


@dataclass(frozen=True)
class Head:
    """What a model's head chooses from, in the order of its outputs; ``problem`` as in transformers' configuration."""

    names: tuple[str, ...] = ()
    problem: str | None = None

    def as_config(self) -> dict[str, Any]:
        """Entries of the model's configuration."""
        if not self.names:
            return {}
        config: dict[str, Any] = {
            "id2label": dict(enumerate(self.names)),
            "label2id": {name: index for index, name in enumerate(self.names)},
        }
        return {**config, "problem_type": self.problem} if self.problem else config

    def as_record(self) -> dict[str, Any]:
        """As the manifest keeps it; ``Head.of_record`` reads it back."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Head:
        return cls(tuple(record.get("names") or ()), record.get("problem"))

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Head:
        """The head that a model folder's configuration describes."""
        names = config.get("id2label") or {}
        ordered = tuple(str(names[key]) for key in sorted(names, key=int))
        return cls(ordered, config.get("problem_type"))


@dataclass(frozen=True)
class Codec:
    """What examples become tokens with."""

    tokenizer: Any
    head: Head
    max_length: int
    loss_on: str = "completion"


def longest_row(settings: DataSettings, tokenizer: Any, base: Base) -> int:
    """The longest row in tokens: as given, else what the model can read, at most 1024.

    Raises:
        InputError: when more is asked for than an encoder has places for.
    """
    config = base.text_config
    limit: int = config.get("max_position_embeddings") or config.get("n_positions") or 1024
    limit = min(
        limit, max(8, int(tokenizer.model_max_length))
    )  # encoders may count places from an offset; tokenizers know
    if settings.max_length is None:
        return min(1024, limit)
    if kind_of(config) == "encoder" and settings.max_length > limit:
        raise InputError(f"this model reads {limit} tokens at most, not {settings.max_length}", where="--max_length")
    return settings.max_length


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

    def recognise(
        self,
        rows: Sequence[Row],
        settings: DataSettings,
        generation_prompt: str | None = None,
        labels: list[str] | None = None,
    ) -> Recipe:
        """What the columns are for.

        Raises:
            InputError: when the task can make nothing of them.
        """
        ...

    def head(self, data: Prepared) -> Head:
        """The head that the data need.

        Raises:
            InputError: when the data don't fit the task.
        """
        ...

    def encode(self, examples: Sequence[Example], codec: Codec, problems: Problems) -> list[Encoded]:
        """Rows as the model reads them; what cannot be encoded becomes a problem with its file and line."""
        ...

    def show(self, row: Encoded, codec: Codec) -> tuple[str, str]:
        """What the model reads, and what it is trained to give, for ``--dry_run``."""
        ...

    def objective(self, head: Head) -> Objective | None:
        """Batches and outputs for the loss; None for the engine's own: the next token."""
        ...

    def predictor(self, name: str, model: Any, codec: Codec, adapter: bool | None = None) -> Predictor:
        """The model as evaluation asks it; ``adapter`` as ``TorchPredictor`` has it."""
        ...

    def answers(self, head: Head) -> tuple[Need, ...]:
        """What the predictor can be asked for."""
        ...

    def metrics(self, head: Head) -> tuple[str, ...] | None:
        """What is measured when nothing is asked for, the headline first; None: what fits the answers."""
        ...


def usual_rate(task: Task, method: Method) -> float:
    """The learning rate to start from, where none is given."""
    return task.learning_rates.get(method.name, method.learning_rate)


def check_metrics(names: Sequence[str] | None, task: Task, head: Head, labels: Sequence[str] | None) -> None:
    """Whether what is asked for exists and can be measured: said before any training.

    Raises:
        InputError: naming every metric that is unknown, or needs what the task doesn't give.
    """
    if names is None:
        return
    wrong = [metric.name for metric in choose(names, [], labels) if metric.needs not in task.answers(head)]
    if wrong:
        usual = ", ".join(task.metrics(head) or ())
        remedy = f"--metrics {usual}" if usual else "leave --metrics away"
        raise InputError(f"{', '.join(wrong)} cannot be measured of {task.name}", where="--metrics", remedy=remedy)
