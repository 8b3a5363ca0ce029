"""What a check of data is, and what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from graft.config import Settings
from graft.data.located import Located
from graft.data.personal import visible_text

if TYPE_CHECKING:
    from graft.data.checks.view import CheckedData

Severity: TypeAlias = Literal["error", "warning", "note"]
"""error: training would be wrong; warning: a person should look before training; note: good to know."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The gravest first."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with data, with a run, or with a bundle, or worth knowing of it.

    No text of a finding holds personal data or a secret: quote rows with ``shown_text``. ``run_checks`` masks the
    names of columns and labels; ``figures`` have them as they are, for programs, and are masked where they are written.

    Attributes:
        kind: Its name for programs, such as ``near_duplicates``; one check may find several kinds.
        severity: How grave it is.
        title: One clause with the number of rows: "12 rows repeat an earlier row".
        rows: The places of all rows concerned; none where it is about the data as a whole.
        why: Why it matters, with the figure that shows it.
        remedy: What to do.
        fix: The option or the command that does it, as it is typed; empty where a person has to.
        evidence: Examples and values, a line each; at most five.
        figures: Values for programs, and for the page: numbers, texts, lists, and mappings of these.
        side: The side that the rows are on: ``train``, ``eval``, or ``against``; empty for a run or a bundle.
        further: Other remedies, the likeliest first.
    """

    kind: str
    severity: Severity
    title: str
    rows: Located = field(default_factory=Located)
    why: str = ""
    remedy: str = ""
    fix: str = ""
    evidence: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    side: str = "train"
    further: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The title with the first places."""
        return f"{self.title}: {self.rows}" if len(self.rows) else self.title

    @property
    def remedies(self) -> tuple[str, ...]:
        """All that can be done, the likeliest first."""
        return tuple(filter(None, (self.remedy, self.fix, *self.further)))


def visible(finding: Finding) -> Finding:
    """Return a finding whose texts have no personal data: the names of columns and labels are in many of them."""
    return replace(
        finding,
        title=visible_text(finding.title),
        why=visible_text(finding.why),
        remedy=visible_text(finding.remedy),
        fix=visible_text(finding.fix),
        evidence=tuple(map(visible_text, finding.evidence)),
        further=tuple(map(visible_text, finding.further)),
    )


def many(count: int, one: str, several: str = "") -> str:
    """Return ``1 row has`` or ``12 rows have``; without ``several``, that is ``one`` with an s."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def prepare_command(options: str) -> str:
    """Return the command that mends rows, as it is typed: ``graft prepare DATA -o OUT --steps html``."""
    return f"graft prepare DATA -o OUT {options}"


class Check(Protocol):
    """Looks for one kind of fault in data.

    Attributes:
        name: The check, as the registry names it.
        title: What it is about, for a heading: "Near duplicates".
        quick: Whether ``graft finetune`` runs it before training: it takes a few microseconds a row.
        needs_model: Whether it looks at tokens, and so does nothing without ``--model``.
        Config: The options of ``graft doctor`` that it takes.
    """

    name: str
    title: str
    quick: bool = False
    needs_model: bool = False
    Config: ClassVar[type[Settings]] = Settings

    def examine(self, data: CheckedData, config: Any) -> Iterable[Finding]:
        """Yield what was found.

        Rows are read from disk as often as they are iterated over; what is kept of them must fit in memory for 10⁶.

        Args:
            data: The rows, the examples that were made of them, and what is known about both.
            config: A ``Config``.
        """
        ...
