"""The steps of ``graft prepare``. Each is one file and a line here; they run in this order.

What changes texts comes before what compares them, and what compares rows before what adds copies: else a second run
would find more to do. A review is about rows as they are read; its errors are found before a teacher is asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from graft.config import Component, Settings
from graft.data.steps.base import Change, ChangeLog, Sides, Step, StepContext, each_row
from graft.data.steps.teacher import Teacher, Written
from graft.registry import Registry

__all__ = [
    "STEPS",
    "Change",
    "ChangeLog",
    "Sides",
    "Step",
    "StepContext",
    "Teacher",
    "Written",
    "each_row",
    "step_components",
]

_HERE = "graft.data.steps"
STEPS: Registry[Step] = Registry(
    "step",
    Step,
    {
        "review": f"{_HERE}.review:Review",
        "generate": f"{_HERE}.generate:Generate",
        "encoding": f"{_HERE}.encoding:Encoding",
        "control_characters": f"{_HERE}.control_characters:ControlCharacters",
        "html": f"{_HERE}.html:Html",
        "privacy": f"{_HERE}.privacy:Privacy",
        "blanks": f"{_HERE}.blanks:Blanks",
        "labels": f"{_HERE}.labels:Labels",
        "suspects": f"{_HERE}.suspects:DropSuspects",
        "unreadable": f"{_HERE}.unreadable:Unreadable",
        "duplicates": f"{_HERE}.duplicates:Duplicates",
        "near_duplicates": f"{_HERE}.near_duplicates:NearDuplicates",
        "split": f"{_HERE}.split:Split",
        "augment": f"{_HERE}.augment:Augment",
        "paraphrase": f"{_HERE}.paraphrase:Paraphrase",
        "balance": f"{_HERE}.balance:Balance",
    },
)


def step_components(files: Iterable[str] = ()) -> list[Component]:
    """Return the steps that have options of their own.

    Args:
        files: Steps of files (``path/to/file.py:Name``) besides those that are built in or installed.

    Raises:
        InputError: If a file has no such step.
    """
    steps = [*STEPS.items(), *((name, STEPS.get(name)) for name in files)]
    return [Component("steps", name, step.Config) for name, step in steps if step.Config is not Settings]
