"""review.jsonl: rows that a person looks at, and what is to be done with each."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from graft.data.checks.view import texts_of
from graft.data.classes import folded_label
from graft.data.example import Origin
from graft.data.label_column import LabelColumn, label_column
from graft.data.personal import masked, shown_text
from graft.data.readers import Row
from graft.documents import lines_of, parse_json, shown
from graft.errors import InputError, Problems, did_you_mean
from graft.files import write_whole
from graft.plain_text import mask_secrets

if TYPE_CHECKING:
    from graft.data.checks.base import Finding
    from graft.data.checks.view import CheckedData

REVIEW = "review.jsonl"
_ROLE = re.compile(r"\]\.(role|from)$")
"""Where a text is the name of a speaker."""
Decision = Literal["keep", "relabel", "drop"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
LONGEST_TEXT = 2_000
KEYS = ("file", "line", "text", "label", "suggestion", "score", "action", "new_label", "hash")


@dataclass(frozen=True)
class Reviewed:
    """A line of a review.

    Attributes:
        origin: The row.
        label: Its label when it was reviewed.
        action: What is to be done.
        new_label: The label that it gets, where the action is ``relabel``.
        hash: That of its text, by which the row is known.
        where: The line of the review.
    """

    origin: Origin
    label: str
    action: Decision
    new_label: str
    hash: str
    where: str


_NEEDED = (("file", str, "text"), ("line", int, "number"), ("label", str, "text"), ("hash", str, "text"))


def row_text(row: Row, column: LabelColumn | None, read: frozenset[str] | None) -> str:
    """Return what a row has besides its label, as one text without what graft adds, such as a list of the classes.

    Args:
        row: The row.
        column: Where its label is, if that is known.
        read: The columns that are read; None for all.
    """
    columns = row.columns if column is None else column.without(row.columns)
    return "\n\n".join(text for place, text in texts_of(replace(row, columns=columns), read) if not _ROLE.search(place))


def row_hash(text: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a row's text; blanks do not count, as steps remove some."""
    return sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def write_review(findings: Iterable[Finding], data: CheckedData, folder: Path) -> Path | None:
    """Write the likely wrong labels for a person to decide; returns the file, or None where there are none.

    Args:
        findings: What the checks found.
        data: The data that was checked.
        folder: Where the file goes.
    """
    suspects = [each for finding in findings if finding.kind == "wrong_labels" for each in finding.figures["suspects"]]
    if not suspects:
        return None
    places = {(each["file"], each["line"]) for each in suspects}
    column, read = label_column(data), data.read_columns()
    texts = {
        (row.origin.file, row.origin.line): row_text(row, column, read)
        for row in data.train.rows
        if (row.origin.file, row.origin.line) in places
    }
    lines = [_line(each, texts[each["file"], each["line"]]) for each in suspects]
    path = folder / REVIEW
    write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), private=True)
    return path


def _line(suspect: Mapping[str, Any], text: str) -> dict[str, Any]:
    visible = mask_secrets(masked(text[: 2 * LONGEST_TEXT]))
    shortened = visible if len(visible) <= LONGEST_TEXT else f"{visible[:LONGEST_TEXT]}…"
    found = {**suspect, "text": shortened, "action": "keep", "hash": row_hash(text)}
    return {name: found[name] for name in KEYS if name in found}


def read_review(path: Path, problems: Problems) -> list[Reviewed]:
    """Return the lines of a review.

    Args:
        path: The file.
        problems: Takes every line that is damaged, has an action that there is not, or decides on a row again.

    Raises:
        InputError: If the file cannot be read.
    """
    found: dict[Origin, Reviewed] = {}
    for number, text in lines_of(path):
        if not text.strip():
            continue
        with problems.collecting():
            line = _reviewed(text, f"{path}:{number}")
            first = found.setdefault(line.origin, line)
            if first is not line:
                what = f"the row at {line.origin} is decided twice: here and at {first.where}"
                problems.add(what, line.where, "remove one of the two lines")
    return list(found.values())


