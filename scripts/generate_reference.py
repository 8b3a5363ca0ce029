"""Makes docs/reference/ from the code, so that the reference says what the code does.

``python scripts/generate_reference.py`` writes every page; ``make docs`` runs it before it builds the site.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

sys.path.insert(0, str(Path(__file__).parent))

import graft
from graft import errors, events
from graft.cli import main as command_line
from graft.cli.help import EVERYWHERE
from graft.config import (
    BenchmarkSettings,
    ChatSettings,
    CheckSettings,
    DataSettings,
    EvaluateSettings,
    EvaluationSettings,
    FinetuneSettings,
    GenerateAdapterSettings,
    HubSettings,
    ModelSettings,
    PrepareSettings,
    RateSettings,
    RowSettings,
    Settings,
    TrainingSettings,
    takers,
)
from graft.data.checks import CHECKS
from graft.data.columns import COLUMN_MAPPINGS
from graft.data.readers import READERS
from graft.data.steps import STEPS
from graft.evaluation.metrics import METRICS
from graft.export.gguf.families import gguf_family
from graft.export.target import TARGETS
from graft.methods import METHODS
from graft.models.families import FAMILIES, UNLISTED
from graft.planning.settings import settings_class
from graft.registry import Registry
from graft.runs import (
    bundle_manifest,
    data_manifest,
    evaluation_document,
    judgment_record,
    manifest,
    run_manifest,
    search_manifest,
)
from graft.tasks import TASKS
from graft.training.losses import LOSSES
from graft.training.passed_fields import EFFECTIVE, REFUSED
from markdown_parts import (
    code,
    codes,
    documented,
    own_fields,
    settings_table,
    summary_of,
    table,
)

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
RESULTS = ROOT / "benchmarks" / "results"
PAGES: dict[str, Callable[[], str]] = {}


def page(name: str, title: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Register a function that returns the text of the page ``name`` below its title."""

    def register(made: Callable[[], str]) -> Callable[[], str]:
        PAGES[name] = lambda: f"# {title}\n\n{inspect.cleandoc(made())}\n"
        return made

    return register


@page("cli", "Command line")
def cli() -> str:
    parts = [
        "Every option can be written `--name value`, `--name=value`, or with hyphens: `--max-steps 100`. `--no_name` sets "
        "a switch to false. Results go to stdout, progress and notes to stderr.\n"
    ]
    parts.append(table(("every command takes", ""), [(code(option), what) for option, what in EVERYWHERE]))
    for name, text in command_line.COMMANDS.items():
        command = command_line.REGISTRY.get(name)
        same = [other for other, of in command_line.SAME.items() if of == name]
        also = f" `graft {same[0]}` is the same command." if same else ""
        parts.append(f"\n## graft {name}\n\n{text[:1].upper()}{text[1:]}.{also}\n\n```\n{command.usage}\n```\n")
        if command.options:
            parts.append(table(("option", ""), [(code(option), what) for option, what in command.options]) + "\n")
        parts.append(_where_settings_are(name))
    return "\n".join(parts)


def _where_settings_are(name: str) -> str:
    anchors = {
        "finetune": "[Settings](settings.md) lists its options.",
        "run": "[Settings](settings.md) lists what a workflow file and the command line take.",
        "evaluate": "Options: [graft evaluate](settings.md#graft-evaluate).",
        "benchmark": "Options: [graft benchmark](settings.md#graft-benchmark).",
        "rate": "Options: [graft rate](settings.md#graft-rate).",
        "chat": "Options: [graft chat](settings.md#graft-chat).",
        "doctor": "Options: [graft doctor](settings.md#graft-doctor).",
        "prepare": "Options: [graft prepare](settings.md#graft-prepare).",
        "auto-opt": "Options: [graft auto-opt](settings.md#graft-auto-opt).",
        "generate-adapter": "Options: [graft generate-adapter](settings.md#graft-generate-adapter).",
    }
    return anchors.get(name, "")


