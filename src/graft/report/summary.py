"""A run in words: verdict, data, training, machine, settings. The page, the card and the terminal share it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from graft.config import FinetuneSettings
from graft.data.baselines import COPIED, MOST_COMMON, TFIDF
from graft.evaluation import table
from graft.evaluation.unbeaten import Beaten, against_baselines
from graft.models.license import commercial_use
from graft.report.finding_view import recorded_view
from graft.report.format import count, duration, figure, listed, megabytes, metric_of, share, took, when
from graft.runs.manifest import SourceRecord, TrainingRecord
from graft.runs.view import RunView, number

Facts = list[tuple[str, str]]

SECRET = frozenset({"token"})
OMITTED = frozenset({"settings", "resume", "overwrite", "training_arguments"}) | SECRET


@dataclass(frozen=True)
class Setting:
    """A setting of the run; ``origin`` is given, inferred or default, ``why`` the reason of an inferred one."""

    name: str
    value: str
    origin: str
    why: str = ""


def sentence(view: RunView) -> str:
    """Return the verdict in one sentence, or why there is none."""
    error = view.error.split("\n")[0]
    steps = _steps_so_far(view)
    if view.status == "failed":
        return f"The run failed{steps}{': ' + error if error else ''}."
    if view.status == "interrupted":
        gone = " (the process no longer exists)" if view.killed else ""
        return f"The run was interrupted{steps}{gone}. It can be resumed from its last checkpoint."
    if view.status == "running":
        return f"The run is in progress{steps}."
    if view.scores:
        try:
            return table.verdict(view.evaluation.document())
        except (
            LookupError,
            TypeError,
            ValueError,
            StopIteration,
        ):  # one model only, or from elsewhere
            return _plain_scores(view)
    if view.manifest is not None:
        return "The model was tuned but not compared with its base: the run had no evaluation or no held-out rows."
    return "This run has no records: the folder has no manifest and no evaluation."


_BASELINES = {
    MOST_COMMON: "the most common answer of the training rows",
    TFIDF: "TF-IDF of words with logistic regression, trained on them in seconds",
    COPIED: "the input as it is, without what all inputs share",
}


def baselines_note(view: RunView) -> str:
    """Return a sentence on what the baselines of a run are; empty where there are none."""
    said = [_BASELINES.get(name, name) for name in view.evaluation.baselines]
    return f"Scores to beat: {', and '.join(said)}." if said else ""


def beaten_baselines(view: RunView) -> list[Beaten]:
    """Return how the tuned model compares with each baseline in the headline, the best baseline first."""
    if view.headline is None:
        return []
    document, metric = view.evaluation.document(), metric_of(view, view.headline)
    return against_baselines(document, metric, table.judged_predictor(document))


def to_beat(view: RunView) -> str:
    """Return a sentence with the headline metric of each baseline; empty where there are none."""
    return table.to_beat(view.evaluation.document()) if view.baselines else ""


def without_leaked(view: RunView) -> str:
    """Return a sentence on the scores without rows that are in the training data, too; empty where none is."""
    return table.without_leaked(view.evaluation.document())


def _steps_so_far(view: RunView) -> str:
    return f" after step {view.last_step:,}" if view.last_step else ""


def _plain_scores(view: RunView) -> str:
    if view.headline is None:
        return "The evaluation has no scores."
    metric = metric_of(view, view.headline)
    found = [f"{metric.figure(v[metric.name].value)} ({n})" for n, v in view.scores.items() if metric.name in v]
    return f"{metric.heading}: {', '.join(found)}."


def subtitle(view: RunView) -> str:
    """``smollm2-135m-instruct, tuned with LoRA on 3,012 rows``."""
    if view.manifest is None:
        return ""
    method = view.method_title
    rows = count(view.data.train_rows or (view.data.train.rows if view.data.train else None))
    return f"{view.base_name}{', tuned with ' + method if method else ''}{' on ' + rows + ' rows' if rows else ''}"


def judged_on(view: RunView) -> str:
    """``On 571 rows of tone-test.jsonl``: whether the training saw them is only known of the run's own rows."""
    data = view.evaluation.data
    path, rows = PurePath(data.path.replace("\\", "/")), count(data.rows)
    if is_held_out(path):
        return f"On the {rows + ' ' if rows else ''}rows held out from training"
    return f"On {rows + ' ' if rows else 'the '}rows of {path.name}" if path.name else "On the compared rows"


def is_held_out(path: PurePath) -> bool:
    """Whether it is the run's own file of held-out rows."""
    return path.parts[-2:] == ("data", "eval.jsonl")


def present(pairs: Iterable[tuple[str, str]]) -> Facts:
    """Return the pairs with a value."""
    return [(name, value) for name, value in pairs if value]


def _selected(training: TrainingRecord) -> str:
    """Return the metric that selected the best step, with its value; empty for the held-out loss."""
    return "" if training.metric == "loss" else f"{training.metric} {figure(training.best_value)}"


def training_facts(view: RunView) -> Facts:
    """Return the figures of the training, by name."""
    training, manifest = view.training, view.manifest
    tuned, total = training.trainable_parameters, training.parameters
    steps = count(training.steps or view.last_step)
    best = view.best
    stopped = " (stopped early)" if training.early_stopped else ""
    engine, reason = training.engine, training.engine_reason
    return present(
        [
            ("Steps", f"{steps}{stopped}" if steps else ""),
            ("Best step", count(best.step if best else training.best_step)),
            ("Best held-out loss", figure(best.value if best else training.best_eval_loss)),
            ("Selected by", _selected(training)),
            ("Trained parameters", f"{tuned:,.0f} of {total:,.0f} ({share(tuned / total)})" if tuned and total else ""),
            ("Training time", duration(training.seconds)),
            ("Whole run", took(manifest.started, manifest.finished) if manifest else ""),
            ("Speed", _speed(training)),
            ("Peak memory", megabytes(training.peak_rss_mb)),
            ("Engine", f"{engine}{', because ' + str(reason) if reason else ''}" if engine else ""),
        ]
    )


