"""graft plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.finetune import SETTINGS, check_named, read_settings
from graft.cli.output import fitted
from graft.cli.progress import Screen

if TYPE_CHECKING:
    from graft.cli.console import Console
    from graft.commands.planner import Planned


def run(arguments: Arguments) -> int:
    """Print what each method would take, and what to choose.

    Raises:
        InputError: With all that is wrong with the options, the data and the model.
    """
    as_json, again = arguments.flag("json"), arguments.flag("measure")
    from graft.planning.limits import Limits

    limits = Limits.read(*(arguments.take(name) for name in ("max_memory", "max_time", "max_size")))
    with Screen(quiet=as_json, imports=False) as screen:
        settings = read_settings(arguments, "graft plan MODEL DATA")
        check_named(settings)
        screen.importing()
        from graft.commands.planner import planned

        found = planned(settings, limits, again, screen)
    if as_json:
        print(json.dumps(found.document(), ensure_ascii=False, indent=2, default=str))
    else:
        _print(found)
    return 0


def _print(found: Planned) -> None:
    from rich.table import Table

    from graft.cli.console import Console

    console = Console()
    rows, training = found.plan.rows, found.plan.training
    print(f"{found.plan.base.label}: {len(rows):,} rows, {found.plan.tokens:,} tokens, {training.steps:,} steps\n")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("method", "engine", "memory", "minutes", "compare", "trained", "batch", "fits", ""):
        table.add_column(name, justify="left" if name in {"method", "engine", ""} else "right")
    for one in found.choices:
        figures = one.estimate
        if figures is None:
            table.add_row(one.method, one.engine, *["–"] * 6, one.refused or "")
            continue
        table.add_row(
            one.method,
            one.engine,
            f"{figures.memory_mb / 1000:.1f} GB",
            f"{figures.minutes:.1f}",
            f"{figures.comparison_minutes:.1f}",
            f"{figures.trained:,}",
            f"{one.batch_size} × {one.accumulation}" if one.accumulation > 1 else str(one.batch_size),
            "yes" if one.fits else "no",
            one.packed,
        )
    console.print(table)
    print()
    _print_deployments(found, console)
    for busy in sorted({one.estimate.busy for one in found.choices if one.estimate and one.estimate.busy})[-1:]:
        print(fitted(f"Minutes were {busy}; --measure measures again."))
    print(fitted(f"{found.said[:1].upper()}{found.said[1:]}."))
    if found.command:
        print(f"    {found.command}")


def _print_deployments(found: Planned, console: Console) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("deploy as", "precision", "size", "tokens/s at most", ""):
        table.add_column(name, justify="right" if name in {"size", "tokens/s at most"} else "left")
    for one in found.deployments:
        refused = "" if one.refused is None else f"no: {one.refused}"
        table.add_row(one.format, one.precision, f"{one.size_mb:,} MB", f"{one.tokens_per_second:,}", refused)
    console.print(table)
    if found.unmergeable:
        print(f"Runs with {', '.join(found.unmergeable)} are not merged, so they deploy with PyTorch alone.")
    print()


COMMAND = Command(
    "plan",
    run,
    usage="graft plan MODEL DATA [--max_memory 8GB] [--max_time 30m] [--max_size 500MB] [--option value …]",
    settings=lambda: SETTINGS,
    options=(
        CONFIG,
        ("--max_memory SIZE", "memory that training may take, such as 8GB (default: what is free)"),
        ("--max_time TIME", "time that training and the comparison may take, such as 30m"),
        ("--max_size SIZE", "size that the exported model may have, such as 500MB"),
        ("--measure", "measure the speed of this machine again"),
    ),
)
