"""Sheets for people elsewhere: a table for a spreadsheet, or a page that needs no server; and their way back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.documents import parse_json, read_text, shown
from graft.errors import InputError, Problems, shorten
from graft.evaluation.human.page import rating_page
from graft.evaluation.human.rating import Rating
from graft.runs.judgment_record import Choice, JudgmentRecord

KINDS = (".csv", ".html")
ROW, SHEET, RATER, CHOICE = "row", "sheet", "rater", "better"
WORDS: Mapping[str, Choice] = {
    "1": "left",
    "answer 1": "left",
    "2": "right",
    "answer 2": "right",
    "=": "tie",
    "tie": "tie",
    "equal": "tie",
    "bad": "both_bad",
    "both bad": "both_bad",
    "both_bad": "both_bad",
}
"""What a rater may write into the column ``better``."""
_FORMULA = re.compile(r"\A[\s']*[=+\-@\t\r]")
_FILE = re.compile(r"[^A-Za-z0-9_-]+")


def cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    return f"'{text}" if _FORMULA.match(text) else text


def sheet_paths(path: Path, raters: Sequence[str]) -> dict[str, Path]:
    """Return the file of each rater: ``path`` for one, else with the rater's name before the suffix.

    Raises:
        InputError: If the suffix is unknown, or two names give the same file.
    """
    if path.suffix.lower() not in KINDS:
        raise InputError(f"the sheet is {path.name!r}; expected .csv or .html", where="--export")
    if len(raters) == 1:
        return {raters[0]: path}
    found = {name: path.with_name(f"{path.stem}-{_FILE.sub('-', name).strip('-')}{path.suffix}") for name in raters}
    if len({file.name.lower() for file in found.values()}) < len(found):
        names = ", ".join(raters)
        raise InputError(f"these names give the same file: {names}", where="--raters", remedy="name raters by letters")
    return found


def sheet_text(rating: Rating, rater: str, kind: str) -> str:
    """Return the sheet of a rater.

    Args:
        rating: What is judged.
        rater: The rater.
        kind: ``.csv`` or ``.html``.
    """
    items = [rating.shown(item, rater) for item in rating.queue(rater)]
    if kind == ".html":
        said = {"id": rating.record.id, "rater": rater, "questions": rating.questions(), "items": items}
        return rating_page(said)
    out = io.StringIO()
    names = [question.name for question in rating.record.criteria]
    graded = [f"{name} {side}" for name in names for side in (1, 2)]
    reference = ["reference"] if rating.show_reference else []
    write = csv.writer(out, lineterminator="\r\n").writerow
    write(["number", "prompt", *reference, "answer 1", "answer 2", CHOICE, *graded, "comment", ROW, RATER, SHEET])
    for number, item in enumerate(items, 1):
        texts = [item["prompt"], *([item["reference"]] if reference else []), *item["answers"]]
        last = [item["key"], rater, rating.record.id]
        write([number, *map(cell, texts), "", *[""] * len(graded), "", *map(cell, last)])
    return "\ufeff" + out.getvalue()  # by which Excel knows UTF-8


@dataclass(frozen=True)
class Returned:
    """Judgments of sheets that came back.

    Attributes:
        judgments: Those that are new.
        known: How many were there already.
        open: How many rows have no judgment.
    """

    judgments: list[JudgmentRecord]
    known: int
    open: int


def read_sheets(paths: Sequence[Path], open_rating: Callable[[Sequence[str]], Rating]) -> Returned:
    """Read sheets.

    Args:
        paths: The files: .csv, or .json as the page saves it.
        open_rating: Returns the rating of the raters that the sheets name.

    Raises:
        InputError: With everything that is wrong with them; nothing of them counts then.
    """
    problems = Problems()
    found: list[tuple[Path, _Sheet]] = []
    for path in paths:
        with problems.collecting():
            found.append((path, _read(path)))
    problems.raise_if_any()
    rating = open_rating(sorted({sheet.rater for _, sheet in found}))
    judgments: list[JudgmentRecord] = []
    known = 0
    for path, sheet in found:
        if sheet.id != rating.record.id:
            what = f"this sheet is of another run ({shown(sheet.id)}; this one is {rating.record.id!r})"
            problems.add(what, path, "name the run that the sheet was exported from")
            continue
        for where, given in sheet.lines:
            with problems.collecting():
                record = _judgment(rating, sheet.rater, given, where)
                last = rating.store.last(sheet.rater, record.item)
                if last is not None and _said(last) == _said(record):
                    known += 1
                else:
                    judgments.append(record)
    shorten(problems, "problems")
    problems.raise_if_any()
    return Returned(judgments, known, sum(sheet.open for _, sheet in found))


def _judgment(rating: Rating, rater: str, given: Mapping[str, Any], where: str) -> JudgmentRecord:
    """The judgment of a line; its problems say where.

    Raises:
        InputError: With everything that is wrong with it.
    """
    try:
        return rating.judgment(rater, given, "sheet")
    except InputError as error:
        problems = Problems()
        for problem in error.problems:
            problems.add(problem.what, where, problem.remedy)
        problems.raise_if_any()
        raise


def _said(record: JudgmentRecord) -> tuple[Any, ...]:
    return record.choice, record.criteria, record.comment


@dataclass(frozen=True)
class _Sheet:
    id: str
    rater: str
    lines: list[tuple[str, dict[str, Any]]]
    open: int


def _read(path: Path) -> _Sheet:
    text = read_text(path, remedy="give the sheet as it was saved: CSV in UTF-8, or the file that the page saved")
    return _from_json(text, path) if text.lstrip("\ufeff \r\n\t").startswith("{") else _from_csv(text, path)


def _from_json(text: str, path: Path) -> _Sheet:
    found = parse_json(text.lstrip("\ufeff"), str(path))
    judgments = found.get("judgments")
    named = isinstance(found.get("id"), str) and isinstance(found.get("rater"), str)
    if found.get("graft") != "judgments" or not named or not isinstance(judgments, list):
        raise InputError(
            "this is not a file of judgments", where=str(path), remedy="save it from the sheet's last page"
        )
    lines = [(f"{path}: judgment {number}", given) for number, given in enumerate(judgments, 1)]
    return _Sheet(found["id"], found["rater"], lines, 0)


def _from_csv(text: str, path: Path) -> _Sheet:
    """Read a table, whose columns may be in another order and separated by semicolons or tabs.

    Raises:
        InputError: If columns are missing, or lines are of several raters or runs.
    """
    text = text.lstrip("\ufeff")
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise InputError(f"this is not a table: {error}", where=str(path)) from None
    names = [str(name).strip() for name in (rows[0] if rows else {})]
    missing = [name for name in (CHOICE, ROW, RATER, SHEET) if name not in names]
    if missing:
        remedy = "give the sheet that graft rate --export wrote, with all its columns, as CSV"
        raise InputError(f"this table has no column {', '.join(missing)}", where=str(path), remedy=remedy)
    rows = [{str(name).strip(): _plain(value) for name, value in row.items()} for row in rows]
    rows = [row for row in rows if row[ROW] or row[CHOICE]]
    for name in (RATER, SHEET):
        if len({row[name] for row in rows}) != 1:
            several = ", ".join(sorted({row[name] for row in rows})) or "nothing"
            raise InputError(f"the column {name} has {several}; expected one value", where=str(path))
    problems, lines = Problems(), []
    for number, row in enumerate(rows, 1):
        if row[CHOICE]:
            with problems.collecting():
                lines.append((f"{path}: row {number}", _line(row, f"{path}: row {number}")))
    shorten(problems, "problems")
    problems.raise_if_any()
    return _Sheet(rows[0][SHEET], rows[0][RATER], lines, len(rows) - len(lines))


def _plain(value: Any) -> str:
    """The text of a cell, without the apostrophe that ``cell`` put before it."""
    text = value.strip() if isinstance(value, str) else ""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _line(row: Mapping[str, str], where: str) -> dict[str, Any]:
    problems, word = Problems(), row[CHOICE].lower().removesuffix(".0")
    if word not in WORDS:
        problems.add(f"{CHOICE} is {shown(row[CHOICE])}; expected 1, 2, tie or bad", where)
    grades: dict[str, list[int | None]] = {}
    for name, value in row.items():
        criterion, _, side = name.rpartition(" ")
        if side not in ("1", "2") or not value or criterion in ("answer", ""):
            continue
        digits = value.removesuffix(".0")
        if digits.isdecimal() and len(digits) < 5:
            grades.setdefault(criterion, [None, None])[int(side) - 1] = int(digits)
        else:
            problems.add(f"{name} is {shown(value)}; expected a grade", where)
    problems.raise_if_any()
    return {"item": row[ROW], "choice": WORDS[word], "criteria": grades, "comment": row.get("comment", "")}
