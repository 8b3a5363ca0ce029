"""graft show."""

from __future__ import annotations

import json
from pathlib import Path

from graft.cli.arguments import Arguments
from graft.errors import InputError
from graft.settings import Settings

SETTINGS: tuple[type[Settings], ...] = ()


def run(arguments: Arguments) -> int:
    as_json = arguments.flag("json")
    if len(arguments.words) != 1 or arguments.options:
        raise InputError("which run?", remedy="graft show RUN [--json]")
    folder = Path(arguments.words[0])
    if not (folder / "manifest.json").is_file():
        raise InputError("this is not a run folder: there is no manifest.json in it", where=str(folder))
    from rich.console import Console

    from graft.report import show, summary

    if as_json:
        print(json.dumps(summary(folder), ensure_ascii=False, indent=2))
    else:
        show(folder, Console(highlight=False))
    return 0
