"""The rows of the data doctor as a model sees them: tokenized as ``graft finetune`` does, and nothing raised."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.config import DataSettings, DoctorSettings, FinetuneSettings, ModelSettings
from graft.data.chat_template import Renderer
from graft.data.checks import CheckedData, Side, TokenizedSide, Tokens
from graft.data.columns import ColumnMapping
from graft.data.example import Example, Origin
from graft.data.example_set import ExampleSet
from graft.data.located import Located
from graft.data.pipeline import Prepared
from graft.data.readers import Row
from graft.data.sources import Loaded
from graft.data.token_table import TokenTable
from graft.data.tokenize import TokenizedExample
from graft.errors import Problems, shorten
from graft.models.base import Base, load_tokenizer, resolve
from graft.planning.continuing import Parent, continued, head_of
from graft.planning.long_rows import Sides, raised_limit
from graft.planning.settings import finetune_settings
from graft.progress import Reporter
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding, model_limit, reads_no_more, resolve_max_length
from graft.tasks.open import run_template
from graft.tasks.select import choose_task


@dataclass(frozen=True)
class CheckedModel:
    """A model without its weights, and the settings of a training of it.

    Attributes:
        settings: The settings that the doctor was given, completed by the run or the adapter that is named.
        base: The model.
        tokenizer: Its tokenizer, with the chat template that is used.
        parent: The run or the adapter; None for a plain model.
    """

    settings: FinetuneSettings
    base: Base
    tokenizer: Any
    parent: Parent | None = None
    _tasks: list[Task] = field(default_factory=list, repr=False, compare=False)

    def recognize(self, rows: Sequence[Row], settings: DataSettings) -> ColumnMapping:
        """Return how the task that the model and the rows are for reads the rows.

        Raises:
            InputError: If the model cannot do the task, or the columns do not fit it.
        """
        if not self._tasks:
            self._tasks.append(choose_task(self.settings.task, self.base, rows, settings)[0])
        asked = Renderer(self.tokenizer).generation_prompt() if settings.text_template is not None else None
        return self._tasks[0].recognize(rows, settings, asked)

    def tokens_of(self, data: CheckedData, loaded: Loaded) -> Tokens | None:
        """Return the rows of all sides but ``against`` as the model sees them; None where they are not recognized.

        What hinders the training as a whole, such as a single class, is added to the faults of the data.
        """
        if data.mapping is None or not self._tasks:
            return None
        with data.faults.collecting():
            return self._tokens(data, loaded, data.mapping)
        return None

    def _tokens(self, data: CheckedData, loaded: Loaded, mapping: ColumnMapping) -> Tokens:
        task, judged = self._tasks[0], ExampleSet.of([]) if data.eval is None else data.eval.examples
        read = replace(mapping, labels=data.labels)
        prepared = Prepared(data.train.examples, judged, read, loaded.source, loaded.eval_source, {}, [])
        space = head_of(self.parent, task.label_space(prepared), loaded.source.path)
        length = resolve_max_length(self.settings, self.tokenizer, self.base)
        encoding = Encoding(self.tokenizer, space, length, self.settings.loss_on)
        sides = [_tokenized(side, task, encoding) for side in (data.train, data.eval) if side is not None]
        tables = Sides(sides[0].rows, sides[1].rows if len(sides) > 1 else TokenTable([]))
        is_open = self.settings.max_length is None and self.settings.on_long is None
        return Tokens(
            tokenizer=self.tokenizer,
            sides=sides,
            max_length=length,
            raised=raised_limit(tables, length, self.tokenizer, self.base) if is_open else length,
            limit=model_limit(self.tokenizer, self.base),
            reads_no_more=reads_no_more(self.base),
            on_long=self.settings.on_long,
            ends=frozenset(_special(self.tokenizer)),
            template_ends=Renderer(self.tokenizer).template_ends if self.tokenizer.chat_template else None,
            preview=lambda row: task.preview(row, encoding),
        )


def open_checked_model(settings: DoctorSettings, reporter: Reporter) -> CheckedModel:
    """Return the model that the rows are to be trained with. Its weights are not loaded.

    Raises:
        InputError: If there is no such model, or it cannot be opened.
    """
    known = {*ModelSettings.model_fields, *DataSettings.model_fields}
    given = {name: getattr(settings, name) for name in settings.model_fields_set & known}
    whole, parent = continued(finetune_settings(given), reporter)
    base = parent.base if parent is not None else resolve(whole, reporter)
    run = parent.opened.run if parent is not None else None
    template = run_template(run, base) if run is not None else None
    tokenizer = load_tokenizer(base, whole.chat_template or template, whole.chat_template_kwargs)
    return CheckedModel(whole, base, tokenizer, parent)


def _tokenized(side: Side, task: Task, encoding: Encoding) -> TokenizedSide:
    """The rows of a side, and those that cannot be tokenized."""
    problems, asked, refused = Problems(), deque[Origin](), Located()
    rows = TokenTable(_followed(task.encode(_noted(side.examples, asked), encoding, problems), asked, refused))
    shorten(problems, "rows like these")
    needed = _needed(rows, encoding.max_length, task.two_texts)
    return TokenizedSide(side.name, rows, needed, refused, tuple(problems.found))


def _noted(examples: Iterable[Example], asked: deque[Origin]) -> Iterator[Example]:
    """The examples, their places put into a queue."""
    for example in examples:
        asked.append(example.origin)
        yield example


def _followed(rows: Iterable[TokenizedExample], asked: deque[Origin], refused: Located) -> Iterator[TokenizedExample]:
    """The rows; those that are missing between them, which keep their order, are added to ``refused`` once."""
    last: Origin | None = None
    for row in rows:
        while asked and (origin := asked.popleft()) != row.origin:
            last = _once(refused, origin, last)
        yield row
    for origin in asked:
        last = _once(refused, origin, last)


def _once(places: Located, origin: Origin, last: Origin | None) -> Origin:
    if origin != last:
        places.add(origin)
    return origin


def _needed(rows: TokenTable, limit: int, two_texts: bool) -> NDArray[np.int64]:
    """The limit that would hold each row."""
    whole = np.maximum(rows.prompt_lengths, rows.lengths - rows.prompt_lengths) if two_texts else rows.lengths
    return np.where(rows.cut > 0, limit + rows.cut, whole)


def _special(tokenizer: Any) -> set[int]:
    added = tokenizer.added_tokens_decoder.items()
    return {*tokenizer.all_special_ids, *(number for number, token in added if token.special)}
