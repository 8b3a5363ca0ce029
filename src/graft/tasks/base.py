"""The contract of a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol

from graft.config import DataSettings, Settings
from graft.data.columns import ColumnMapping
from graft.data.example import Example
from graft.data.pipeline import Prepared
from graft.data.readers import Row
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError, Problems, did_you_mean
from graft.evaluation.metrics import METRICS, get_metric, select_metrics
from graft.evaluation.metrics.base import Metric, Need
from graft.inference.predictor import Predictor, Within
from graft.methods.base import Method
from graft.models.load import Kind
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace

if TYPE_CHECKING:
    from graft.tasks.snippet import Usage
    from graft.training.objective import Objective

TEMPLATES = frozenset({"text_template", "prompt_template", "completion_template", "column_mapping"})
"""Settings that say which columns are the prompt and which the answer."""


class Task(Protocol):
    """A task: turns rows into model inputs, selects the model class, and defines the objective and the metrics.

    A task is one file. Subclass this class and override what differs; the attributes with a value are optional.

    Attributes:
        name: The name on the command line and in the manifest.
        kinds: The kinds of models that can do it.
        auto_class: The class of transformers that loads them.
        learning_rates: The default learning rate by method, where it differs from the method's own.
        uses: The settings that this task uses and not every task does. Giving one to a task without it is an error.
        title: The name in a sentence.
        help: One sentence on what the model does.
        Config: Options that only this task has. They are automatically options of ``graft finetune``, and ``recognize``
            finds them among its settings.
        aliases: Other names that users may type.
        hub_tag: ``pipeline_tag`` of a model card on the Hugging Face hub; the name where it is empty.
        priority: The order in which tasks are tried on rows whose task is not named: lower ones first.
        default_for: The kinds of models that do this task unless the rows or the user say otherwise.
        head_suffix: The end of the class name of a model with this task's head, such as ``ForTokenClassification``;
            empty for a task that needs no head.
        chat: The form of a chat with the model: several turns, single inputs, or none.
        two_texts: Whether a row is two texts, each of at most ``max_length`` tokens.
        export_targets: The names of the built-in targets that can export such a model, the default first. A target of
            an extension decides for itself.
    """

    name: str
    kinds: tuple[Kind, ...]
    auto_class: str
    learning_rates: Mapping[str, float]
    uses: frozenset[str]
    title: str = ""
    help: str = ""
    Config: type[Settings] = Settings
    aliases: tuple[str, ...] = ()
    hub_tag: str = ""
    priority: int = 50
    default_for: tuple[Kind, ...] = ()
    head_suffix: str = ""
    chat: Literal["multi-turn", "single-turn", "none"] = "single-turn"
    two_texts: bool = False
    export_targets: tuple[str, ...] = ()

    def fits(self, columns: Sequence[str], row: Mapping[str, Any], kind: Kind | None = None) -> bool:
        """Return whether rows with these columns are clearly meant for this task.

        Args:
            columns: The names of the columns.
            row: The first row.
            kind: The kind of the model, or None when it is not known yet.
        """
        ...

    def recognize(
        self,
        rows: Sequence[Row],
        settings: DataSettings,
        generation_prompt: str | None = None,
        labels: list[str] | None = None,
    ) -> ColumnMapping:
        """Return the column mapping.

        Raises:
            InputError: If the columns do not fit the task.
        """
        ...

    def label_space(self, data: Prepared) -> LabelSpace:
        """Return the labels that the model's head must have; an empty label space for a task without a head.

        Raises:
            InputError: If the data do not fit the task.
        """
        ...

    def encode(self, examples: Iterable[Example], encoding: Encoding, problems: Problems) -> Iterable[TokenizedExample]:
        """Return the rows as the model reads them.

        Args:
            examples: The rows.
            encoding: The tokenizer, the labels and the limits.
            problems: Gets a problem, with file and line, for each row that cannot be encoded.
        """
        ...

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        """Return what the model reads and what it is trained to give, as ``--dry_run`` shows them."""
        ...

    def objective(self, label_space: LabelSpace) -> Objective | None:
        """Return how batches are made and what the loss is computed of; None for the engine's own: the next token."""
        ...

    def predictor(self, name: str, model: Any, encoding: Encoding, within: Within = nullcontext) -> Predictor:
        """Return the predictor that evaluation uses.

        Args:
            name: The predictor's name in the results, such as ``base`` or ``tuned``.
            model: The PyTorch model.
            encoding: The tokenizer, the labels and the limits.
            within: A context for predictions; it makes a tuned model behave like its base (``Method.disabled``).
        """
        ...

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        """Return the capabilities of the predictor. A metric that needs something else does not fit the task."""
        ...

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        """Return what is measured unless metrics are named, the headline first; None for what fits the answers."""
        ...

    def snippet(self, usage: Usage) -> str:
        """Return Python code that loads the tuned model and uses it on one input, for the model card and the report."""
        ...


def default_learning_rate(task: Task, method: Method[Any]) -> float:
    """Return the learning rate for a method on a task, where the user gives none."""
    return task.learning_rates.get(method.name, method.learning_rate)


def check_metrics(
    names: Sequence[str] | None,
    task: Task,
    label_space: LabelSpace,
    labels: Sequence[str] | None,
    normalize: Sequence[str] = (),
) -> None:
    """Check before training that the named metrics exist and can be measured.

    Raises:
        InputError: Naming every metric that is unknown, or that needs what the task does not provide.
    """
    if names is None:
        return
    provided = task.provides(label_space)
    wrong = [metric.name for metric in select_metrics(names, [], labels, normalize) if metric.needs not in provided]
    if wrong:
        defaults = ", ".join(task.default_metrics(label_space) or ())
        remedy = f"--metrics {defaults}" if defaults else "omit --metrics"
        raise InputError(f"{', '.join(wrong)} cannot be measured for {task.name}", where="--metrics", remedy=remedy)


def monitored_metric(name: str, task: Task, label_space: LabelSpace, labels: Sequence[str] | None) -> Metric:
    """Return the metric that selects the best weights while training.

    Raises:
        InputError: If there is none of this name, or it cannot be measured, with those that can.
    """
    where = "--metric_for_best_model"
    provided = task.provides(label_space)
    known = (METRICS.get(each) for each in METRICS.builtin)
    fitting = [each.name for each in known if each.needs in provided and (labels or each.needs != "choice")]
    what = f"choose loss, {', '.join(fitting)}, or a metric of your own as path/to/file.py:name"
    try:
        metric = get_metric(name)
    except InputError as error:
        near = did_you_mean(name, [*fitting, "loss"])
        raise InputError(error.problems[0].what, where=where, remedy=f"{near} {what}".strip()) from error
    if metric.needs not in provided or (metric.needs == "choice" and not labels):
        raise InputError(f"{name} cannot be measured for {task.name} on these rows", where=where, remedy=what)
    return metric