@page("settings", "Settings")
def settings() -> str:
    from graft.export.target import export_settings

    whole = settings_class()
    components: dict[str, dict[str, FieldInfo]] = {}
    for name, info in whole.model_fields.items():
        taking = list(takers(whole, name))
        if taking:
            components.setdefault(f"--{taking[0].option}", {})[name] = info
    of_components = "\n\n".join(
        f"### Options of {code(option)}\n\n{settings_table(fields)}" for option, fields in components.items()
    )
    taken = {name for fields in components.values() for name in fields}
    rest = {
        name: info
        for name, info in own_fields(
            FinetuneSettings, ModelSettings, DataSettings, TrainingSettings, EvaluationSettings
        ).items()
        if name not in taken
    }
    return f"""The same names stand on the command line (`--learning_rate 1e-4`), in YAML (`learning_rate: 1e-4`), and in Python
(`graft.finetune(learning_rate=1e-4)`). The command line wins over a file, a later file over an earlier one. A setting
without a default is inferred from the data, the model, or the machine. An unknown name is an error.

## graft finetune

Every field of [`transformers.TrainingArguments`](https://huggingface.co/docs/transformers/main_classes/trainer) that has
an effect is a setting, too: `--max_grad_norm 0.5`. [The list](#fields-of-trainingarguments) says what each does; the
others are errors that say what to give instead.

### Model

{settings_table(ModelSettings.model_fields)}

### Data

{settings_table(DataSettings.model_fields)}

### Method and loss

{settings_table(rest)}

{of_components}

### Training

{settings_table(TrainingSettings.model_fields)}

### Fields of TrainingArguments

In YAML and in Python they stand beside the other settings, or under `training_arguments`. Settings that contradict each
other, or would do nothing, are errors before anything is loaded.

{_passed_fields()}

These are refused, unless their value asks for nothing:

{_refused_fields()}

### Comparison

{settings_table(EvaluationSettings.model_fields)}

## graft evaluate

The settings of Model and Comparison, those of Data that say which rows and columns, and:

{settings_table(own_fields(EvaluateSettings, ModelSettings, EvaluationSettings, DataSettings) | _chosen(EvaluateSettings, "max_eval_samples"))}

## graft benchmark

{settings_table(own_fields(BenchmarkSettings, HubSettings))}

## graft rate

{settings_table(RateSettings.model_fields)}

## graft doctor

For data: the settings of Model and Data, the options of [checks](checks-and-steps.md#checks), and:

{settings_table(CheckSettings.model_fields)}

## graft prepare

The settings of Data that say which rows and columns, the options of [steps](checks-and-steps.md#steps), and:

{settings_table(own_fields(PrepareSettings, RowSettings))}

## graft chat

The settings of Model, and:

{settings_table(own_fields(ChatSettings, ModelSettings))}

## graft auto-opt

The settings of Model, and:

{settings_table(own_fields(export_settings(), ModelSettings))}

## graft generate-adapter

{settings_table(own_fields(GenerateAdapterSettings, HubSettings))}
"""


def _passed_fields() -> str:
    rows = [
        (code(name), field.effect + (" (CUDA GPUs only)" if field.needs_gpu else ""))
        for name, field in EFFECTIVE.items()
    ]
    return table(("field", "what it does"), rows)


def _refused_fields() -> str:
    """The refused fields, those with one reason in one row."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, field in REFUSED.items():
        names.setdefault((field.refused, field.remedy), []).append(name)
    rows = [(codes(listed), why, remedy) for (why, remedy), listed in names.items()]
    return table(("field", "why not", "instead"), rows)


def _chosen(cls: type[Settings], *names: str) -> dict[str, FieldInfo]:
    return {name: cls.model_fields[name] for name in names}


@page("python-api", "Python API")
def python_api() -> str:
    parts = [
        "`import graft` imports no torch. Every name below is imported when it is first used, and is typed: the package "
        "ships `py.typed`.\n"
    ]
    public = {name: getattr(graft, name) for name in graft.__all__ if not name.startswith("_")}
    sections = {
        "Functions": [name for name, thing in public.items() if inspect.isfunction(thing)],
        "What they return": ["Run", "Scores", "Estimate", "Model", "Bundle", "Predictor"],
    }
    listed = {name for names in sections.values() for name in names}
    rest = [name for name in public if name not in listed]
    sections["Errors"] = [name for name in rest if issubclass(public[name], BaseException)]
    sections["Examples and progress"] = [name for name in rest if name not in sections["Errors"]]
    for title, names in sections.items():
        parts += [f"## {title}\n", *(documented(name, public[name], "###") for name in names)]
    return "\n".join(parts)


@page("data-formats", "Data formats")
def data_formats() -> str:
    readers = [(codes(reader.endings), name.replace("_", " "), summary_of(reader)) for name, reader in READERS.items()]
    mappings = [(code(name), summary_of(rule)) for name, rule in COLUMN_MAPPINGS.items()]
    return f"""## Files

{table(("ending", "format", "how"), readers)}

