"""``graft rate``: what is judged, where judgments go, and what becomes of them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.commands.rate_answers import answered_rows, recorded_models
from graft.config import RateSettings
from graft.errors import InputError, Problems
from graft.evaluation.human.criteria_file import read_criteria
from graft.evaluation.human.items import choose_items
from graft.evaluation.human.judge import judge_section
from graft.evaluation.human.power import decided_needed, detectable_share
from graft.evaluation.human.rating import Rating
from graft.evaluation.human.sheets import Returned, read_sheets, sheet_paths, sheet_text
from graft.evaluation.human.store import JudgmentStore
from graft.evaluation.human.summary import Criterion, judgments_section
from graft.evaluation.store import add_section
from graft.files import write_whole
from graft.progress import Reporter
from graft.report import write_pages
from graft.runs.evaluation_document import read_evaluation, read_predictions
from graft.runs.folder import RunFolder
from graft.runs.judgment_record import (
    JUDGE,
    RATING,
    ItemRecord,
    JudgmentRecord,
    QuestionRecord,
    RatingRecord,
    read_judgments,
    read_rating,
)
from graft.runs.kind import FolderKind, expect_kind, folder_kind

LONGEST_NAME = 60


@dataclass(frozen=True)
class OpenRating:
    """A folder whose answers are judged, and what is judged."""

    folder: RunFolder
    rating: Rating


def open_rating(path: Path, settings: RateSettings, reporter: Reporter) -> OpenRating:
    """Choose what is judged, and write it down; the caller holds the folder.

    Args:
        path: A run, or the folder of an evaluation.
        settings: The settings.
        reporter: Shows notes, and the progress of answers that are generated.

    Raises:
        InputError: If answers are missing, a rater's name cannot be used, or no two answers differ.
    """
    folder = rated_folder(path)
    check_raters(settings)
    known = read_rating(path)
    questions = _questions(settings, known)
    models = settings.compare or (tuple(known.models) if known is not None else None)
    rows = answered_rows(folder, models, settings, known, reporter)
    items, same = choose_items(rows.rows, rows.models, settings.rows, settings.seed)
    if not items:
        what = f"{', '.join(rows.models)} give the same answers to all {same:,} rows: there is nothing to judge"
        raise InputError(what, where=str(path), remedy="--compare other models")
    if len(items) < settings.rows:
        reporter.note(f"{len(items):,} rows have answers that differ; {same:,} have the same answers")
    before = [item for item in known.items if rows.still_holds(item)] if known is not None else []
    now = {item.item for item in items}
    record = RatingRecord(
        id=known.id if known is not None else secrets.token_hex(6),
        seed=known.seed if known is not None else settings.seed,
        models=list(dict.fromkeys((*rows.models, *(name for item in before for name in (item.first, item.second))))),
        items=[*items, *(item for item in before if item.item not in now)],
        criteria=questions,
        same=same,
    )
    folder.write_json(RATING, record)
    return OpenRating(folder, _rating(record, folder, settings, settings.raters, items))


def reopen_rating(path: Path, settings: RateSettings, raters: Sequence[str] | None = None) -> OpenRating:
    """Return what was judged before, for ``--results`` and ``--import``; items whose answers have changed are left out.

    Raises:
        InputError: If nothing was.
    """
    folder = rated_folder(path)
    record = read_rating(path)
    if record is None:
        raise InputError("nothing of this run was judged yet", where=str(path), remedy=f"graft rate {path}")
    recorded = recorded_models(read_predictions(path))
    record = record.model_copy(update={"items": [item for item in record.items if recorded.still_holds(item)]})
    names = raters if raters is not None else sorted({one.rater for one in read_judgments(path)}) or settings.raters
    whole = settings.model_copy(update={"per_row": None})
    return OpenRating(folder, _rating(record, folder, whole, names, record.items))


def _rating(
    record: RatingRecord, folder: RunFolder, settings: RateSettings, raters: Sequence[str], items: Sequence[ItemRecord]
) -> Rating:
    per_row = settings.per_row or len(raters)
    store = JudgmentStore(folder.path)
    return Rating(record, store, tuple(raters), per_row, settings.seed, settings.show_reference, items)


def rated_folder(path: Path) -> RunFolder:
    """Return the folder whose answers are judged.

    Raises:
        InputError: If it is neither a run nor an evaluation.
    """
    expect_kind(path, (FolderKind.RUN, FolderKind.EVALUATION))
    return RunFolder(path)


def check_raters(settings: RateSettings) -> None:
    """Check the names of the raters, and that there are enough.

    Raises:
        InputError: With everything that is wrong with them.
    """
    problems, names = Problems(), settings.raters
    for name in names:
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            problems.add(f"{name!r} is no name of a rater; expected up to {LONGEST_NAME} characters", "--raters")
    if len({name.casefold() for name in names}) < len(names):
        problems.add(f"a name is there twice: {', '.join(names)}", "--raters")
    if settings.per_row is not None and settings.per_row > len(names):
        what = f"--per_row is {settings.per_row}, and there are {len(names)} raters"
        problems.add(what, remedy="name more raters: --raters ann,bob,cy")
    problems.raise_if_any()


def _questions(settings: RateSettings, known: RatingRecord | None) -> list[QuestionRecord]:
    if settings.criteria is None:
        return known.criteria if known is not None else []
    found = read_criteria(settings.criteria)
    return [
        QuestionRecord(name=one.name, question=one.question, low=one.low, high=one.high, labels=list(one.labels))
        for one in found
    ]


def sample_size(rating: Rating) -> list[str]:
    """Return what the planned judgments can show, in sentences: it is said before rating starts."""
    planned, rows = rating.planned, len(rating.items)
    raters = f"{rating.per_row} of {len(rating.raters)} raters each" if len(rating.raters) > 1 else "one rater"
    pairs = len({(item.first, item.second) for item in rating.items})
    a_pair = rows // pairs
    found = [f"{rows:,} rows by {raters}: {planned:,} judgments, {rating.made:,} of them made."]
    weakest = detectable_share(a_pair)
    shown = f"a preference of {_ratio(weakest)} or stronger" if weakest else "no preference, however strong,"
    each = f"{a_pair:,} rows for each of {pairs} pairs of models" if pairs > 1 else f"{rows:,} rows"
    found.append(f"{each} prove {shown} with a power of 80 %, if no row is a tie; 60:40 needs {decided_needed(0.6)}.")
    return found


def _ratio(share: float) -> str:
    percent = math.floor(100 * share + 0.5)
    return f"{percent}:{100 - percent}"


def write_sheets(opened: OpenRating, path: Path) -> list[Path]:
    """Write a sheet for each rater; returns the files.

    Raises:
        InputError: If the suffix is unknown, or two raters' files have the same name.
    """
    paths = sheet_paths(path, opened.rating.raters)
    for rater, file in paths.items():
        write_whole(file, sheet_text(opened.rating, rater, file.suffix.lower()), private=True)
    return list(paths.values())


def import_sheets(path: Path, settings: RateSettings, files: Sequence[Path]) -> tuple[OpenRating, Returned]:
    """Read sheets that came back, and keep their judgments.

    Raises:
        InputError: With everything that is wrong with them; nothing is kept then.
    """
    reopen_rating(path, settings)
    found = read_sheets(files, lambda raters: reopen_rating(path, settings, raters).rating)
    opened = reopen_rating(path, settings)
    opened.rating.store.add(found.judgments)
    return opened, found


def finish_rating(opened: OpenRating) -> dict[str, Any]:
    """Compute the results, and write them into evaluation.json, the report and the card; the caller holds the folder.

    Returns:
        ``judgments`` of evaluation.json.
    """
    folder, record = opened.folder, opened.rating.record
    now = {item.item for item in record.items}
    counted = [one for one in opened.rating.store.records if one.item in now]
    verdicts = [one for one in read_judgments(folder.path, JUDGE) if one.item in now]
    others = len(opened.rating.store.records) - len(counted)
    if not counted and not verdicts:
        return judgments_section([], record.models, same=record.same)
    criteria = [
        Criterion(q.name, q.question, q.low, q.high, (q.labels[0], q.labels[1]) if len(q.labels) == 2 else ("", ""))
        for q in record.criteria
    ]
    section = judgments_section(counted, record.models, criteria, others, record.same)
    judge = _judge(folder.path, verdicts, counted, record)
    if judge is not None:
        section["judge"] = judge
    add_section(folder, "judgments", section)
    if folder_kind(folder.path) is FolderKind.RUN:
        write_pages(folder.path)
    return section


def _judge(
    path: Path, verdicts: Sequence[JudgmentRecord], people: Sequence[JudgmentRecord], record: RatingRecord
) -> dict[str, Any] | None:
    """The judge's part, computed anew: people may have judged more since."""
    if not verdicts:
        return None
    known = read_evaluation(path)
    before = known.judgments.judge if known is not None and known.judgments is not None else None
    name = verdicts[-1].rater
    asked = before.rows if before is not None and before.model == name else len({one.item for one in verdicts})
    url = before.url if before is not None else ""
    return judge_section([v for v in verdicts if v.rater == name], people, record.models, name, url, asked)
