"""Data for the data doctor: what can be read of it, and what is wrong with the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from graft.config import DataSettings
from graft.data.against import load_against, prompts_against
from graft.data.checks import CheckedData, Side
from graft.data.columns import ColumnMapping, recognize
from graft.data.columns.preferences import NAME as CHOSEN
from graft.data.columns.preferences import PreferencesFound
from graft.data.example_set import ExampleSet
from graft.data.faults import Faults
from graft.data.ignored import check_ignored
from graft.data.pipeline import find_labels
from graft.data.quality import to_examples
from graft.data.readers import Row
from graft.data.sources import load_readable
from graft.errors import InputError, Problem
from graft.progress import SILENT, Reporter, enter

if TYPE_CHECKING:
    from graft.planning.checked_tokens import CheckedModel


def read_data(
    settings: DataSettings,
    against: Sequence[str] | None,
    seed: int,
    token: str | None,
    reporter: Reporter = SILENT,
    model: CheckedModel | None = None,
) -> CheckedData:
    """Read rows, and make examples of those that can be.

    Args:
        settings: Where the rows are and how they are read.
        against: Files with further rows to compare with.
        seed: Decides what checks sample.
        token: The access token for the Hugging Face hub.
        reporter: Shows the progress.
        model: The model to train, with which rows are tokenized.

    Raises:
        InputError: If no row can be read at all.
    """
    enter(reporter, "reading")
    loaded = load_readable(settings, token)
    faults, mapping = loaded.faults, None
    with faults.collecting():
        check_ignored(loaded.train, settings.ignore_columns)
    refused: Problem | None = None
    with faults.collecting():
        mapping, refused = _mapping(loaded.train, settings, recognize if model is None else model.recognize)
    other = None if not against else load_against(settings, against, token)
    train = _side("train", loaded.train, mapping, faults, loaded.source.path)
    judged_by = loaded.eval_source.path if loaded.eval_source else ""
    held_out = None if loaded.eval is None else _side("eval", loaded.eval, mapping, faults, judged_by)
    uncompared = Faults() if other is None else other.faults
    compared = None
    if other is not None:
        asked = None if mapping is None else prompts_against(other.train, loaded.train, mapping, uncompared)
        compared = Side("against", other.train, asked or ExampleSet.of([]), ", ".join(against or ()))
    labels = None if mapping is None or mapping.names is not None else mapping.labels or find_labels(train.examples)
    data = CheckedData(train, held_out, compared, mapping, faults, labels, seed, preferences=refused, reporter=reporter)
    data.uncompared = uncompared
    data.tokens = model.tokens_of(data, loaded) if model is not None else None
    return data


def _mapping(
    rows: Sequence[Row], settings: DataSettings, find: Callable[[Sequence[Row], DataSettings], ColumnMapping]
) -> tuple[ColumnMapping | None, Problem | None]:
    """How rows are read; of preferences, how their good answers are, and why they are refused.

    Raises:
        InputError: If the columns are not recognized.
    """
    try:
        return find(rows, settings), None
    except PreferencesFound as error:
        with suppress(InputError):
            return find(rows, settings.model_copy(update={"column_mapping": CHOSEN})), error.problems[0]
        return None, error.problems[0]


def _side(name: str, rows: Sequence[Row], mapping: ColumnMapping | None, faults: Faults, source: str) -> Side:
    """The rows and what can be made of them."""
    examples = ExampleSet.of([])
    if mapping is not None:
        with faults.collecting():
            examples = to_examples(rows, mapping, faults)
    return Side(name, rows, examples, source)
