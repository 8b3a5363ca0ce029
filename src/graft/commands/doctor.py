"""``graft doctor DATA``: what is wrong with data, before an hour is spent on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graft.commands.data_folder import check_files, check_outside
from graft.commands.doctor_pages import check_output, write_findings
from graft.commands.embeddings import find_embeddings
from graft.config import DoctorSettings, compose, config_of
from graft.data.checks import CHECKS, CheckedData, Finding, check_components, run_checks
from graft.errors import Problems
from graft.planning.checked_data import read_data
from graft.progress import SILENT, Reporter, enter

if TYPE_CHECKING:
    from graft.planning.checked_tokens import CheckedModel
    from graft.report.shown_rows import ShownRow


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, what was found in it, the gravest first, and the checks that ran."""

    data: CheckedData
    findings: list[Finding]
    checks: tuple[str, ...]


def settings_class() -> type[DoctorSettings]:
    """Return the settings with the options of every check."""
    return compose(DoctorSettings, check_components())


def diagnose_data(settings: DoctorSettings, reporter: Reporter = SILENT) -> Diagnosis:
    """Read data and check it; with an ``output_path``, write what was found there. The data is not changed.

    Raises:
        InputError: If settings are wrong, with all of them, or no row can be read at all.
    """
    names = check_settings(settings)
    model = _model(settings, reporter)
    read = settings if model is None else model.settings
    data = read_data(read, settings.against, settings.seed, settings.token, reporter, model)
    if data.tokens is None:
        names = [name for name in names if not getattr(CHECKS.get(name), "needs_model", False)]
    if data.labels and "wrong_labels" in names:
        data.embed = find_embeddings(settings, len(data.train.rows), reporter)
    found = Diagnosis(data, run_checks(data, names, lambda check: _config(settings, check)), tuple(names))
    if settings.output_path is not None:
        enter(reporter, "writing")
        write_findings(settings.output_path, found)
    return found


def shown_rows(data: CheckedData, count: int | None) -> list[ShownRow]:
    """Return the first rows to train on as the model sees them; none without a model.

    Args:
        data: The data.
        count: How many rows.
    """
    if not count or data.tokens is None:
        return []
    from graft.report.shown_rows import shown_rows as shown

    return shown(data.tokens.sides[0].rows, count, data.tokens.preview)


def check_settings(settings: DoctorSettings) -> list[str]:
    """Return the checks to run.

    Raises:
        InputError: With all that is wrong with the settings, and with the files that do not exist.
    """
    problems = Problems()
    for name in (*(settings.checks or ()), *settings.skip_checks):
        with problems.collecting():
            CHECKS.get(name)
    if settings.show and settings.model_name_or_path is None and settings.adapter_path is None:
        problems.add("--show prints rows as a model sees them, and no model is given", remedy="--model MODEL")
    if settings.output_path is not None:
        with problems.collecting():
            check_outside(settings.output_path, settings)
            check_output(settings.output_path, settings.overwrite)
    if settings.data_files is None and settings.data_name is None:
        problems.add("no data is given", remedy="graft doctor DATA")
    with problems.collecting():
        check_files(settings, "data_files", "eval_data_files", "against")
    names = [name for name in settings.checks or CHECKS.names() if name not in settings.skip_checks]
    if not names:
        problems.add("no check is left to run", "--skip_checks", f"the checks are {', '.join(CHECKS.names())}")
    problems.raise_if_any()
    return names


def _model(settings: DoctorSettings, reporter: Reporter) -> CheckedModel | None:
    if settings.model_name_or_path is None and settings.adapter_path is None:
        return None
    from graft.planning.checked_tokens import open_checked_model  # imports torch

    return open_checked_model(settings, reporter)


def _config(settings: DoctorSettings, check: Any) -> Any:
    return config_of(settings, check.Config)
