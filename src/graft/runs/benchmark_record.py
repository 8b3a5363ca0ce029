"""``benchmarks`` of evaluation.json: what ``graft benchmark`` measured of a run, task by task."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from graft.runs.bundle_manifest import FigureRecord
from graft.runs.difference_record import DifferenceRecord
from graft.runs.record import Count, Record


class BenchmarkTaskRecord(Record):
    """A task, and what the models made of it on the same rows.

    Attributes:
        members: The tasks of a group that has a score of its own.
        file: The file of a task of the user's own, by name; empty for one of the harness.
        version: The task's version, as its file says.
        harness: The version of lm-evaluation-harness.
        rows: The number of rows that were asked.
        of: The number of rows that there are.
        num_fewshot: The number of examples before each question.
        settings: What differs from the harness's defaults: limit, seed, chat template and others, by its names.
        metrics: The direction of each metric, ``higher`` or ``lower``.
        predictors: By model and metric: the value, its 95 % interval, and the number of rows.
        differences: Paired differences between models.
        samples: The file with the rows, relative to the folder; empty where it was not kept.
        date: When it was measured, in UTC.
    """

    members: list[str] = Field(default_factory=list)
    file: str = ""
    version: str = ""
    harness: str = ""
    rows: Count = 0
    of: Count = 0
    num_fewshot: Count = 0
    settings: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, dict[str, str]] = Field(default_factory=dict)
    predictors: dict[str, dict[str, FigureRecord]] = Field(default_factory=dict)
    differences: list[DifferenceRecord] = Field(default_factory=list)
    samples: str = ""
    date: str = ""


class BenchmarksRecord(Record):
    """All tasks that were asked, the latest result of each.

    Attributes:
        tasks: By the task's name.
    """

    tasks: dict[str, BenchmarkTaskRecord] = Field(default_factory=dict)