def _reviewed(text: str, where: str) -> Reviewed:
    line = parse_json(text, where, "write the review again: graft doctor DATA -o OUT")
    if not isinstance(line, dict):
        raise InputError(f"this line is {shown(line)}; expected an object", where=where)
    problems = Problems()
    for name in line:
        if name not in KEYS:
            problems.add(f"unknown key {shown(name)}", where, did_you_mean(str(name), KEYS))
    for name, kind, called in _NEEDED:
        if not isinstance(line.get(name), kind) or isinstance(line.get(name), bool):
            problems.add(f"{name!r} must be a {called}, not {shown(line.get(name))}", where)
    action = line.get("action", "keep")
    if action not in DECISIONS:
        near = did_you_mean(str(action), DECISIONS)
        problems.add(f"unknown action {shown(action)}", where, f"{near} the actions are {', '.join(DECISIONS)}".strip())
    problems.raise_if_any()
    decision: Decision = action
    new = str(line.get("new_label") or line.get("suggestion") or "")
    return Reviewed(Origin(line["file"], line["line"]), line["label"], decision, new, line["hash"], where)


def with_labels(reviewed: Iterable[Reviewed], labels: Mapping[str, str], problems: Problems) -> list[Reviewed]:
    """Return the lines with each new label as the data write it.

    Args:
        reviewed: The review.
        labels: The classes of the data by their folded names.
        problems: Takes the lines with a new label that is none of them.
    """
    found = []
    for line in reviewed:
        label = labels.get(folded_label(line.new_label))
        if line.action == "relabel" and label is None:
            names = sorted(labels.values())
            listed, near = ", ".join(map(shown_text, names[:20])), did_you_mean(line.new_label, names)
            what = f"unknown label {shown(line.new_label)}"
            problems.add(what, line.where, f"{near} the labels are {listed}".strip())
        found.append(replace(line, new_label=label or line.new_label))
    return found


def by_row(
    reviewed: Sequence[Reviewed], rows: Iterable[tuple[Origin, str, str]], labels: Container[str], problems: Problems
) -> dict[Origin, Reviewed]:
    """Return what is to be done with each row that is reviewed.

    A row is looked for at its place; where the file is none of the data's, as after a step has run, by its text and,
    if that is one of the data's, its label.

    Args:
        reviewed: The review.
        rows: The place of each row, its text (``row_text``), and its label.
        labels: The folded labels that rows have.
        problems: Takes every line whose row is another now, and whether no row of the review is there.
    """
    places, hashes = {each.origin: each for each in reviewed}, defaultdict[str, list[Reviewed]](list)
    for each in reviewed:
        hashes[each.hash].append(each)
    named, files, changed = {each.origin.file for each in reviewed}, set(), set()
    found: dict[Origin, Reviewed] = {}
    for origin, text, label in rows:
        files.add(origin.file)
        if origin.file not in named:
            line = _by_text(hashes.get(row_hash(text), ()), folded_label(label), labels)
        else:
            line = places.get(origin)
            if line is not None and row_hash(text) != line.hash:
                changed.add(line.where)
                continue
        if line is not None:
            found[origin] = line
    _check_found(reviewed, found, files, changed, problems)
    return found


def _by_text(lines: Sequence[Reviewed], label: str, labels: Container[str]) -> Reviewed | None:
    """The line of a row with some text; the label tells rows with the same text apart, unless it was a number."""
    given = ((line, folded_label(line.label)) for line in lines)
    return next((line for line, folded in given if folded == label or folded not in labels), None)


def _check_found(
    reviewed: Sequence[Reviewed],
    found: Mapping[Origin, Reviewed],
    files: Container[str],
    changed: Container[str],
    problems: Problems,
) -> None:
    there, before = {line.where for line in found.values()}, len(problems.found)
    for line in reviewed:
        if line.where in changed:
            problems.add(f"the row at {line.origin} has changed since the review", line.where, _AGAIN)
        elif line.where not in there and line.origin.file in files:
            problems.add(f"there is no row at {line.origin}", line.where, _AGAIN)
    if not found and len(problems.found) == before and any(line.action != "drop" for line in reviewed):
        problems.add("no row of the review is in the data", reviewed[0].where, "give the data that was reviewed")


_AGAIN = "the data has changed: write the review again (graft doctor DATA -o OUT)"