def _speed(training: TrainingRecord) -> str:
    rows, tokens = _three_digits(training.rows_per_second), count(training.tokens_per_second)
    return " · ".join(
        part for part in (f"{rows} rows/s" if rows else "", f"{tokens} tokens/s" if tokens else "") if part
    )


def _three_digits(value: Any) -> str:
    found = number(value)
    return "" if found is None else f"{found:,.3g}"


def machine_facts(view: RunView) -> Facts:
    """Return what is known of the machine and the times, by name."""
    machine, manifest = view.machine, view.manifest
    memory = machine.memory_gb
    known: Facts = [
        ("Processor", machine.cpu or ""),
        ("Cores", count(machine.cores)),
        ("Memory", f"{memory:.3g} GB" if memory else ""),
        ("GPU", listed(machine.gpu) if machine.gpu else "none" if machine.cpu else ""),
        ("System", machine.os or ""),
        ("Started", when(manifest.started if manifest else None)),
        ("Finished", when(manifest.finished if manifest else None)),
    ]
    return present(known)


def version_facts(view: RunView) -> Facts:
    """Return the versions of graft and its libraries, by name."""
    versions = dict(view.manifest.versions) if view.manifest else {}
    if view.manifest and view.manifest.graft:
        versions.setdefault("graft", view.manifest.graft)
    order = ["graft", "python", "torch", "transformers", "peft"]
    ranked = sorted(versions, key=lambda name: order.index(name) if name in order else len(order))
    return present([(name, versions[name]) for name in ranked])


def base_facts(view: RunView) -> Facts:
    """Return the base model, its license and the hashes, by name."""
    manifest = view.manifest
    if manifest is None:
        return []
    base, adapter, license = manifest.base, manifest.adapter, view.license
    return present(
        [
            ("Base model", view.base),
            ("License", f"{license}: {commercial_use(license)}" if base else ""),
            ("Base SHA-256", (base.sha256 or "") if base else ""),
            ("Adapter SHA-256", adapter.sha256 or ""),
            ("Seed", str(manifest.seed) if manifest.seed is not None else ""),
        ]
    )


def data_facts(view: RunView) -> Facts:
    """Return the sources and numbers of the rows, by name."""
    data = view.data
    held_out = count(data.held_out_rows)
    return present(
        [
            ("Kind", data.kind.replace("_", " ")),
            ("Training data", _source(data.train)),
            ("Rows trained on", count(data.train_rows)),
            ("Held out", f"{held_out} rows" if held_out else ""),
            ("Held-out data", _source(data.eval)),
            ("Compared on", judged_on(view).removeprefix("On ") if view.scores else ""),
            ("Tokens", count(data.tokens)),
            ("Trained token share", share(data.trained_token_share)),
            ("Duplicates removed", count(data.summary.duplicates or None)),
            ("Rows too long, dropped", count(data.summary.dropped or None)),
            ("Rows too long, truncated", count(data.summary.truncated or None)),
        ]
    )


def _source(source: SourceRecord | None) -> str:
    if source is None or not source.path:
        return ""
    rows = count(source.rows)
    return f"{PurePath(source.path).name}{', ' + rows + ' rows' if rows else ''}"


def label_counts(view: RunView) -> list[tuple[str, int]]:
    """Each label with its number (``counted``), commonest first: of the data's summary, or of what was compared."""
    counts = view.data.summary.labels or {
        label: record.support
        for by_label in view.evaluation.classes.values()
        for label, record in by_label.items()
        if record.support is not None
    }
    return sorted(counts.items(), key=lambda pair: -pair[1])


def counted(view: RunView) -> str:
    """What the figures of each label count: rows, or entities, of which a row may have several or none."""
    units = [metric_of(view, name).support_unit for name in view.metric_names]
    return next((unit for unit in units if unit != "rows"), "rows")


def warnings(view: RunView) -> list[str]:
    """Warnings about the data, about the training, and about the answers."""
    return [*data_warnings(view), *[warning.message for warning in view.warnings], *view.evaluation.notes]


def data_warnings(view: RunView) -> list[str]:
    """Warnings about the data."""
    grave = [recorded_view(finding) for finding in view.data.findings if finding.severity != "note"]
    return list(dict.fromkeys((*view.data.summary.warnings, *(finding.sentence for finding in grave))))


def settings(view: RunView) -> list[Setting]:
    """Every setting with its value, where that came from, and why."""
    recorded = view.settings
    inferred = view.manifest.inferred_settings if view.manifest else []
    found = [
        Setting(entry.name, listed(entry.value), "inferred", entry.why)
        for entry in inferred
        if entry.name not in SECRET and recorded.get(entry.name) in (None, entry.value)
    ]
    passed = recorded.get("training_arguments")
    every = {**recorded, **(passed if isinstance(passed, dict) else {})}
    taken = {setting.name for setting in found} | OMITTED
    for name, value in every.items():
        if name not in taken:
            origin = "default" if _is_default(name, value) else "given"
            found.append(Setting(str(name), listed(value), origin))
    return found


def _is_default(name: str, value: Any) -> bool:
    field = FinetuneSettings.model_fields.get(name)
    if field is None:
        return False
    default = field.get_default(call_default_factory=False)
    return bool(value == (list(default) if isinstance(default, tuple) else default))
