"""``graft prepare``: cleaned data, and a log of every change."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from graft.commands.data_folder import check_apart, check_files, checked_output, write_folder
from graft.commands.generation import rows_against, teacher_of, with_prompts, without_secrets
from graft.config import DataSettings, PrepareSettings, compose, config_of
from graft.data.columns import recognize
from graft.data.faults import Faults
from graft.data.prepared import SPLITS, is_prepared
from graft.data.quality import check_rows
from graft.data.readers import Row
from graft.data.sources import Loaded, load_readable
from graft.data.spool import Spool
from graft.data.steps import STEPS, ChangeLog, Sides, Step, StepContext, Teacher, step_components
from graft.data.steps.choose import chosen_steps
from graft.data.steps.unreadable import NAME as UNREADABLE
from graft.data.steps.unreadable import DroppedRows, is_of_a_row
from graft.errors import InputError, Problem, Problems
from graft.files import expanded, is_there
from graft.progress import SILENT, Reporter, enter
from graft.registry import naming_extension
from graft.runs.manifest import DataManifest, read_data, timestamp


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
    started, (names, output, teacher) = timestamp(), _checked(settings, reporter)
    log, enough = ChangeLog(), settings.part(DataSettings)
    loaded = with_prompts(settings, lambda found: _read(found, settings.token, names, log, reporter))
    check_apart(output, [*loaded.files, *_further_files(settings)])
    sides = _sides(loaded)
    _refuse_unreadable(loaded.faults, {} if UNREADABLE in names else sides, enough)
    context = StepContext(None, enough, log, settings.seed, teacher, rows_against(settings), reporter)
    context.steps_before = _steps_before(loaded.files)
    sides = _apply(names, sides, settings, context)
    enter(reporter, "writing")
    return Preparation(output, write_folder(output, without_secrets(settings), loaded, names, sides, log, started))


def check_settings(settings: PrepareSettings) -> None:
    """Check what can be known before anything is read or sent.

    Raises:
        InputError: With everything that is wrong with the settings, and with the files that they name.
    """
    _checked(settings, SILENT)


def _checked(settings: PrepareSettings, reporter: Reporter) -> tuple[list[str], Path, Teacher | None]:
    """The steps to run, the output folder, and what writes texts."""
    problems, output = Problems(), Path()
    teacher: Teacher | None = None
    names = chosen_steps(settings, problems)
    for name in names:
        step = STEPS.get(name)
        with problems.collecting(), naming_extension("step", name, step):
            step.check(config_of(settings, step.Config))
    with problems.collecting():
        output = checked_output(settings)
    with problems.collecting():
        teacher = teacher_of(settings, output, reporter)
    with problems.collecting():
        check_files(settings, "data_files", "eval_data_files", "against", "generate")
    _check_read(settings, names, problems)
    problems.raise_if_any()
    return names, output, teacher


ASKING = ("generate", "paraphrase")
ADDING = (*ASKING, "augment")
"""Steps that ask the teacher, and those that compare what they add with ``--against``."""


def _check_read(settings: PrepareSettings, names: Sequence[str], problems: Problems) -> None:
    """Find options that no step reads; what a third party's step reads is not known."""
    if not set(names) <= set(STEPS.builtin):
        return
    readers = {"endpoint": ASKING, "teacher": ASKING, "against": ADDING}
    for option, steps in readers.items():
        if option in settings.model_fields_set and getattr(settings, option) and set(steps).isdisjoint(names):
            problems.add(
                f"--{option} is read only by the steps {', '.join(steps)}, and none of them runs", remedy=_READ
            )


_READ = "add the option of one, such as --generate FILE or --paraphrase N, or omit it"


def _steps_before(files: Iterable[str]) -> frozenset[str]:
    """The steps that ran over prepared rows when these were written."""
    folders = {folder for file in files if is_prepared(folder := Path(file).parent)}
    return frozenset(step.name for folder in folders for step in read_data(folder).steps)


def _further_files(settings: PrepareSettings) -> Iterator[str]:
    """The files besides the data that options name."""
    for value in settings.model_dump(exclude={"output_path"}, exclude_unset=True).values():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, (str, Path)) and is_there(str(each)):
                yield str(expanded(str(each)))


