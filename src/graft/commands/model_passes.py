"""Passes of a workflow that make and judge models, and the one that reports on all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from graft.commands.data_passes import data_of
from graft.commands.speed import SpeedSettings
from graft.config import (
    BenchmarkSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateAdapterSettings,
    Settings,
    setting,
)
from graft.config.types import Pairs
from graft.errors import GateError, InputError, Problems
from graft.export.target import export_settings
from graft.runs.kind import FolderKind, folder_kind, is_run
from graft.runs.search_manifest import WINNER

if TYPE_CHECKING:
    from graft.commands.passes import Context

MODELS = ("run", "model", "search", "something")
"""Artifacts that are a model, or may be one."""


def model_in(artifact: Path | None) -> Path | None:
    """The model that a pass left: of a search, its winner."""
    return artifact / WINNER if artifact is not None and folder_kind(artifact) is FolderKind.SEARCH else artifact


class ModelPass:
    """What the passes have in common."""

    Config: ClassVar[type[Settings]] = Settings
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    takes: ClassVar[tuple[str, ...]] = MODELS
    instead: ClassVar[tuple[str, ...]] = ("model_name_or_path",)
    leaves: ClassVar[str] = "bundle"
    resumes: ClassVar[bool] = False
    reads_all: ClassVar[bool] = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def _model(self, artifact: Path | None) -> str:
        """The model that the settings name, or else that of the pass before.

        Raises:
            InputError: If there is none.
        """
        named = next((str(given) for name in self.instead if (given := getattr(self.settings, name, None))), None)
        found = named or model_in(artifact)
        if found is None:
            raise InputError("there is no model", remedy=f"give {' or '.join(self.instead)}")
        return str(found)

    def _tuning(self, artifact: Path | None, context: Context) -> Any:
        """The settings of a pass that trains: on the data that the pass before left, or from the model that it left."""
        update: dict[str, Any] = {"output_path": context.output, **data_of(artifact)}
        model = model_in(artifact)
        if model is not None and not data_of(artifact):
            update |= {"model_name_or_path": str(model), "model_revision": None}
        if context.resume:
            update["resume"] = True
        return self.settings.model_copy(update=update)


class FinetunePass(ModelPass):
    """``graft finetune``: leaves a run folder."""

    Config = FinetuneSettings
    takes = ("nothing", "data", *MODELS)
    instead = ()
    leaves = "run"
    resumes = True

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Tune the model that an earlier pass left, or train on the data that it left."""
        from graft.commands.finetune import finetune

        return finetune(self._tuning(artifact, context), context.reporter)


class EvaluatePassSettings(EvaluateSettings):
    """Settings of ``graft evaluate``, and the gate."""

    at_least: Pairs = setting(
        {}, "lowest values of metrics, such as accuracy=0.8; the workflow ends with exit code 3 below one"
    )
    at_most: Pairs = setting({}, "highest values of metrics, such as perplexity=5")


class EvaluatePass(ModelPass):
    """``graft evaluate``: writes an evaluation into its folder, and leaves the model as it is for the next pass."""

    Config = EvaluatePassSettings
    takes = (*MODELS, "bundle")
    instead = ("model_name_or_path", "adapter_path")
    leaves = "same"

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Evaluate the model, and compare the figures with the limits.

        Raises:
            GateError: If a figure is beyond its limit.
            InputError: If a limit is of a metric that was not computed.
        """
        from graft.commands.evaluate import evaluate_model

        own = {"output_path", "at_least", "at_most", "model_name_or_path", "data_files"}
        given = {name: getattr(self.settings, name) for name in self.settings.model_fields_set - own}
        model, files = self._model(artifact), self.settings.data_files
        document = evaluate_model(model, files, output_path=context.output, reporter=context.reporter, **given)
        _check_limits(document, self.settings, context.output)
        return artifact if artifact is not None else context.output


def _check_limits(document: Mapping[str, Any], settings: EvaluatePassSettings, where: Path) -> None:
    """Check the figures of the tuned model, or of the only one; of a bundle with adapters, those of each."""
    failed, unknown = Problems(), Problems()
    for found in document.get("adapters", {"": document}).values():
        name = "tuned" if "tuned" in found["predictors"] else list(found["predictors"])[-1]
        figures = found["predictors"][name]
        for option, sign in (("at_least", 1), ("at_most", -1)):
            for metric, limit in getattr(settings, option).items():
                if metric not in figures:
                    what = f"there is no metric {metric!r} in this evaluation; there are: {', '.join(figures)}"
                    unknown.add(what, option, "add it to metrics")
                elif sign * figures[metric]["value"] < sign * float(limit):
                    words = option.replace("_", " ")
                    failed.add(f"{metric} of {name} is {figures[metric]['value']:.4g}; expected {words} {limit}", where)
    unknown.raise_if_any()
    if failed:
        raise GateError(*failed.found)


class ExportPass(ModelPass):
    """``graft auto-opt``: leaves a bundle."""

    Config = export_settings()
    instead = ("model_name_or_path", "adapter_path")
    extra: ClassVar[dict[str, Any]] = {}

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Export the model of the pass before, unless the settings name one.

        Raises:
            GateError: If the bundle answers worse than allowed.
        """
        from graft.commands.export import export_model

        update: dict[str, Any] = {"output_path": context.output, **self.extra}
        if self.settings.model_name_or_path is None and self.settings.adapter_path is None:
            update["model_name_or_path"] = self._model(artifact)
        return export_model(self.settings.model_copy(update=update), context.reporter)


