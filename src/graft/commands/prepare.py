"""``graft prepare``: cleaned data, and a log of every change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from graft.commands.data_folder import check_apart, checked_output, write_folder
from graft.commands.generation import rows_against, teacher_of, with_prompts, without_secrets
from graft.config import DataSettings, PrepareSettings, compose, config_of
from graft.data.faults import Faults
from graft.data.sources import Loaded, load_readable
from graft.data.steps import STEPS, ChangeLog, Sides, StepContext, Teacher, step_components
from graft.data.steps.choose import chosen_steps
from graft.data.steps.unreadable import NAME as UNREADABLE
from graft.data.steps.unreadable import DroppedRows, is_of_a_row
from graft.errors import InputError, Problem, Problems
from graft.files import expanded, is_there
from graft.progress import SILENT, Reporter, enter
from graft.runs.manifest import DataManifest, timestamp


@dataclass(frozen=True)
class Preparation:
    """What was written: the folder, and its manifest."""

    output: Path
    manifest: DataManifest

    def __fspath__(self) -> str:
        return str(self.output)

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each side."""
        return self.manifest.rows

    @property
    def changes(self) -> dict[str, dict[str, int]]:
        """The number of changes of each step, by what was done to the rows."""
        return {step.name: step.counts for step in self.manifest.steps}


def settings_class(names: Iterable[str] = ()) -> type[PrepareSettings]:
    """Return the settings with the options of every step.

    Args:
        names: Steps that were named; the options of those of files (``path/to/file.py:Name``) are known only then.
    """
    return compose(PrepareSettings, step_components(name for name in names if ":" in name))


def prepare_data(settings: PrepareSettings, reporter: Reporter = SILENT) -> Preparation:
    """Run the steps over data, and write the rows and the changes.

    Args:
        settings: Where the rows are, which steps run, and where the rows go.
        reporter: Shows the progress.

    Raises:
        InputError: If a setting is wrong, or the data cannot be read; nothing is written then.
        GraftError: If the folder cannot be written.
    """
    started, problems, names, output = timestamp(), Problems(), list[str](), Path()
    with problems.collecting():
        names = chosen_steps(settings)
    with problems.collecting():
        output = checked_output(settings)
    teacher: Teacher | None = None
    with problems.collecting():
        teacher = teacher_of(settings, output, reporter)
    problems.raise_if_any()
    log, enough = ChangeLog(), settings.part(DataSettings)
    loaded = with_prompts(settings, lambda found: _read(found, settings.token, names, log, reporter))
    check_apart(output, [*loaded.files, *_further_files(settings)])
    context = StepContext(None, enough, log, settings.seed, teacher, rows_against(settings), reporter)
    sides = _apply(names, _sides(loaded), settings, context)
    enter(reporter, "writing")
    return Preparation(output, write_folder(output, without_secrets(settings), loaded, names, sides, log, started))


def _further_files(settings: PrepareSettings) -> Iterator[str]:
    """The files besides the data that options name."""
    for value in settings.model_dump(exclude={"output_path"}, exclude_unset=True).values():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, (str, Path)) and is_there(str(each)):
                yield str(expanded(str(each)))


def _read(
    settings: DataSettings, token: str | None, names: Sequence[str], log: ChangeLog, reporter: Reporter
) -> Loaded:
    """The rows; those that cannot be read end the work, or are dropped by the step for it."""
    enter(reporter, "reading")
    loaded = load_readable(settings, token, faults=DroppedRows(log) if UNREADABLE in names else Faults())
    if any(map(is_of_a_row, loaded.faults.found)):
        left = Problem("nothing was written: rows that cannot be read are not dropped unasked", remedy=_DROP)
        raise InputError(*loaded.faults.said(), left)
    loaded.faults.raise_if_any()
    return loaded


_DROP = f"correct them, or drop them, with a line each in changes.jsonl: --steps {UNREADABLE}"


def _sides(loaded: Loaded) -> Sides:
    sides = {"train": loaded.train, "eval": loaded.eval, "test": loaded.test}
    return {side: rows for side, rows in sides.items() if rows is not None}


def _apply(names: Sequence[str], sides: Sides, settings: PrepareSettings, context: StepContext) -> Sides:
    """The sides after all steps.

    Raises:
        InputError: If a step refuses the rows, or no row is left to train on.
    """
    steps = [STEPS.get(name) for name in names]
    for number, step in enumerate(steps):
        context.reporter.advance("steps", number, len(steps), step.title)
        context.config = config_of(settings, step.Config)
        sides = step.apply(sides, context)
    context.reporter.advance("steps", len(steps), len(steps))
    if not sides.get("train"):
        dropped = {step: counts["dropped"] for step, counts in context.log.counts.items() if counts["dropped"]}
        said = ", ".join(f"{step} dropped {count:,}" for step, count in dropped.items())
        raise InputError(f"no row is left to train on: {said}", remedy="leave out a step with --skip_steps")
    return {side: rows for side, rows in sides.items() if rows}
