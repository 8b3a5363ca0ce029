"""graft prepare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.data_words import data_named
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import Settings, build

if TYPE_CHECKING:
    from graft.runs.manifest import DataManifest

USAGE = "graft prepare DATA -o OUT [--option value …]"


def run(arguments: Arguments) -> int:
    """Write cleaned data, and print what was changed.

    Raises:
        InputError: When a setting is unknown or out of bounds, or the data cannot be read.
    """
    as_json = arguments.flag("json")
    from graft.commands.prepare import check_settings, prepare_data, settings_class

    arguments.options.update(data_named(arguments.words, USAGE))
    given = given_settings(arguments, settings_class())
    cls = settings_class(_listed(given.values.get("steps")))
    settings = build(cls, given.values, given.where, check_settings)
    with Screen(quiet=as_json, imports=settings.teacher is not None and settings.endpoint is None) as screen:
        done = prepare_data(settings, screen)
    if as_json:
        document = {"output_path": str(done.output), "rows": done.rows, "changes": done.changes}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        print("\n".join([str(done.output), *described(done.manifest)]))
    return 0


def _listed(steps: object) -> list[str]:
    """The names of steps, as they are typed or stand in a file."""
    names = steps.split(",") if isinstance(steps, str) else steps if isinstance(steps, list) else []
    return [str(name).strip() for name in names]


def described(manifest: DataManifest) -> list[str]:
    """Return lines on the rows of a prepared data set, and on what its steps did."""
    rows = [f"  {side:<6} {count:>10,} rows" for side, count in manifest.rows.items()]
    before = sum(source.rows or 0 for source in manifest.sources.values())
    lines = [f"{before:,} rows were read, {sum(manifest.rows.values()):,} were written:", *rows, "steps:"]
    for step in manifest.steps:
        done = ", ".join(f"{count:,} {action}" for action, count in step.counts.items())
        lines.append(f"  {step.name:<19} {done or 'nothing to do'}")
    return lines


def _settings() -> tuple[type[Settings], ...]:
    from graft.commands.prepare import settings_class

    return (settings_class(),)


def _lists() -> dict[str, dict[str, str]]:
    from graft.data.steps import STEPS

    safe = {name: step.title for name, step in STEPS.items() if step.safe}
    others = {name: step.title for name, step in STEPS.items() if not step.safe}
    return {"safe steps, which run unless they are skipped": safe, "steps that run on request": others}


COMMAND = Command("prepare", run, usage=USAGE, settings=_settings, options=(CONFIG,), lists=_lists)
