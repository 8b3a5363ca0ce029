"""graft show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.arguments import Arguments
from graft.cli.progress import Screen
from graft.config import Settings
from graft.errors import InputError, Problems

SETTINGS: tuple[type[Settings], ...] = ()


def run(arguments: Arguments) -> int:
    as_json = arguments.flag("json")
    problems = Problems()
    for name in arguments.options:
        problems.add(f"unknown option --{name}", remedy="graft show RUN [--json]")
    if len(arguments.words) != 1:
        problems.add("which run or model?", remedy="graft show RUN [--json]")
    problems.raise_if_any()
    name = arguments.words[0]
    if (Path(name) / "manifest.json").is_file():
        _show_run(Path(name), as_json)
    else:
        _show_model(name, as_json)
    return 0


def _show_run(folder: Path, as_json: bool) -> None:
    from rich.console import Console

    from graft.report import print_run, run_summary

    if as_json:
        print(json.dumps(run_summary(folder), ensure_ascii=False, indent=2))
    else:
        print_run(folder, Console(highlight=False))


def _show_model(name: str, as_json: bool) -> None:
    folder = Path(name)
    if folder.is_dir() and not any(folder.glob("*config.json")) and not any(folder.glob("*.gguf")):
        raise InputError(
            "this is neither a run (there is no manifest.json in it) nor a model (there is no config.json)",
            where=name,
            remedy="graft show RUN, where RUN is what graft finetune wrote to --output_path",
        )
    from graft.commands.show import describe

    with Screen(quiet=as_json) as screen:
        found = describe(name, screen)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for key, value in found.items():
        if value is not None:
            print(f"{key.replace('_', ' '):<15}{_shown(value)}")


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