A folder that `datasets` saved, and a hub id, are read by `datasets`. Several files and globs are one data set:
`--data_files part-*.jsonl`. Text must be UTF-8; an error names the encoding that a file seems to have. JSON, JSON Lines, CSV, and TSV
files may be compressed: `rows.jsonl.gz`, `.bz2`, `.xz`, `.zst`.

In a folder, the names of files and folders tell the split: `test`; `validation`, `valid`, `val`, `dev`, or `eval`; all others are
training rows. Hidden files are not read.

A CSV file may be separated by commas, tabs, semicolons, or bars: graft takes the sign that divides the header and all rows into the same
number of cells, the usual one first.

JSON and JSON Lines may have any of these shapes, under either ending:

| shape | example |
|---|---|
| an object a line, or objects one after the other on several lines each | `{{"text": "a"}} {{"text": "b"}}` |
| a list of objects, alone or in an object | `[{{"text": "a"}}]`, `{{"version": 1, "data": [{{"text": "a"}}]}}` |
| an object of splits | `{{"train": [...], "validation": [...], "test": [...]}}` |
| columns as pandas writes them (`orient` columns, index, split, table) | `{{"text": {{"0": "a", "1": "b"}}}}` |
| a list for each column | `{{"text": ["a", "b"], "label": ["x", "y"]}}` |
| rows of the Hub's datasets server | `{{"features": [...], "rows": [{{"row_idx": 0, "row": {{"text": "a"}}}}]}}` |

## Values

| in the file | what graft reads |
|---|---|
| `null`, `NaN`, `NaT`, `NA`; in CSV and TSV an empty cell | no value. Without an answer a row is an error; `nan` or `None` as the text of a CSV cell is content |
| line ends within a text | `\\r\\n` is `\\n`, in prompts and answers, in training, evaluation and chat |
| numbers | the digits; a whole number has no decimal point: `1.0` is `1`. Decimals keep theirs: `1.50` |
| dates, times, durations | ISO 8601: `2024-02-29T13:05:00`, `PT1M30S` |
| bytes | UTF-8 text; an error if they are not and the column is read |
| lists and objects | JSON |
| fields of an Arrow struct that are null | absent, so that rows of Parquet equal those of JSON Lines |
| class numbers | names, where the data set has them: in the Parquet or Arrow schema (`huggingface`), in `dataset_info.json`, or in the data set card (`README.md`) beside the files |
| lists in a CSV cell | as JSON (`["a"]`), Python (`['a', 'b']`, as pandas writes them), or NumPy (`['a' 'b']`) has them, in columns of messages, tools, tokens, tags, spans, and labels |
| labels of classes | one class if they differ in letter case or blanks only, named as most rows write it; answers that are not classes stay as they are |
| names of columns | without blanks around them; an empty name in a CSV header is `Unnamed: 0`, as in pandas |

## Columns

Known names are recognized in any letter case and with blanks for underscores: `Prompt`, `LABEL`, `Sentence A`; a column that has the
known spelling comes first. The first form whose columns are there is taken. `--dry_run` shows which, and the first rows as trained.

{table(("form", "which rows"), mappings)}

Other columns are named by `--text_template`, or `--prompt_template` and `--completion_template`, with `{{column}}`
placeholders. `{{row.field}}` is a field of an object, and `{{turns.0}}` an item of a list, counted from 0.
"""


EVENT_KEYS = [
    ("`time`", "when, in UTC: `2026-05-04T10:21:00.125Z`"),
    ("`seconds`", "since the command began"),
    ("`phase`", ", ".join(code(name) for name in events.PHASES) + "; the last three end it"),
    ("`step`, `steps`", "the optimizer step, and how many there will be"),
    (
        "`figures`",
        "with a step: what was logged at it, by name, as in metrics.jsonl; null for what is not a finite number. Those of an "
        "evaluation have the phase `evaluating`",
    ),
    ("`what`, `done`, `total`, `detail`", "other work in units, such as rows that are answered"),
    ("`message`", "a note for people; with `failed` and `interrupted`: why"),
]


@page("run-folder", "Run folder")
def run_folder() -> str:
    return f"""`graft finetune` leaves one folder. It can be moved, copied to another machine, or zipped, and still opens. Every file
is written whole or not at all.

