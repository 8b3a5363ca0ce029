"""graft prepare."""

from __future__ import annotations

import json

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.data_words import data_named
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import Settings, build


def run(arguments: Arguments) -> int:
    """Write cleaned data, and print what was changed.

    Raises:
        InputError: When a setting is unknown or out of bounds, or the data cannot be read.
    """
    as_json = arguments.flag("json")
    from graft.commands.prepare import prepare_data, settings_class

    cls = settings_class()
    arguments.options.update(data_named(arguments.words, "graft prepare DATA -o OUT"))
    given = given_settings(arguments, cls)
    with Screen(quiet=as_json) as screen:
        done = prepare_data(build(cls, given.values, given.where), screen)
    document = {"output_path": str(done.output), "rows": done.rows, "changes": done.changes}
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        print("\n".join(f"{name:<12} {value}" for name, value in document.items()))
    return 0


def _settings() -> tuple[type[Settings], ...]:
    from graft.commands.prepare import settings_class

    return (settings_class(),)


COMMAND = Command(
    "prepare", run, usage="graft prepare DATA -o OUT [--option value …]", settings=_settings, options=(CONFIG,)
)
