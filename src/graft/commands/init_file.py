"""The text of the workflow file that ``graft init`` writes: every setting with a comment that says why."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.commands.models import DescribedModel
from graft.config import DataSettings, InitSettings
from graft.config.interpolation import escaped
from graft.data.checks import CheckedData, Finding
from graft.data.steps import STEPS
from graft.data.values import listed_names
from graft.shell import command

DEFAULT_FILE = "workflow.yaml"
WIDTH = 100
CAREFUL = frozenset({"privacy"})
"""Steps that change what rows say: proposed, and left to the user."""
_STEP = re.compile(r"--steps (\w+)")
_PLAIN = re.compile(r"[A-Za-z_./][\w./ +-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})
_KEPT = frozenset({*DataSettings.model_fields})


@dataclass(frozen=True)
class Plan:
    """What a workflow file says.

    Attributes:
        settings: Where the data is, and how it is read.
        data: The rows.
        findings: What the checks found in them.
        model: The model.
        described: What the model is; None where nothing is known of it.
        method: The tuning method.
        deploy: The export format, or ``no``.
    """

    settings: InitSettings
    data: CheckedData
    findings: Sequence[Finding]
    model: str
    described: DescribedModel | None
    method: str
    deploy: str

    @property
    def is_encoder(self) -> bool:
        """Whether the model reads texts and writes none."""
        return self.described is not None and self.described.facts.kind == "encoder"

    @property
    def exports(self) -> bool:
        """Whether a pass exports the model."""
        return self.deploy != "no"

    @property
    def steps(self) -> list[str]:
        """The steps of ``graft prepare`` that mend what was found, those that run by themselves among them."""
        found = [name for finding in self.findings for name in _STEP.findall(finding.fix)]
        return [name for name in dict.fromkeys(found) if name in STEPS.names()]

    @property
    def prepares(self) -> bool:
        """Whether the rows are prepared first."""
        return bool(set(self.steps) - CAREFUL) or bool(self.data.faults)

    @property
    def passes(self) -> list[str]:
        """The names of the passes."""
        return [*(["prepare"] if self.prepares else []), "tune", *(["export"] if self.exports else [])]

    @property
    def output(self) -> str:
        """The folder of the workflow, or of its only run."""
        stem = re.sub(r"[^\w.-]+", "-", Path(_source(self.settings)).stem).strip("-.") or "data"
        return f"runs/{stem}"

    @property
    def run(self) -> str:
        """The run that the workflow leaves."""
        return self.output if len(self.passes) == 1 else f"{self.output}/tune"


def workflow_text(plan: Plan, file: Path) -> str:
    """Return the file's text."""
    lines = [*_heading(plan, file), "", *_model(plan), "", *_data(plan), "", *_output(plan), "", "passes:"]
    return "\n".join([*lines, *_prepare(plan), *_tune(plan), *_evaluate(plan), *_export(plan)]) + "\n"


def next_commands(plan: Plan, file: Path) -> list[tuple[str, str]]:
    """Return the commands to type next, each with what it does."""
    run = command("graft", "run", "--config", file)
    return [
        (f"{run} --dry_run", "print the passes with their settings"),
        (run, "run them"),
        (command("graft", "show", Path(plan.run)), "print the scores"),
        (command("graft", "chat", Path(plan.run)), "try the base and the tuned model"),
    ]


def _heading(plan: Plan, file: Path) -> Iterator[str]:
    data = plan.data
    assert data.mapping is not None
    count = len(data.train.rows)
    classes = f", {len(data.labels)} classes" if data.labels else ""
    yield from _comment(
        f"Written by graft init for {_source(plan.settings)}: {count:,} rows, columns "
        f"{listed_names(data.mapping.columns)} ({data.mapping.kind}){classes}."
    )
    run = command("graft", "run", "--config", file)
    yield f"#   {run} --dry_run    # print the passes with their settings"
    yield f"#   {run}              # run them"
    yield from _comment("`graft finetune --help` lists all settings; any of them may stand here or in a pass.")


def _model(plan: Plan) -> Iterator[str]:
    described = plan.described
    if described is None:
        yield from _comment(f"From the Hub. `graft show {plan.model}` downloads and describes it.")
    else:
        facts, needs = described.facts, described.needs
        size = f"{facts.parameters:,} parameters" if facts.parameters else "size unknown"
        memory = f", about {_memory(plan, needs) / 1000:.1f} GB of memory to train" if needs else ""
        yield from _comment(f"{size}{memory}. License: {described.terms.name}; {described.terms.sentence}.")
        if facts.catalog is not None and facts.catalog.embedded is None:
            yield from _comment("It is downloaded from the Hub when the workflow runs.")
        yield from _comment("`graft models` lists others.")
    yield f"model: {scalar(plan.model)}"