| in the folder | |
|---|---|
| `manifest.json` | what the folder is and how it was made; the schema is below |
| `config.yaml` | the settings; `graft run --config OUT/config.yaml` repeats the run |
| `metrics.jsonl` | a line for each logging step: step, epoch, loss, eval_loss, learning_rate, grad_norm, tokens_per_second, rows_per_second, memory |
| `events.jsonl` | what the run is doing, from the first second to the last: [below](#eventsjsonl) |
| `data/train.jsonl`, `data/eval.jsonl` | the rows as used, each with its origin (file and line) |
| `model/` | the model to load: the tuned weights (`full`), or the base by link |
| `adapter/` | what an adapter method trained, in PEFT's format where it has one |
| `checkpoints/` | `checkpoint-N`, as the Trainer writes them; what `--resume` continues from |
| `evaluation.json` | for each predictor and metric: value, 95 % interval, n; paired differences; scores to beat |
| `predictions.jsonl` | for each row: prompt, reference, the answers of base and tuned, scores |
| `rating.json`, `judgments.jsonl` | what people are asked to judge, and what they said: [Let people judge](../how-to/rate.md) |
| `judge.jsonl`, `judge_answers.jsonl` | what a model as judge said |
| `report.html`, `README.md` | the page to look at, the model card |

A bundle (`graft auto-opt`) is such a folder, too, with `"kind": "bundle"` in its manifest, and so is a prepared data set (`graft prepare`),
with `"kind": "data"`: `train.jsonl`, `eval.jsonl`, `test.jsonl`, `changes.jsonl`, and `config.yaml`. A search (`graft search`) has `"kind": "search"`,
its trials in `trials.jsonl`, and the winner's run in `best/`: [Search settings](../how-to/search.md).

## events.jsonl

An object a line. `graft COMMAND --progress jsonl` writes the same to stderr, in place of the progress for people; how to read it:
[Watch a run](../how-to/watch-a-run.md).

{table(("key", "value"), EVENT_KEYS)}

A run that is resumed appends its events; `seconds` begin again then. A line that a killed process left unfinished is no JSON.

## manifest.json

Schema version `{manifest.SCHEMA_VERSION}`. A newer minor version adds keys; a newer major version is refused. Folders of
graft 0.1, which have no version, still open.

{_records(run_manifest, bundle_manifest, data_manifest, search_manifest)}

## evaluation.json and predictions.jsonl

{_records(evaluation_document, judgment_record)}
"""


def _records(*modules: Any) -> str:
    parts = []
    for module in modules:
        for name, cls in vars(module).items():
            if not (inspect.isclass(cls) and issubclass(cls, BaseModel) and cls.__module__ == module.__name__):
                continue
            rows = [(code(field), code(_type_name(info.annotation))) for field, info in cls.model_fields.items()]
            parts.append(f"### {name}\n\n{summary_of(cls)}\n\n{table(('key', 'type'), rows)}")
    return "\n\n".join(parts)


def _type_name(annotation: Any) -> str:
    """A type as it is written, without the bounds of its values."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_name(parts[0])
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    inner = [_type_name(part) for part in parts]
    if origin in {typing.Union, types.UnionType}:
        return " | ".join(inner)
    if origin is not None:
        return f"{origin.__name__}[{', '.join(inner)}]"
    return "None" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))


@page("checks-and-steps", "Checks and steps")
def checks_and_steps() -> str:
    checks = [(code(name), check.title, "yes" if check.quick else "no") for name, check in CHECKS.items()]
    steps = [(code(name), step.title, "yes" if step.safe else "no") for name, step in STEPS.items()]
    return f"""## Checks

`graft doctor DATA` runs all checks, or those of `--checks`; `graft finetune` runs the quick ones before training.
[Check data](../how-to/check-data.md) shows what they print.

{table(("check", "what it looks for", "quick"), checks)}

{_options_of(CHECKS)}

## Steps

`graft prepare DATA -o OUT` runs the safe steps without `--skip_steps`, those of `--steps`, and each step with an option that was given, in this
order. [Prepare data](../how-to/prepare-data.md#clean-split-and-add-rows) shows what they do.

{table(("step", "what it does", "safe"), steps)}

{_options_of(STEPS)}
"""


def _options_of(registry: Registry[Any]) -> str:
    """A table of the options of each component that has such."""
    tables = [
        f"### Options of {code(name)}\n\n{settings_table(found.Config.model_fields)}"
        for name, found in registry.items()
        if found.Config.model_fields
    ]
    return "\n\n".join(tables)


@page("tasks", "Tasks")
def tasks() -> str:
    rows = [
        (code(name), task.help or task.title, ", ".join(task.kinds), codes(task.aliases), code(task.hub_tag or name))
        for name, task in TASKS.items()
    ]
    return f"""`--task` says what the model does with a row. Without it, the model and the columns decide, and `--dry_run` shows the
choice with its reason.

{table(("task", "what it does", "models", "also", "hub tag"), rows)}
"""


