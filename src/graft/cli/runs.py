"""graft runs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.errors import InputError, Problems, did_you_mean
from graft.files import expanded

if TYPE_CHECKING:
    from graft.commands.clean import Plan
    from graft.commands.stored import Stored

USAGE = "graft runs [FOLDER]; graft runs clean [FOLDER] [--older_than 30d] [--incomplete] [--dry_run] [--yes]"
OPTIONS = ("older_than", "incomplete", "dry_run", "yes", "json")
_AGE = re.compile(r"(\d{1,5})\s*([hdw]?)")
_HOURS = {"h": 1, "": 24, "d": 24, "w": 168}


def run(arguments: Arguments) -> int:
    """List what graft has written below a folder, or free what is not needed.

    Raises:
        InputError: With every unknown option, or if the folder is not there.
    """
    as_json = arguments.flag("json")
    cleaning = arguments.words[:1] == ["clean"]
    words = arguments.words[1:] if cleaning else arguments.words
    problems = Problems()
    age: timedelta | None = None
    with problems.collecting():
        age = _age(arguments.take("older_than"))
    incomplete, dry, yes = (arguments.flag(name) for name in ("incomplete", "dry_run", "yes"))
    if not cleaning and (age or incomplete or dry or yes):
        problems.add("these options belong to graft runs clean", remedy=USAGE)
    for name in arguments.options:
        problems.add(f"unknown option --{name}", remedy=did_you_mean(name, OPTIONS) or USAGE)
    if len(words) > 1:
        problems.add("give one folder", remedy=USAGE)
    folder = expanded(words[0]) if words else Path("runs") if Path("runs").is_dir() else Path()
    if not folder.is_dir():
        near = "" if cleaning else did_you_mean(words[0], ["clean"])
        problems.add("no such folder", words[0], near or "name a folder with runs, or none for runs/ or this folder")
    problems.raise_if_any()
    from graft.commands.stored import stored_below

    if cleaning:
        from graft.commands.clean import plan_clean

        return _clean(lambda: plan_clean(stored_below(folder), age, incomplete), dry, yes, as_json)
    _list(stored_below(folder), folder, as_json)
    return 0


def _age(given: Any) -> timedelta | None:
    if given is None:
        return None
    match = _AGE.fullmatch(str(given).strip().lower())
    if match is None:
        raise InputError(f"{given!r} is not a time", where="--older_than", remedy="such as 30d, 12h or 4w")
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])


def _list(found: list[Stored], folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps([one.document() for one in found], ensure_ascii=False, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    from graft.cli.console import Console
    from graft.commands.stored import size_of

    console = Console()
    if not found:
        console.print(Text(f"graft has written nothing below {folder}"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for name in ("folder", "kind", "status", "size", "date", "score", "made by"):
        table.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
    for one in found:
        date = one.date.astimezone().strftime("%Y-%m-%d %H:%M") if one.date else "–"
        made_by = one.made_by if one.made_by.startswith("pass ") else " ".join(one.made_by.split()[:2])
        cells = (str(one.path), one.kind, one.status, size_text(one.size), date, one.score, made_by)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    top = [one.path for one in found if not any(one.path != o.path and one.path.is_relative_to(o.path) for o in found)]
    console.print(Text(f"{len(found)} in all, {size_text(size_of(top))} on disk", style="dim"))


def _clean(make_plan: Callable[[], Plan], dry: bool, yes: bool, as_json: bool) -> int:
    """Show what can go, ask, and remove it.

    Raises:
        InputError: If nobody can be asked.
    """
    from graft.commands.clean import clean

    plan = make_plan()
    total = sum(one.size for one in plan.removals)
    if not as_json:
        for one in plan.removals:
            print(f"{size_text(one.size):>9}  {one.path}  ({one.why})")
        for kept in plan.kept:
            print(f"     kept  {kept}")
    freed, left = 0, list[str]()
    if plan.removals and not dry:
        if not yes:
            _ask(total)
            agreed = {one.path for one in plan.removals}  # the answer may have taken a while
            again = make_plan()
            plan = replace(plan, removals=[one for one in again.removals if one.path in agreed])
        freed, left = clean(plan)
    if as_json:
        paths = [{"path": str(one.path), "bytes": one.size, "why": one.why} for one in plan.removals]
        document = {"removals": paths, "kept": list(plan.kept), "freed_bytes": freed, "left": left}
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return 1 if left else 0
    for line in left:
        print(f"left: {line}", file=sys.stderr)
    if not plan.removals:
        print("there is nothing to free")
    else:
        print(f"{size_text(total)} would be freed" if dry else f"freed {size_text(freed)}")
    return 1 if left else 0


def _ask(total: int) -> None:
    """Ask whether to remove.

    Raises:
        InputError: If the answer is not yes, or nobody is there to answer.
    """
    if not sys.stdin.isatty():
        raise InputError(
            "nothing was removed: nobody can be asked", remedy="add --yes, or --dry_run to see what would go"
        )
    print(f"free {size_text(total)}? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("nothing was removed", remedy="answer y to remove")


def size_text(size: int) -> str:
    """Bytes for people, in powers of 1000."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


COMMAND = Command(
    "runs",
    run,
    usage=USAGE,
    options=(
        ("--older_than 30d", "clean: only what was finished longer ago; h, d or w"),
        ("--incomplete", "clean: also whole runs and searches that failed or were interrupted"),
        ("--dry_run", "clean: print what would go and stop"),
        ("--yes", "clean: do not ask"),
    ),
)
