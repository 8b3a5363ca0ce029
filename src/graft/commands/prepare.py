"""``graft prepare``: cleaned data, and a log of every change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from graft.config import PrepareSettings, compose, config_of
from graft.data.sources import load_rows
from graft.data.steps import STEPS, Change, ChangeLog, Sides, StepContext, step_components
from graft.errors import InputError
from graft.files import write_whole
from graft.progress import SILENT, Reporter

CHANGES = "changes.jsonl"


@dataclass(frozen=True)
class Preparation:
    """The rows as they were written, how many there are on each side, and how many changes each step made."""

    output: Path
    rows: dict[str, int]
    changes: dict[str, int]


def settings_class() -> type[PrepareSettings]:
    """Return the settings with the options of every step."""
    return compose(PrepareSettings, step_components())


def prepare_data(settings: PrepareSettings, reporter: Reporter = SILENT) -> Preparation:
    """Run the steps over data, and write the rows and the changes.

    Raises:
        InputError: If a setting is wrong, or the data cannot be read.
    """
    if settings.output_path is None:
        raise InputError("no output folder is given", remedy="graft prepare DATA -o OUT")
    loaded = load_rows(settings, settings.token)
    sides: Sides = {"train": loaded.train, **({} if loaded.eval is None else {"eval": loaded.eval})}
    log = ChangeLog()
    for name in _steps(settings):
        step = STEPS.get(name)
        sides = step.apply(sides, StepContext(config_of(settings, step.Config), settings, log, settings.seed))
    return _written(settings.output_path, sides, log)


def _steps(settings: PrepareSettings) -> list[str]:
    """The steps to run, in their order."""
    order = [*STEPS.builtin, *STEPS.installed()]
    wanted = {name for name in order if STEPS.get(name).safe} - set(settings.skip_steps) | set(settings.steps)
    return [name for name in order if name in wanted] + [name for name in settings.steps if name not in order]


def _written(output: Path, sides: Sides, log: ChangeLog) -> Preparation:
    output.mkdir(parents=True, exist_ok=True)
    for side, rows in sides.items():
        write_whole(output / f"{side}.jsonl", "".join(_lines(row.columns for row in rows)))
    write_whole(output / CHANGES, "".join(_lines(map(_record, log.changes))))
    counts = Counter(change.step for change in log.changes)
    return Preparation(output, {side: len(rows) for side, rows in sides.items()}, dict(counts))


def _record(change: Change) -> dict[str, object]:
    return {**asdict(change), "origin": str(change.origin)}


def _lines(records: Iterable[object]) -> Iterator[str]:
    for record in records:
        yield json.dumps(record, ensure_ascii=False) + "\n"
