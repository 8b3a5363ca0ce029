"""The steps of ``graft prepare``. Each is one file and a line here; they run in this order."""

from __future__ import annotations

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
        "blanks": f"{_HERE}.blanks:Blanks",
    },
)


def step_components() -> list[Component]:
    """Return the steps that have options of their own."""
    return [Component("steps", name, step.Config) for name, step in STEPS.items() if step.Config is not Settings]
