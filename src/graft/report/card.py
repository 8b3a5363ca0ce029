"""``README.md`` of a run: a model card as the Hugging Face hub takes it."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from graft.files import write_whole
from graft.models.adapter_base import EMBEDDED_IDS
from graft.models.license import commercial_use
from graft.report import summary, usage
from graft.report.forgetting_section import forgetting_sentence
from graft.report.format import count, interval_text, metric_of, signed
from graft.report.judgments_section import sentences
from graft.runs.view import RunView, is_path
from graft.shared_text import fenced, markdown, shared, without_places

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

# Of https://huggingface.co/docs/hub/repositories-licenses, those of models that people tune.
_LICENSES = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd
bsd-2-clause bsd-3-clause bsl-1.0 cc cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
cc-by-nc-nd-4.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 creativeml-openrail-m gemma gpl gpl-2.0
gpl-3.0 intel-research isc lgpl lgpl-3.0 llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 mit mpl-2.0 ms-pl ncsa openrail
unlicense zlib
"""


def write_card(run: Path, view: RunView | None = None) -> Path:
    """Write ``README.md`` into the run folder ``run``, from ``view`` or from the files that are there."""
    path = run / "README.md"
    write_whole(path, render(view or RunView.read(run)))
    return path


def render(view: RunView) -> str:
    """Return the model card: front matter and text."""
    return f"---\n{card_data(view).to_yaml()}\n---\n\n{_text(view)}"


def card_data(view: RunView) -> ModelCardData:
    """The front matter, with the scores of the tuned model as its ``model-index``."""
    from huggingface_hub import ModelCardData

    adapter = usage.has_adapter(view.path)
    base, license = base_id(view), (view.license or "unknown").lower()
    known = license in _LICENSES.split()
    named = not known and license != "unknown"
    results = _results(view)
    language = (view.data.summary.model_extra or {}).get("language")
    found: dict[str, Any] = {
        "base_model": base,
        "base_model_relation": ("adapter" if adapter else "finetune") if base else None,
        "datasets": data_set_id(view),
        "language": language if isinstance(language, str) and re.fullmatch(r"[a-z]{2,3}", language) else None,
        "library_name": "peft" if adapter else "transformers",
        "license": license if known else "other" if named else None,
        "license_name": re.sub(r"[^a-z0-9.-]+", "-", license).strip("-") if named else None,
        "license_link": f"https://huggingface.co/{base}" if named and base else None,
        "metrics": list(dict.fromkeys(result.metric_type for result in results)) or None,
        "pipeline_tag": hub_task(view),
        "tags": [tag for tag in ("graft", view.method if adapter else "", str(_kind(view))) if tag],
    }
    if results:
        found |= {"model_name": model_name(view), "eval_results": results}
    return ModelCardData(**{name: value for name, value in found.items() if value is not None})


def model_name(view: RunView) -> str:
    """Return the run's title as a valid repository name of the hub."""
    name = re.sub(r"[^\w.-]+", "-", view.title, flags=re.ASCII).strip("-._")
    return re.sub(r"-{2,}|\.{2,}", "-", name)[:96] or "graft-run"


def base_id(view: RunView) -> str | None:
    """The hub id of the base; None of a local folder or file."""
    return EMBEDDED_IDS.get(view.base, view.base if _is_hub_id(view.base) else None)


def data_set_id(view: RunView) -> str | None:
    """The hub id of the data set; None of local files, which may look like one."""
    name = str(view.settings.get("data_name") or "")
    path = view.data.train.path if view.data.train else ""
    local = path and path != name and path.replace("\\", "/").rstrip("/").endswith(name)
    return None if local or Path(name).suffix.lower() in _DATA_FILES or not _is_hub_id(name) else name


_DATA_FILES = {".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow"}


