"""What is said about a run in words: verdict, data, training, machine, settings. Page, card and terminal share it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from graft.config import FinetuneSettings
from graft.evaluation.metrics import metric_info
from graft.evaluation.table import verdict
from graft.models.license import commercial_use
from graft.report.format import count, duration, figure, listed, megabytes, share, took, when
from graft.runs.view import RunView, Table, number

Facts = list[tuple[str, str]]

SECRET = frozenset({"token"})
NOT_NEWS = frozenset({"settings", "resume", "overwrite", "training_arguments"}) | SECRET


@dataclass(frozen=True)
class Setting:
    """``origin`` is given, inferred, or default; ``why`` is said of the inferred ones."""

    name: str
    value: str
    origin: str
    why: str = ""


def sentence(view: RunView) -> str:
    """The verdict, or why there is none."""
    error = str(view.manifest.get("error") or "").strip().split("\n")[0]
    steps = _steps_so_far(view)
    if view.status == "failed":
        return f"The run failed{steps}{': ' + error if error else ''}."
    if view.status == "interrupted":
        gone = " (the process is gone)" if view.killed else ""
        return f"The run was interrupted{steps}{gone}. It can be resumed from its last checkpoint."
    if view.status == "running":
        return f"The run is in progress{steps}."
    if view.scores:
        try:
            return verdict(dict(view.evaluation))
        except (
            LookupError,
            TypeError,
            ValueError,
            StopIteration,
        ):  # one model only, or from elsewhere
            return _plain_scores(view)
    if view.manifest:
        return "The model was tuned but not compared with its base: no evaluation was asked for, or no rows held out."
    return "Nothing is recorded about this run: its folder holds no manifest and no evaluation."


def _steps_so_far(view: RunView) -> str:
    step = max((loss.step for loss in (*view.training_losses, *view.held_out_losses)), default=None)
    return f" after step {step:,}" if step else ""


def _plain_scores(view: RunView) -> str:
    if view.headline is None:
        return "The evaluation holds no scores."
    metric = metric_info(view.evaluation, view.headline)
    found = [f"{metric.figure(v[metric.name].value)} ({n})" for n, v in view.scores.items() if metric.name in v]
    return f"{metric.heading}: {', '.join(found)}."


def subtitle(view: RunView) -> str:
    """``smollm2-135m-instruct, tuned with LoRA on 3,012 rows``."""
    if not view.manifest:
        return ""
    method = {"lora": "LoRA", "qlora": "QLoRA", "dora": "DoRA", "full": "full fine-tuning"}.get(
        view.method, view.method
    )
    rows = count(view.section("data").get("train_rows") or view.section("data", "train").get("rows"))
    return f"{view.base_name}{', tuned with ' + method if method else ''}{' on ' + rows + ' rows' if rows else ''}"


def judged_on(view: RunView) -> str:
    """``On 571 rows of tone-test.jsonl``: whether the training saw them is only known of the run's own rows."""
    data = _table(view.evaluation.get("data"))
    path, rows = PurePath(str(data.get("path") or "").replace("\\", "/")), count(data.get("rows"))
    if is_held_out(path):
        return f"On the {rows + ' ' if rows else ''}rows that were held out from the training"
    return f"On {rows + ' ' if rows else 'the '}rows of {path.name}" if path.name else "On the rows compared"


def is_held_out(path: PurePath) -> bool:
    """Whether it is the run's own file of held-out rows."""
    return path.parts[-2:] == ("data", "eval.jsonl")


def present(pairs: Iterable[tuple[str, str]]) -> Facts:
    """Those that have something to say."""
    return [(name, value) for name, value in pairs if value]


def training_facts(view: RunView) -> Facts:
    training = view.section("training")
    tuned, total = number(training.get("trainable_parameters")), number(training.get("parameters"))
    steps = count(training.get("steps") or max((loss.step for loss in view.training_losses), default=None))
    best = view.best
    stopped = " (stopped early)" if training.get("early_stopped") else ""
    engine, reason = training.get("engine"), training.get("engine_reason")
    return present(
        [
            ("Steps", f"{steps}{stopped}" if steps else ""),
            ("Best step", count(best.step) if best else count(training.get("best_step"))),
            ("Best held-out loss", figure(best.value) if best else figure(training.get("best_eval_loss"))),
            ("Trained parameters", f"{tuned:,.0f} of {total:,.0f} ({share(tuned / total)})" if tuned and total else ""),
            ("Training time", duration(training.get("seconds"))),
            ("Whole run", took(view.manifest.get("started"), view.manifest.get("finished"))),
            ("Speed", _speed(training)),
            ("Peak memory", megabytes(training.get("peak_rss_mb"))),
            ("Engine", f"{engine}{', because ' + str(reason) if reason else ''}" if engine else ""),
        ]
    )


def _speed(training: Table) -> str:
    rows, tokens = _three_digits(training.get("rows_per_second")), count(training.get("tokens_per_second"))
    return " · ".join(
        part for part in (f"{rows} rows/s" if rows else "", f"{tokens} tokens/s" if tokens else "") if part
    )


def _three_digits(value: Any) -> str:
    found = number(value)
    return "" if found is None else f"{found:,.3g}"


def machine_facts(view: RunView) -> Facts:
    machine = view.section("machine")
    memory = number(machine.get("memory_gb"))
    known: Facts = [
        ("Processor", str(machine.get("cpu") or "")),
        ("Cores", count(machine.get("cores"))),
        ("Memory", f"{memory:.3g} GB" if memory else ""),
        ("GPU", listed(machine["gpu"]) if machine.get("gpu") else "none" if machine else ""),
        ("System", str(machine.get("os") or "")),
        ("Started", when(view.manifest.get("started"))),
        ("Finished", when(view.manifest.get("finished"))),
    ]
    return present(known)


