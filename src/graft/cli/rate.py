"""graft rate."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.options import given_settings
from graft.cli.output import fitted
from graft.cli.progress import Screen
from graft.config import RateSettings, build
from graft.errors import InputError, Problems
from graft.files import expanded
from graft.interruption import exit_code
from graft.shell import command

if TYPE_CHECKING:
    from graft.commands.rate import OpenRating

USAGE = "graft rate RUN [--rows 50] [--raters NAME,…]"
WAITING = 0.5


def run(arguments: Arguments) -> int:
    """Let people, or a model, judge which answers are better, blind; print what follows.

    Returns:
        0; as any interrupted command 130, or 143, where the page ended before all was judged. It goes on where it was.

    Raises:
        InputError: If no run is named, or a setting is unknown or out of bounds.
    """
    as_json = arguments.flag("json")
    given = given_settings(arguments, RateSettings)
    settings: RateSettings = build(RateSettings, given.values, given.where, _check)
    if len(arguments.words) != 1:
        raise InputError("give one run", remedy=USAGE)
    path = expanded(arguments.words[0])
    with Screen(quiet=as_json, imports=False) as screen:
        from graft.commands.rate import rated_folder

        with rated_folder(path).lock():
            found = _rate(path, settings, screen, as_json)
    if as_json:
        print(json.dumps({"run": str(path), **found}, ensure_ascii=False, indent=2))
    else:
        _print(path, found)
    if found.get("open"):
        left = f"{found['open']:,} of {found['planned']:,} judgments are open: run the same command again to continue"
        print(left, file=sys.stderr)
        return exit_code()
    return 0


def _check(settings: RateSettings) -> None:
    """Refuse options that exclude each other.

    Raises:
        InputError: Naming them.
    """
    ways = {
        "--export": settings.export_path is not None,
        "--import": settings.import_path is not None,
        "--judge": settings.judge is not None,
        "--results": settings.results,
    }
    chosen = [name for name, is_given in ways.items() if is_given]
    problems = Problems()
    if len(chosen) > 1:
        problems.add(f"{' and '.join(chosen)} exclude each other", remedy="give one of them at a time")
    if settings.judge_model is not None and settings.judge is None:
        problems.add("--judge_model applies only to --judge URL", remedy="add --judge URL")
    problems.raise_if_any()


def _rate(path: Path, settings: RateSettings, screen: Screen, as_json: bool) -> dict[str, Any]:
    """Do what was asked, and return what is printed; the run is held."""
    from graft.commands.rate import finish_rating, import_sheets, open_rating, reopen_rating, write_sheets

    if settings.results:
        return {"judgments": finish_rating(reopen_rating(path, settings))}
    if settings.import_path is not None:
        opened, returned = import_sheets(path, settings, [expanded(file) for file in settings.import_path])
        counts = {"imported": len(returned.judgments), "known": returned.known, "without_judgment": returned.open}
        return {**counts, "judgments": finish_rating(opened)}
    opened = open_rating(path, settings, screen)
    if settings.judge is not None:
        from graft.commands.rate_judge import ask_judge

        ask_judge(opened, settings, screen)
        return {"judgments": finish_rating(opened)}
    _say_size(opened, screen)
    if settings.export_path is not None:
        return {"sheets": [str(file) for file in write_sheets(opened, settings.export_path)]}
    _serve(opened, settings, screen, as_json)
    left = opened.rating.planned - opened.rating.made
    return {"planned": opened.rating.planned, "open": left, "judgments": finish_rating(opened)}


def _say_size(opened: OpenRating, screen: Screen) -> None:
    from graft.commands.rate import sample_size

    for sentence in sample_size(opened.rating):
        screen.note(sentence)


def _serve(opened: OpenRating, settings: RateSettings, screen: Screen, as_json: bool) -> None:
    """Serve the page until all rows are judged, or until Ctrl-C."""
    from graft.serve.rating import serving

    rating, complete = opened.rating, threading.Event()
    if rating.made == rating.planned:
        screen.note("All rows are judged.")
        return

    def made(done: int, total: int) -> None:
        screen.advance("judged", done, total)
        if done == total:
            complete.set()

    with serving(rating, settings.port, made) as server:
        for rater in rating.raters:
            line = f"{rater}: {server.address(rater)}"
            print(line, file=sys.stderr, flush=True) if as_json else screen.note(line)
        screen.note("Each address is for one rater, on this machine. Every judgment is saved at once; Ctrl-C pauses.")
        if settings.open:
            import webbrowser

            webbrowser.open(server.address(rating.raters[0]))
        try:
            while not complete.wait(WAITING):
                pass
            threading.Event().wait(1.0)  # the last page gets its answer
        except KeyboardInterrupt:
            screen.note("paused")


def _print(path: Path, found: Mapping[str, Any]) -> None:
    from graft.report.judgments_section import sentences
    from graft.runs.judgment_record import JudgmentsRecord
    from graft.runs.record import validate

    if "sheets" in found:
        for file in found["sheets"]:
            print(f"sheet: {file}")
        print(fitted(f"next:  {command('graft', 'rate', path, '--import')} SHEET …"))
        return
    if "imported" in found:
        more = f", {found['known']:,} were there already" if found["known"] else ""
        left = f"; without a judgment: {found['without_judgment']:,}" if found["without_judgment"] else ""
        print(f"imported: {found['imported']:,} judgments{more}{left}")
    record = validate(JudgmentsRecord, found["judgments"], "judgments")
    for sentence in sentences(record) or ["Nothing is judged yet."]:
        print(fitted(sentence))
    if record.judgments or record.judge:
        print(f"report: {path / 'report.html'}" if (path / "report.html").is_file() else f"written: {path}")


COMMAND = Command(
    "rate",
    run,
    usage="graft rate RUN [--rows 50] [--raters NAME,…] [--compare base,tuned]\n"
    "       graft rate RUN --export SHEET.csv | SHEET.html [--raters NAME,…]\n"
    "       graft rate RUN --import SHEET …\n"
    "       graft rate RUN --judge http://HOST:PORT [--judge_model NAME]",
    settings=lambda: (RateSettings,),
    options=(CONFIG,),
)