def _is_hub_id(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    if is_path(name) or "/" not in name:
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def hub_task(view: RunView) -> str:
    """The hub's name for the run's task (``pipeline_tag``)."""
    task = usage.task_of(view)
    return (task.hub_tag if task else "") or view.task


def _kind(view: RunView) -> str:
    return "text-classification" if view.labels else re.sub(r"[^a-z0-9]+", "-", view.data.kind.lower()).strip("-")


def _results(view: RunView) -> list[Any]:
    from huggingface_hub import EvalResult

    name = "tuned" if "tuned" in view.scores else next(iter(view.scores), None)
    data_set = PurePath(view.evaluation.data.path.replace("\\", "/"))
    stem = view.title if summary.is_held_out(data_set) else data_set.stem
    slug = re.sub(r"[^\w.-]+", "-", stem, flags=re.ASCII).strip("-") or "held-out"
    return [
        EvalResult(
            task_type=hub_task(view),
            task_name=hub_task(view).replace("-", " ").capitalize(),
            dataset_type=data_set_id(view) or slug,
            dataset_name=f"{stem} (held out)" if stem != data_set.stem else stem or "held-out rows",
            metric_type=metric.hub_name,
            metric_name=metric.heading,
            metric_value=round(view.scores[name][metric.name].value, 6),
        )
        for metric in (metric_of(view, metric) for metric in view.metric_names)
        if name and metric.name in view.scores[name]
    ]


def _text(view: RunView) -> str:
    parts = [
        f"# {markdown(view.title)}",
        markdown(without_places(summary.sentence(view))),
        _what_it_is(view),
        _scores(view),
        _judgments(view),
        _how_to_use(view),
        _listed("## Data", summary.data_facts(view)),
        _label_line(view),
        _listed("## Training", [*summary.training_facts(view), *_settings(view)]),
        _listed("## Provenance", _provenance(view)),
        _limits(view),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _provenance(view: RunView) -> summary.Facts:
    return [*summary.base_facts(view), *summary.machine_facts(view), *summary.version_facts(view)]


def _what_it_is(view: RunView) -> str:
    base, adapter = base_id(view), usage.has_adapter(view.path)
    name = f"[{base}](https://huggingface.co/{base})" if base else markdown(view.base_name)
    what = f"An adapter for {name}" if adapter else f"{name}, fine-tuned"
    method = markdown(view.method_title) if adapter else ""
    rows = count(view.data.train_rows)
    task = f" to answer with one of: {', '.join(markdown(label) for label in view.labels[:20])}" if view.labels else ""
    how = f"{' with ' + method if method else ''}{' on ' + rows + ' rows' if rows else ''}"
    return f"{what}, trained{how}{task}. Made with graft."


def _how_to_use(view: RunView) -> str:
    if not usage.has_weights(view):
        return f"## How to continue\n\n{fenced(usage.resume_command(view), 'bash')}"
    commands = "\n".join(command for _, command in usage.commands(view))
    snippet = usage.snippet(view)
    code = f"{fenced(snippet, 'python')}\n\n" if snippet else ""
    return f"## How to use it\n\n{code}On the command line, with graft:\n\n{fenced(commands, 'bash')}"


def _scores(view: RunView) -> str:
    if not view.scores:
        return ""
    scores = {**view.baselines, **view.scores}
    lines = [
        f"| metric | {' | '.join(map(markdown, scores))} | difference | rows |",
        f"|---|{'---|' * len(scores)}---|---|",
    ]
    for metric in (metric_of(view, metric) for metric in view.metric_names):
        estimates = [figures.get(metric.name) for figures in scores.values()]
        cells = [_bracketed(metric.figure(e.value), interval_text(metric, e)) if e else "" for e in estimates]
        d = view.difference(metric.name)
        gain = _bracketed(signed(metric, d.value), interval_text(metric, d)) if d else ""
        rows = count(next((e.n for e in estimates if e), None))
        lines.append(f"| {markdown(metric.heading)} | {' | '.join(cells)} | {gain} | {rows} |")
    lines.append(f"\n{markdown(summary.judged_on(view))}; 95 % intervals in brackets, differences paired by row.")
    leaked = summary.without_leaked(view)
    lines += [f"\n{markdown(leaked)}"] if leaked else []
    lines += [f"\n{summary.baselines_note(view)}"] if view.baselines else []
    forgotten = forgetting_sentence(view)
    lines += [f"\n{markdown(forgotten)}"] if forgotten else []
    lines += [f"\n{markdown(without_places(note))}" for note in view.evaluation.notes]
    return "## Scores\n\n" + "\n".join(lines)


def _judgments(view: RunView) -> str:
    found = view.evaluation.judgments
    lines = [f"- {markdown(without_places(text))}" for text in sentences(found)] if found is not None else []
    return "## People's judgment\n\n" + "\n".join(lines) if lines else ""


def _bracketed(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value


def _listed(heading: str, pairs: summary.Facts) -> str:
    lines = [f"- {markdown(name)}: {markdown(value)}" for name, value in shared(pairs)]
    return f"{heading}\n\n" + "\n".join(lines) if pairs else ""


def _label_line(view: RunView) -> str:
    counts = summary.label_counts(view)[:30]
    return f"Labels: {', '.join(f'{markdown(name)} {count(rows)}' for name, rows in counts)}." if counts else ""


_LISTED_SETTINGS = (
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "lora_r",
    "target_modules",
)


def _settings(view: RunView) -> summary.Facts:
    found = {setting.name: setting.value for setting in summary.settings(view)}
    return [(name, found[name]) for name in _LISTED_SETTINGS if found.get(name, "none") != "none"]


def _limits(view: RunView) -> str:
    license = view.license or None
    n = count(next((e.n for values in view.scores.values() for e in values.values()), None))
    judged = f"It was evaluated on {n} rows of the same kind as the training data" if n else "It was not evaluated"
    return (
        f"## Limits\n\n- {judged}. Expect lower scores on other texts.\n"
        f"- It inherits errors and biases of the base model and of the training data.\n"
        f"- License of the base: {markdown(license or 'unknown')}; {markdown(commercial_use(license))}. "
        f"The license of the training data may add restrictions."
    )
