"""The data doctor: checks of rows before they are trained on. Each check is one file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from graft.config import Component, Settings
from graft.data.checks.base import SEVERITIES, Check, Finding, Severity, visible
from graft.data.checks.view import CheckedData, Embed, Side, TokenizedSide, Tokens, texts_of
from graft.registry import Registry, naming_extension

__all__ = [
    "CHECKS",
    "SEVERITIES",
    "Check",
    "CheckedData",
    "Embed",
    "Finding",
    "Severity",
    "Side",
    "TokenizedSide",
    "Tokens",
    "check_components",
    "run_checks",
    "texts_of",
]

_HERE = "graft.data.checks"
CHECKS: Registry[Check] = Registry(
    "check",
    Check,
    {
        "unreadable": f"{_HERE}.unreadable:Unreadable",
        "lengths": f"{_HERE}.lengths:Lengths",
        "answers": f"{_HERE}.answers:Answers",
        "duplicates": f"{_HERE}.duplicates:Duplicates",
        "empty_prompts": f"{_HERE}.empty_prompts:EmptyPrompts",
        "near_duplicates": f"{_HERE}.near_duplicates:NearDuplicates",
        "contradictions": f"{_HERE}.contradictions:Contradictions",
        "leakage": f"{_HERE}.leakage:Leakage",
        "near_leakage": f"{_HERE}.near_leakage:NearLeakage",
        "classes": f"{_HERE}.classes:Classes",
        "label_variants": f"{_HERE}.label_variants:LabelVariants",
        "wrong_labels": f"{_HERE}.wrong_labels:WrongLabels",
        "learning_curve": f"{_HERE}.learning_curve:LearningCurve",
        "encoding": f"{_HERE}.encoding:Encoding",
        "html": f"{_HERE}.html:Html",
        "columns": f"{_HERE}.columns:Columns",
        "templates": f"{_HERE}.templates:Templates",
        "conversations": f"{_HERE}.conversations:Conversations",
        "languages": f"{_HERE}.languages:Languages",
        "control_characters": f"{_HERE}.control_characters:ControlCharacters",
        "personal_data": f"{_HERE}.personal_data:PersonalData",
        "special_tokens": f"{_HERE}.special_tokens:SpecialTokens",
        "boundary": f"{_HERE}.boundary:Boundary",
        "byte_fallback": f"{_HERE}.byte_fallback:ByteFallback",
        "preferences": f"{_HERE}.preferences:Preferences",
    },
)


def check_components() -> list[Component]:
    """Return the checks that have options of their own."""
    return [Component("checks", name, check.Config) for name, check in CHECKS.items() if check.Config is not Settings]


def run_checks(
    data: CheckedData,
    names: Iterable[str] | None = None,
    config_of: Callable[[Check], Any] = lambda check: check.Config(),
) -> list[Finding]:
    """Return what the checks find, the gravest first.

    Args:
        data: The data.
        names: The checks to run; None for all.
        config_of: The settings of a check.

    Raises:
        InputError: If there is no check of a name.
    """
    chosen: Sequence[str] = CHECKS.names() if names is None else list(names)
    order = [*CHECKS.builtin, *CHECKS.installed()]
    found: list[Finding] = []
    for number, name in enumerate(sorted(chosen, key=lambda name: order.index(name) if name in order else len(order))):
        check = CHECKS.get(name)
        data.reporter.advance("checks", number, len(chosen), check.title)
        with naming_extension("check", name, check):
            found += map(visible, check.examine(data, config_of(check)))
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