def _read(
    settings: DataSettings, token: str | None, names: Sequence[str], log: ChangeLog, reporter: Reporter
) -> Loaded:
    """The rows that can be read; the step for it drops the others."""
    enter(reporter, "reading")
    return load_readable(settings, token, faults=DroppedRows(log) if UNREADABLE in names else Faults())


def _refuse_unreadable(faults: Faults, sides: Mapping[str, Sequence[Row]], settings: DataSettings) -> None:
    """Refuse rows that no run can be trained on or judged by.

    Args:
        faults: What is wrong with rows that could not even be parsed.
        sides: The rows to check; none where a step drops them.
        settings: How they are read.

    Raises:
        InputError: Naming all of them.
    """
    if sides.get("train"):
        with suppress(InputError):  # steps say that the columns are not recognized, where they need them
            mapping = recognize(sides["train"], settings)
            for rows in sides.values():
                check_rows(rows, mapping, faults)
    if any(map(is_of_a_row, faults.found)):
        left = f"nothing was written: unreadable rows are dropped only with --steps {UNREADABLE}"
        raise InputError(*faults.said(), Problem(left, remedy="correct these rows, or add that step to drop them"))
    faults.raise_if_any()


def _applied(name: str, step: Step, sides: Sides, context: StepContext) -> Sides:
    """The sides after a step.

    Raises:
        InputError: If a third party's step returns something else than rows by side.
    """
    returned = step.apply(sides, context)
    if name in STEPS.builtin:
        return returned
    try:
        return _as_sides(returned)
    except TypeError as error:
        remedy = "let apply return a dict with the sides that it is given, and a sequence of Row for each"
        raise InputError(f"the step returned {error}", where=name, remedy=remedy) from error


def _as_sides(returned: object) -> Sides:
    """What a step returned, as sides.

    Raises:
        TypeError: If it is something else.
    """
    if not isinstance(returned, dict):
        raise TypeError(f"{_kind(returned)}, not rows by side")
    unknown = [side for side in returned if side not in SPLITS]
    if unknown or "train" not in returned:
        listed = ", ".join(map(repr, returned)) or "none"
        raise TypeError(f"the sides {listed}; expected train, and eval and test where there are such rows")
    found: dict[str, Sequence[Row]] = {}
    for side, rows in returned.items():
        if not isinstance(rows, Iterable):
            raise TypeError(f"{_kind(rows)} as the rows of the side {side!r}")
        checked = _only_rows(side, rows)
        if isinstance(rows, Sequence):
            deque(checked, maxlen=0)
            found[side] = rows
        else:
            found[side] = Spool(checked)
    return found


def _only_rows(side: str, rows: Iterable[object]) -> Iterator[Row]:
    for row in rows:
        if not isinstance(row, Row):
            raise TypeError(f"{_kind(row)} as a row of the side {side!r}")
        yield row


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _sides(loaded: Loaded) -> Sides:
    sides = {"train": loaded.train, "eval": loaded.eval, "test": loaded.test}
    return {side: rows for side, rows in sides.items() if rows is not None}


def _apply(names: Sequence[str], sides: Sides, settings: PrepareSettings, context: StepContext) -> Sides:
    """The sides after all steps.

    Raises:
        InputError: If a step refuses the rows, or no row is left to train on.
    """
    steps, emptied = [STEPS.get(name) for name in names], ""
    for number, step in enumerate(steps):
        context.reporter.advance("steps", number, len(steps), step.title)
        context.config = config_of(settings, step.Config)
        with naming_extension("step", names[number], step):
            before, sides = sides, _applied(names[number], step, sides, context)
        if before.get("train") and not sides.get("train"):
            emptied = names[number]
    context.reporter.advance("steps", len(steps), len(steps))
    if not sides.get("train"):
        dropped = {step: counts["dropped"] for step, counts in context.log.counts.items() if counts["dropped"]}
        said = ", ".join(f"{step} dropped {count:,}" for step, count in dropped.items())
        said = said or (f"the step {emptied} returned none" if emptied else "the data has none")
        raise InputError(f"no row is left to train on: {said}", remedy="omit a step: --skip_steps")
    return {side: rows for side, rows in sides.items() if rows}