def version_facts(view: RunView) -> Facts:
    versions = {str(name): str(value) for name, value in view.section("versions").items()}
    if view.manifest.get("graft"):
        versions.setdefault("graft", str(view.manifest["graft"]))
    order = ["graft", "python", "torch", "transformers", "peft"]
    ranked = sorted(versions, key=lambda name: order.index(name) if name in order else len(order))
    return present([(name, versions[name]) for name in ranked])


def base_facts(view: RunView) -> Facts:
    base, adapter = view.section("base"), view.section("adapter")
    license = str(base.get("license") or "")
    return present(
        [
            ("Base model", str(base.get("name") or "")),
            ("License", f"{license}: {commercial_use(license)}" if base else ""),
            ("Base SHA-256", str(base.get("sha256") or "")),
            ("Adapter SHA-256", str(adapter.get("sha256") or "")),
            ("Seed", str(view.manifest["seed"]) if view.manifest.get("seed") is not None else ""),
        ]
    )


def data_facts(view: RunView) -> Facts:
    data, train = view.section("data"), view.section("data", "train")
    held_out = count(data.get("held_out_rows"))
    summary = view.section("data", "summary")
    return present(
        [
            ("Kind", str(data.get("kind") or "").replace("_", " ")),
            ("Training data", _source(train)),
            ("Rows trained on", count(data.get("train_rows"))),
            ("Held out", f"{held_out} rows" if held_out else ""),
            ("Held-out data", _source(view.section("data", "eval"))),
            ("Compared on", judged_on(view).removeprefix("On ") if view.evaluation else ""),
            ("Tokens", count(data.get("tokens"))),
            ("Trained token share", share(data.get("trained_token_share"))),
            *[(_title(name), _lengths(value)) for name, value in summary.items() if _is_lengths(name, value)],
            *[(_title(name), figure(value)) for name, value in summary.items() if _plain(name, value)],
        ]
    )


def _source(source: Table) -> str:
    path, rows = source.get("path"), count(source.get("rows"))
    if not path:
        return ""
    return f"{PurePath(str(path)).name}{', ' + rows + ' rows' if rows else ''}"


def _table(value: Any) -> Table:
    return value if isinstance(value, dict) else {}


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


_SHOWN_ELSEWHERE = frozenset({"labels", "label_counts", "warnings", "rows", "train_rows", "held_out_rows", "eval_rows"})


def _is_lengths(name: str, value: Any) -> bool:
    return name not in _SHOWN_ELSEWHERE and isinstance(value, dict)


def _plain(name: str, value: Any) -> bool:
    return name not in _SHOWN_ELSEWHERE and not isinstance(value, (dict, list)) and value not in (None, "")


def _lengths(value: Table) -> str:
    """A small table of numbers, such as lengths: ``median 21, p95 34, max 60``."""
    if len(value) > 8 or not all(isinstance(entry, (int, float)) for entry in value.values()):
        return ""
    return ", ".join(f"{name.replace('_', ' ')} {figure(entry)}" for name, entry in value.items())


def label_counts(view: RunView) -> list[tuple[str, int]]:
    """Each label with its number (``counted``), commonest first: of the data's summary, or of what was compared."""
    summary = view.section("data", "summary")
    for name in ("labels", "label_counts"):
        counts = _numbers(summary.get(name))
        if counts:
            return counts
    classes = _table(view.evaluation.get("classes"))
    supports = {
        label: entry.get("support") for by_label in classes.values() for label, entry in _table(by_label).items()
    }
    return _numbers(supports)


def counted(view: RunView) -> str:
    """What the figures of each label count: rows, or entities, of which a row may have several or none."""
    units = [metric_info(view.evaluation, name).support_unit for name in view.metric_names]
    return next((unit for unit in units if unit != "rows"), "rows")


def _numbers(value: Any) -> list[tuple[str, int]]:
    found = [(str(name), int(entry)) for name, entry in _table(value).items() if number(entry) is not None]
    return sorted(found, key=lambda pair: -pair[1])


def warnings(view: RunView) -> list[str]:
    """What was found wrong with the data, and signs of trouble in training."""
    return [*data_warnings(view), *[sign.what for sign in view.signs]]


def data_warnings(view: RunView) -> list[str]:
    found: list[str] = []
    for source in (view.section("data", "summary"), view.section("data")):
        listed_here = source.get("warnings") or ()
        found += [str(entry) for entry in listed_here] if isinstance(listed_here, Sequence) else []
    return list(dict.fromkeys(found))


def settings(view: RunView) -> list[Setting]:
    """Every setting with its value, where that came from, and why."""
    recorded = view.section("settings")
    raw = view.manifest.get("inferred_settings") or ()
    inferred = {str(entry["name"]): entry for entry in raw if isinstance(entry, dict) and entry.get("name")}
    found = [
        Setting(name, listed(entry.get("value")), "inferred", str(entry.get("why") or ""))
        for name, entry in inferred.items()
        if name not in SECRET and recorded.get(name) in (None, entry.get("value"))
    ]
    passed = recorded.get("training_arguments")
    every = {**recorded, **(passed if isinstance(passed, dict) else {})}
    taken = {setting.name for setting in found} | NOT_NEWS
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
