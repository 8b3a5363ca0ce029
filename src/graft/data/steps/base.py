"""What a step of ``graft prepare`` is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from graft.config import DataSettings, Settings
from graft.data.columns import ColumnMapping, recognize
from graft.data.example import Origin
from graft.data.example_set import ExampleSet
from graft.data.faults import Faults
from graft.data.personal import find, masked
from graft.data.quality import to_examples
from graft.data.readers import Row
from graft.data.spool import Spool
from graft.data.steps.teacher import Teacher
from graft.progress import SILENT, Reporter
from graft.registry import optional

Sides: TypeAlias = dict[str, Sequence[Row]]
"""The rows by side: ``train``, and where there are such ``eval`` and ``test``. Order counts."""

JUDGED = ("eval", "test")
"""The evaluation sides: no row is added to them, and none comes to train from them."""

Action: TypeAlias = Literal["changed", "added", "dropped", "moved"]


@dataclass(frozen=True)
class Change:
    """A line of changes.jsonl.

    Attributes:
        step: The step.
        action: What it did to the row.
        origin: The row, as it was read; of an added row, the one it was made from.
        side: The side that it is on; of a row that was moved, the one that it is on now.
        why: The reason, in one clause.
        column: What was changed; empty for a whole row.
        before: The text before, where one was changed.
        after: The text now.
    """

    step: str
    action: Action
    origin: Origin
    side: str
    why: str
    column: str = ""
    before: str = ""
    after: str = ""

    def record(self) -> dict[str, str]:
        """Return the line as it is written, without personal data; what was changed only where it is a column."""
        before, after = masked(self.before), masked(self.after)
        if len(find(self.after)) > len(find(self.before)):  # what the change uncovered can be read in the text before
            before = after
        of_column = {"column": masked(self.column), "before": before, "after": after} if self.column else {}
        about = {"step": self.step, "action": self.action, "origin": str(self.origin), "side": self.side}
        return {**about, **of_column, "why": masked(self.why)}


class ChangeLog:
    """Every change, on disk, and how many there are of each step."""

    def __init__(self) -> None:
        self.changes: Spool[Change] = Spool()
        self.counts: dict[str, Counter[Action]] = defaultdict(Counter)

    def add(self, change: Change) -> None:
        """Record a change."""
        self.changes.append(change)
        self.counts[change.step][change.action] += 1


@dataclass
class StepContext:
    """What a step works with.

    Attributes:
        config: The step's ``Config``.
        settings: How rows are read.
        log: Takes every change.
        seed: Decides what is drawn.
        teacher: Writes answers, a model or a server; None where none is given.
        against: Rows that no added row may repeat, such as those of a benchmark.
        reporter: Shows the progress.
        steps_before: The steps that ran when the rows were written, if ``graft prepare`` wrote them.
    """

    config: Any
    settings: DataSettings
    log: ChangeLog = field(default_factory=ChangeLog)
    seed: int = 42
    teacher: Teacher | None = None
    against: Sequence[Row] = ()
    reporter: Reporter = SILENT
    steps_before: frozenset[str] = frozenset()

    def mapping(self, rows: Sequence[Row]) -> ColumnMapping:
        """Return how the columns of rows are read.

        Raises:
            InputError: If they are not recognized.
        """
        return recognize(rows, self.settings)

    def examples(self, rows: Sequence[Row]) -> ExampleSet:
        """Return the examples of rows; those of one row have its origin.

        Raises:
            InputError: If a row cannot be converted.
        """
        return to_examples(rows, self.mapping(rows), Faults())


class Step(Protocol):
    """Changes rows, and logs what it changed.

    A step that has run changes nothing when it runs again over what it left.

    Attributes:
        name: The step, as the registry names it.
        title: What it does, in one clause: "remove rows that are equal to an earlier one".
        safe: Whether it runs unless it is skipped.
        Config: The options of ``graft prepare`` that it takes; giving one asks for the step.
    """

    name: str
    title: str
    safe: bool = False
    Config: ClassVar[type[Settings]] = Settings

    @optional
    def check(self, config: Any) -> None:
        """Check the options before anything is read or sent, such as whether a file that they name can be used.

        Args:
            config: A ``Config``.

        Raises:
            InputError: With everything that is wrong with them.
        """

    def apply(self, sides: Sides, context: StepContext) -> Sides:
        """Return the rows as they are to be; large data goes through ``Spool``.

        Raises:
            InputError: If the rows or the settings do not allow it.
        """
        ...


def each_row(sides: Sides, change: Callable[[Row, str], Row | None]) -> Sides:
    """Return the sides with each row changed; None drops it.

    Args:
        sides: The rows.
        change: The row and its side -> the row as it is to be.
    """
    return {side: Spool(_kept(rows, side, change)) for side, rows in sides.items()}


def _kept(rows: Iterable[Row], side: str, change: Callable[[Row, str], Row | None]) -> Iterator[Row]:
    for row in rows:
        changed = change(row, side)
        if changed is not None:
            yield changed
