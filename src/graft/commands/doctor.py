"""``graft doctor DATA``: what is wrong with data, before an hour is spent on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graft.config import DoctorSettings, compose, config_of
from graft.data.checks import CHECKS, CheckedData, Finding, check_components, run_checks
from graft.planning.checked_data import read_data
from graft.progress import SILENT, Reporter


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, and what was found in it, the gravest first."""

    data: CheckedData
    findings: list[Finding]


def settings_class() -> type[DoctorSettings]:
    """Return the settings with the options of every check."""
    return compose(DoctorSettings, check_components())


def diagnose_data(settings: DoctorSettings, reporter: Reporter = SILENT) -> Diagnosis:
    """Read data and check it. Nothing is changed.

    Raises:
        InputError: If a setting is wrong, or no row can be read at all.
    """
    data = read_data(settings, settings.against, settings.seed, settings.token, reporter)
    names = [name for name in settings.checks or CHECKS.names() if name not in settings.skip_checks]
    return Diagnosis(data, run_checks(data, names, lambda check: _config(settings, check)))


def _config(settings: DoctorSettings, check: Any) -> Any:
    return config_of(settings, check.Config)