def _memory(plan: Plan, needs: Any) -> int:
    return int(needs.full_mb if plan.method == "full" else needs.lora_mb)


def _data(plan: Plan) -> Iterator[str]:
    settings = plan.settings
    given = settings.model_dump(mode="json", include=set(settings.model_fields_set) & _KEPT)
    for name in ("data_files", "data_name"):
        if given.get(name) is not None:
            yield f"{name}: {scalar(given.pop(name))}"
    for name, value in given.items():
        if value is not None:
            yield f"{name}: {scalar(value)}"
    assert plan.data.mapping is not None
    for inferred in () if plan.is_encoder else plan.data.mapping.inferred:
        if inferred.name == "instruction":
            yield from _comment("What stands before each text; another wording may do better.")
            yield f"# instruction: {scalar(inferred.value)}"
    if plan.data.eval is None:
        yield from _comment("Rows that are held out to measure the model: by default 10 to 20 %, or rows of your own.")
        yield "# eval_share: 0.1"
        yield "# eval_data_files: held-out.jsonl"


def _output(plan: Plan) -> Iterator[str]:
    yield "# Each pass has a folder in it." if len(plan.passes) > 1 else "# The run folder."
    yield f"output_path: {scalar(plan.output)}"


def _prepare(plan: Plan) -> Iterator[str]:
    found = [finding for finding in plan.findings if _STEP.search(finding.fix)]
    if plan.data.faults:
        yield from _comment("Rows that cannot be read are removed.", 2)
    for finding in found:
        yield from _comment(f"{finding.title}.", 2)
    sign = "" if plan.prepares else "# "
    if not plan.prepares:
        yield from _comment("The checks found nothing that has to be changed in the rows before training.", 2)
    yield f"  {sign}prepare:"
    yield f"  {sign}  type: prepare"
    steps = [name for name in plan.steps if not STEPS.get(name).safe]
    active = [name for name in steps if name not in CAREFUL]
    if active:
        yield f"  {sign}  steps: {scalar(active)}"
    for name in CAREFUL.intersection(steps):
        yield from _comment(f"To {STEPS.get(name).title}, look at the rows first (graft doctor), and then:", 4)
        yield f"    # steps: {scalar([*active, name])}"


def _tune(plan: Plan) -> Iterator[str]:
    yield from _comment(_METHODS.get(plan.method, f"Tunes the model by {plan.method}."), 2)
    yield from _comment("Steps, batch size and learning rate are inferred from the data; name them to decide.", 2)
    yield "  tune:"
    yield f"    type: {plan.method}"
    if plan.settings.task is not None:
        yield f"    task: {scalar(plan.settings.task)}"
    elif plan.data.labels and plan.is_encoder:
        yield "    task: text-classification"
    yield "    # num_train_epochs: 3"
    if plan.method == "lora":
        yield "    # lora_r: 16"


_METHODS = {
    "lora": "Trains small matrices beside the frozen weights (LoRA). type: full trains all weights.",
    "full": "Trains all weights: the model is small. type: lora trains small matrices beside them.",
}


def _evaluate(plan: Plan) -> Iterator[str]:
    metric = "accuracy" if plan.data.labels else None if plan.is_encoder else "rougeL"
    if metric is not None:
        yield from _comment("Ends the workflow with exit code 3 if the tuned model is not good enough.", 2)
        yield "  # evaluate:"
        yield "  #   type: evaluate"
        yield f"  #   at_least: {{{metric}: 0.8}}"


def _export(plan: Plan) -> Iterator[str]:
    exports = plan.exports
    sign, target = ("", plan.deploy) if exports else ("# ", "onnx")
    yield from _comment("Exports the tuned model, and compares its answers with those of PyTorch.", 2)
    if not exports:
        yield from _comment("format: onnx, gguf (llama.cpp, Ollama), or hf (a model folder for vLLM and mlx-lm)", 2)
    reason = plan.described.exports.get(target) if plan.described is not None else None
    if exports and reason is not None:
        yield from _comment(f"It may fail: {target} of this model is {reason}.", 2)
    yield f"  {sign}export:"
    yield f"  {sign}  type: export"
    yield f"  {sign}  format: {target}"


def scalar(value: Any) -> str:
    """Return a value as it is written in a settings file."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(scalar, value))}]"
    value = escaped(value)
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS and value == value.strip():
        return value
    return json.dumps(value, ensure_ascii=False)


def _source(settings: InitSettings) -> str:
    files = settings.data_files
    return str(settings.data_name or (files[0] if files else "data"))


def _comment(text: str, indent: int = 0) -> list[str]:
    start = f"{' ' * indent}# "
    plain = " ".join(text.split())
    return textwrap.wrap(plain, WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False)