@page("methods", "Methods")
def methods() -> str:
    rows = [
        (
            code(name),
            method.title,
            method.help,
            f"`{method.writes}/`",
            "yes" if method.mergeable else "no",
            f"{method.learning_rate:g}",
            codes(method.Config.model_fields) or "none",
        )
        for name, method in METHODS.items()
    ]
    heads = ("method", "name", "what it does", "leaves", "exports", "learning rate", "options")
    return f"""`--method` says which weights are trained. [Choose a method](../how-to/choose-a-method.md) compares them.

{table(heads, rows)}

[Settings](settings.md) describes the options.
"""


@page("losses", "Losses")
def losses() -> str:
    rows = [(code(name), loss.help, codes(loss.Config.model_fields) or "none") for name, loss in LOSSES.items()]
    return f"""`--loss` names the training objective. The held-out loss in the metrics is the same loss, so its values are comparable
only between runs with the same loss.

{table(("loss", "what it does", "options"), rows)}

A loss of your own: [Use a loss of your own](../how-to/own-loss.md).
"""


@page("metrics", "Metrics")
def metrics() -> str:
    rows = [
        (code(name), metric.title, metric.meaning, f"{metric.direction} is better", code(metric.hub_name), metric.needs)
        for name, metric in METRICS.items()
    ]
    return f"""`--metrics` names what is measured; without it, graft chooses by the answers: accuracy for classes, field F1 for JSON,
exact match for a few words, ROUGE for longer texts. The first metric is the headline. [What the metrics count](../explanation/metrics.md)
tells how words are found in each script, and what several right answers and `--normalize` mean.

{table(("metric", "title", "meaning", "direction", "on the hub", "needs"), rows)}
"""


@page("families", "Model families")
def families() -> str:
    rows = [
        (code(name), "packed" if family.packed else "padded", code(found.architecture.lower()) if found else "no")
        for name, family, found in ((name, family, gguf_family(name)) for name, family in FAMILIES.items())
    ]
    other = "packed" if UNLISTED.packed else "padded"
    return f"""What graft's tests have shown for each `model_type` of transformers. Every family in the table trains by every method; a
tiny random model of each is tuned, saved, loaded, merged, and must give the same logits to 1e-4.

{table(("model type", "batches", "GGUF architecture"), rows)}

Any other causal model trains with {other} batches, and exports to ONNX where the model builder of onnxruntime-genai
knows its architecture. GPT-2 does not export to ONNX. Head sizes must be a multiple of 16 for ONNX.

## Export targets

{table(("target", "name", "what it makes", "precisions"), [(code(name), t.title, t.help, codes(t.precisions)) for name, t in TARGETS.items()])}
"""


@page("exit-codes", "Exit codes")
def exit_codes() -> str:
    classes = [cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, errors.GraftError)]
    seen: dict[int, str] = {0: "done"}
    for cls in classes:
        seen.setdefault(cls.exit_code, summary_of(cls))
    meanings = {1: "the work failed; the manifest says why, and what was whole is kept"}
    seen[errors.Interrupted.exit_code] = "interrupted by Ctrl-C (SIGINT); a training can be resumed"
    seen |= {129: "the same by SIGHUP (a closed terminal)", 143: "the same by SIGTERM (`docker stop`, systemd)"}
    rows = [(code(number), meanings.get(number, text)) for number, text in sorted(seen.items())]
    return f"""{table(("exit code", "meaning"), rows)}

An error names what is wrong, the value, where it stands (file and line for data), and what to do. Everything wrong with
one input is reported at once. With `--json`, errors are also a JSON document on stdout. `--debug` shows a traceback.
"""


@page("benchmarks", "Benchmarks")
def benchmarks() -> str:
    sys.path.insert(0, str(RESULTS.parent))
    import tables

    return f"""Timings are compared within one run only: processors, neighbors, and versions differ. The tables are made from
`benchmarks/results/`; `make bench` measures your machine.

"TRL best" is float32 without checkpointing and dropout, 16 rows at once, rows of similar length together; "bf16" is the same in
autocast. "Olive best" is float32 without checkpointing and dropout, one row a sequence; Olive trains on all tokens, so its held-out
loss is not comparable. "Of GEMM rate" is the work of the necessary products over the float32 rate of `torch.mm` in the same turn.

{tables.current(RESULTS)}
"""


def main() -> None:
    """Write every page of the reference."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, made in PAGES.items():
        (REFERENCE / f"{name}.md").write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main()
