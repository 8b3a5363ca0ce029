"""``graft init``: looks at data, and writes a workflow file for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from graft.commands.init_file import DEFAULT_FILE, Plan, workflow_text
from graft.commands.models import DescribedModel, describe, facts_of
from graft.config import InitSettings
from graft.data.checks import CHECKS, CheckedData, Finding, run_checks, texts_of
from graft.data.language import language_of
from graft.errors import InputError, Problems
from graft.files import write_whole
from graft.hardware.machine import gpu_names, memory_available_mb
from graft.models.catalog import find_in_catalog
from graft.models.facts import catalog_facts
from graft.models.load import Kind
from graft.planning.checked_data import read_data
from graft.planning.model_choice import Goal, Suggestion, method_of, suggest
from graft.progress import SILENT, Reporter, enter
from graft.runs.kind import FolderKind, folder_kind
from graft.tasks.base import Task
from graft.tasks.select import task_for_data

_HUB_ID = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}")
CHECKED = ("near_duplicates", "encoding", "html", "control_characters", "personal_data")
"""The checks besides the quick ones: a step of ``graft prepare`` mends what they find."""
LOOKED_AT = 200
"""Texts whose language is found."""
FEWEST = 5
"""Texts in a language from which it counts as that of the data."""


@dataclass(frozen=True)
class Looked:
    """What was found in the data.

    Attributes:
        settings: The settings as given.
        data: The rows and how they are read.
        findings: What the checks found.
        task: What the rows are for, unless the user says otherwise.
        language: The ISO 639-1 code of most texts; None where none stands out.
    """

    settings: InitSettings
    data: CheckedData
    findings: Sequence[Finding]
    task: Task
    language: str | None

    @property
    def kind(self) -> Kind:
        """The kind of model that is proposed: for classes, tags and pairs an encoder."""
        has_classes = bool(self.data.labels) and self.settings.task is None
        return "encoder" if has_classes else self.task.kinds[0]

    def suggestions(self, goal: Goal) -> list[Suggestion]:
        """Return models that suit the data and this machine, the best first."""
        gpu, memory = bool(gpu_names()), memory_available_mb()
        found = suggest(self.kind, self.language, goal, memory, gpu)
        if self.kind == "encoder" and self.data.labels:  # a language model answers with the class
            found += suggest("causal", self.language, goal, memory, gpu)[:2]
        return found


def look(settings: InitSettings, reporter: Reporter = SILENT) -> Looked:
    """Read the data and check it. Nothing is written.

    Args:
        settings: Where the data is and how it is read.
        reporter: Shows the progress.

    Raises:
        InputError: With all that is wrong with the settings, or if the rows cannot be read.
    """
    _check(settings)
    data = read_data(settings, None, settings.seed, settings.token, reporter)
    if data.mapping is None:
        data.faults.raise_if_any()
        raise InputError(*([data.preferences] if data.preferences else ["the columns are not recognized"]))
    enter(reporter, "checks")
    quick = [name for name in CHECKS.names() if CHECKS.get(name).quick]
    findings = run_checks(data, [*quick, *CHECKED])
    task = task_for_data(settings.task, data.train.rows, settings)
    return Looked(settings, data, findings, task, _language(data))


def plan_of(looked: Looked, model: str | None, goal: Goal, deploy: str) -> Plan:
    """Return what the workflow does.

    Args:
        looked: The data.
        model: The model; None for the best suggestion.
        goal: What matters.
        deploy: The export format, or ``no``.

    Raises:
        InputError: If there is no such model, or none suits.
    """
    name, described, method = _chosen(looked, model, goal)
    return Plan(looked.settings, looked.data, looked.findings, name, described, method, deploy)


def _chosen(looked: Looked, model: str | None, goal: Goal) -> tuple[str, DescribedModel | None, str]:
    """The model's name, what it is (None for one of the Hub that the catalog lacks), and the tuning method."""
    suggested = looked.suggestions(goal)
    if model is None:
        if not suggested:
            language = f" in the language {looked.language!r}" if looked.language else ""
            what = f"no model of the catalog suits: {looked.kind}{language}, in {memory_available_mb() / 1000:.1f} GB"
            raise InputError(what, where="--model", remedy="name one; `graft models` lists models with their memory")
        return suggested[0].name, describe(catalog_facts(suggested[0].model)), suggested[0].method
    known = find_in_catalog(model)
    is_missing = folder_kind(Path(model).expanduser()) is FolderKind.MISSING
    if known is None and is_missing and _HUB_ID.fullmatch(model) and not Path(model).parent.is_dir():
        return model, None, "lora"
    described = describe(facts_of(model))
    usual = method_of(described.facts.kind, described.facts.parameters or 0)
    if known is None or not is_missing:
        return model, described, usual
    method = next((one.method for one in suggested if one.model is known), usual)
    return known.embedded or known.id, described, method


def write_workflow(plan: Plan) -> Path:
    """Write the workflow file.

    Raises:
        InputError: If the file is there and must not be replaced.
    """
    file = plan.settings.output_path or Path(DEFAULT_FILE)
    check_free(plan.settings)
    write_whole(file, workflow_text(plan, file))
    return file


def check_free(settings: InitSettings) -> None:
    """Check that the file to write is not there, or may be replaced.

    Raises:
        InputError: If it is there, or is a folder.
    """
    file = settings.output_path or Path(DEFAULT_FILE)
    if file.is_dir():
        raise InputError("this is a folder, not a file to write", where=str(file), remedy="-o workflow.yaml")
    if file.exists() and not settings.overwrite:
        raise InputError("this file exists", where=str(file), remedy="--overwrite replaces it; -o names another")


def _check(settings: InitSettings) -> None:
    problems = Problems()
    if settings.data_files is None and settings.data_name is None:
        problems.add("no data is given", remedy="graft init DATA")
    with problems.collecting():
        check_free(settings)
    problems.raise_if_any()


def _language(data: CheckedData) -> str | None:
    """The language of most texts."""
    columns = data.read_columns()
    texts = (text for row in islice(data.train.rows, LOOKED_AT) for _, text in texts_of(row, columns))
    counts = Counter(filter(None, map(language_of, texts)))
    language, count = counts.most_common(1)[0] if counts else ("", 0)
    return language if count >= FEWEST and len(language) == 2 else None
