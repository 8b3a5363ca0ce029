"""``benchmarks`` of evaluation.json, from what the models made of the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from graft.evaluation.benchmark.figures import directions, figures, group_values, task_values
from graft.evaluation.benchmark.harness import harness_version
from graft.evaluation.benchmark.judge import Criteria, Judged
from graft.evaluation.benchmark.rows_file import rows_file
from graft.runs.record import plain_values

Pairs = Sequence[tuple[str, str]]


def document_of(
    found: Mapping[str, Judged],
    loaded: Mapping[str, Any],
    criteria: Criteria,
    resamples: int,
    pairs: Pairs,
    files: Mapping[Any, str],
) -> dict[str, Any]:
    """Return ``benchmarks`` of evaluation.json.

    Args:
        found: What each model made of the tasks.
        loaded: The tasks and groups, as the harness's ``TaskManager.load`` returns them.
        criteria: How they were asked.
        resamples: The number of bootstrap resamples.
        pairs: The differences to compute.
        files: The file of each task of the user's own.
    """
    values = {
        name: task_values(name, task, {model: judged.samples[name] for model, judged in found.items()}, resamples)
        for name, task in loaded["tasks"].items()
    }
    common = {"settings": criteria.record(), "harness": harness_version()}
    common["date"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    tasks: dict[str, Any] = {}
    for name, group in (loaded.get("groups") or {}).items():
        members = [task.task_name for task in group.get_all_tasks()]
        made = group_values([values[each] for each in members], _known(found, name))
        if made:
            rows, of = (sum(count) for count in zip(*(_rows(found, each) for each in members), strict=True))
            task = loaded["tasks"][members[0]]
            own = {"rows": rows, "of": of, "members": members, "metrics": directions(made, task)}
            tasks[name] = {**own, **_asked(found, name, files), **common, **figures(made, pairs)}
    for name, task in loaded["tasks"].items():
        rows, of = _rows(found, name)
        own = {"rows": rows, "of": of, "metrics": directions(values[name], task), "samples": rows_file(name)}
        tasks[name] = {**own, **_asked(found, name, files), **common, **figures(values[name], pairs)}
    return {"tasks": plain_values(tasks)}


def _asked(found: Mapping[str, Judged], name: str, files: Mapping[Any, str]) -> dict[str, Any]:
    first = next(iter(found.values()))
    shots, version = first.shots.get(name), first.versions.get(name)
    return {
        "file": files.get(name, ""),
        "version": "" if version in (None, "Yaml", "N/A") else str(version),
        "num_fewshot": shots if isinstance(shots, int) else 0,
    }


def _rows(found: Mapping[str, Judged], name: str) -> tuple[int, int]:
    """The number of rows that were asked, and of those that there are."""
    first = next(iter(found.values()))
    return len({sample["doc_id"] for sample in first.samples[name]}), first.rows[name]


def _known(found: Mapping[str, Judged], group: str) -> dict[str, dict[str, float]]:
    """By metric and model: the harness's values of a group that has a score; its keys are ``METRIC,FILTER``."""
    known: dict[str, dict[str, float]] = {}
    for model, judged in found.items():
        for key, value in judged.group_results.get(group, {}).items():
            metric, comma, kept = key.partition(",")
            if comma and not metric.endswith("_stderr") and isinstance(value, (int, float)):
                known.setdefault(metric if kept == "none" else key, {})[model] = float(value)
    return {metric: by_model for metric, by_model in known.items() if len(by_model) == len(found)}
