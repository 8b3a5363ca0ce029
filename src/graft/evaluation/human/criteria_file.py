"""Further questions for raters, from a YAML file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from graft.documents import read_yaml, shown
from graft.errors import InputError, Problems, did_you_mean
from graft.evaluation.human.summary import Criterion

MOST = 10
MOST_GRADES = 10
_NAME = re.compile(r"\A[A-Za-z][A-Za-z0-9_-]{0,39}\Z")
_KEYS = ("question", "scale", "labels")
EXAMPLE = 'correct: "Is it right?" — or correct: {question: "Is it right?", scale: [1, 5], labels: [wrong, right]}'


def read_criteria(path: Path) -> list[Criterion]:
    """Read criteria: a mapping of names to questions, or to ``question``, ``scale`` and ``labels``.

    Raises:
        InputError: With everything that is wrong with the file.
    """
    document, problems, found = read_yaml(path, EXAMPLE), Problems(), []
    if not document or len(document) > MOST:
        raise InputError(
            f"this file has {len(document)} criteria; expected 1 to {MOST}", where=str(path), remedy=EXAMPLE
        )
    for name, value in document.items():
        with problems.collecting():
            found.append(_criterion(str(name), value, f"{path}: {name}"))
    problems.raise_if_any()
    return found


def _criterion(name: str, value: Any, where: str) -> Criterion:
    if not _NAME.match(name):
        raise InputError("a name has up to 40 letters, digits, - and _, and begins with a letter", where=where)
    given = {"question": value} if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise InputError(f"this is {shown(value)}; expected a question", where=where, remedy=EXAMPLE)
    problems = Problems()
    for key in given:
        if key not in _KEYS:
            problems.add(f"unknown key {key}", where, did_you_mean(str(key), _KEYS) or f"known: {', '.join(_KEYS)}")
    question = given.get("question")
    if not isinstance(question, str) or not question.strip() or len(question) > 500:
        problems.add(f"question is {shown(question)}; expected a text of up to 500 characters", where)
    scale = given.get("scale", [1, 5])
    is_scale = isinstance(scale, list) and len(scale) == 2 and all(type(each) is int for each in scale)
    if not is_scale or not 0 < scale[1] - scale[0] < MOST_GRADES:
        problems.add(
            f"scale is {shown(scale)}; expected the lowest and the highest grade",
            where,
            f"at most {MOST_GRADES} grades",
        )
    labels = given.get("labels", ["", ""])
    if not isinstance(labels, list) or len(labels) != 2 or not all(isinstance(each, str) for each in labels):
        problems.add(f"labels are {shown(labels)}; expected what the lowest and the highest grade mean", where)
    problems.raise_if_any()
    return Criterion(name, str(question).strip(), scale[0], scale[1], (labels[0], labels[1]))