class MergePass(ExportPass):
    """A model folder with the adapter merged into the weights, compared with the model and its adapter."""

    leaves = "model"
    extra: ClassVar[dict[str, Any]] = {"format": "hf"}


class GenerateAdapterPass(ModelPass):
    """``graft generate-adapter``: leaves an ONNX base with hot-swappable adapters."""

    Config = GenerateAdapterSettings
    needs = (("auto-opt", "onnxruntime_genai"),)
    takes = ("run", "search", "something")
    instead = ("adapter_paths",)

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Export the adapters that the settings name, or that of the pass before, and the base of both.

        Raises:
            GateError: If an adapter answers worse than allowed.
        """
        from graft.commands.export import generate_adapter

        update: dict[str, Any] = {"output_path": context.output}
        run = model_in(artifact)
        if not self.settings.adapter_paths:
            update["adapter_paths"] = (f"{run.name}={run}",) if run is not None else ()
        if self.settings.base_model_path is None and run is not None and is_run(run):
            update["base_model_path"] = str(run / "model")
        return generate_adapter(self.settings.model_copy(update=update), context.reporter)


class BenchmarkPass(ModelPass):
    """``graft benchmark``: asks the model tasks, and leaves it as it is for the next pass."""

    Config = BenchmarkSettings
    needs = (("benchmark", "lm_eval"),)
    takes = (*MODELS, "bundle")
    instead = ("model_name_or_path", "adapter_path")
    leaves = "same"

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Ask the model that the settings name, or that of the pass before.

        Raises:
            InputError: If there are no tasks.
        """
        from graft.commands.benchmark import benchmark_models

        if not self.settings.tasks:
            remedy = "tasks: arc_easy,mine.yaml; type: speed measures tokens per second"
            raise InputError("this pass asks tasks, and none are given", where="tasks", remedy=remedy)
        own = {"output_path", "model_name_or_path"}
        given = {name: getattr(self.settings, name) for name in self.settings.model_fields_set - own}
        benchmark_models([self._model(artifact)], context.reporter, output_path=context.output, **given)
        return artifact if artifact is not None else context.output


class SpeedPass(ModelPass):
    """Measures speed, load time and memory of the model on this machine; leaves it as it is for the next pass."""

    Config = SpeedSettings
    takes = (*MODELS, "bundle")
    leaves = "same"

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Measure the model that the settings name, or that of the pass before."""
        from graft.commands.speed import in_words, measure_speed

        document = measure_speed(self._model(artifact), self.settings, context.output)
        context.reporter.note(in_words(document))
        return artifact if artifact is not None else context.output


class ReportSettings(Settings):
    """Settings of the report."""

    title: str | None = setting(None, "heading of the page (default: the name of the workflow's folder)")


class ReportPass(ModelPass):
    """Writes one page about all passes before it; leaves the artifact as it is for the next pass."""

    Config = ReportSettings
    takes = ("data", *MODELS, "bundle")
    instead = ()
    leaves = "same"
    reads_all: ClassVar[bool] = True

    def run(self, artifact: Path | None, context: Context) -> Path:
        """Write ``report.html`` and ``report.json``."""
        from graft.commands.workflow_report import check_workflow, write_workflow_report

        page = write_workflow_report(check_workflow(context.workflow), context.output, self.settings.title)
        context.reporter.note(f"report: {page}")
        return artifact if artifact is not None else context.output
