"""The public Python API: the commands as functions, and their results as objects.

    import graft

    run = graft.finetune(model="smollm2-135m-instruct", data="rows.jsonl", output_path="out")
    print(run.scores["tuned"]["accuracy"].value)
    print(run.predictor().answer("What a lovely cake!"))
    bundle = run.export(precision="int4")

Errors that a user can fix are ``graft.GraftError``. Invalid input raises ``graft.InputError``, before anything is
written. Importing this module imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.config import FinetuneSettings, ModelSettings
from graft.errors import InputError
from graft.progress import SILENT, Reporter
from graft.runs.evaluation_document import EvaluationDocument
from graft.runs.kind import FolderKind, expect_kind
from graft.runs.manifest import BundleManifest, RunManifest, read_bundle, read_run
from graft.runs.view import Estimate, RunView

if TYPE_CHECKING:
    from graft.commands.chat import Conversation
    from graft.commands.prepare import Preparation
    from graft.data.checks import Finding

Scores = Mapping[str, Mapping[str, Estimate]]
"""Predictor (``base``, ``tuned``, …) to metric to value, with its 95 % interval and the number of rows."""

Files = str | Path | Sequence[str | Path]


class Predictor:
    """A loaded model that answers texts independently of each other.

    Each text is formatted like the training rows: with the same system message, instruction or template.
    A classifier answers with the label, a tagger with the tagged words.
    """

    def __init__(self, conversation: Conversation, name: str) -> None:
        self._conversation = conversation
        self.name = name

    def answer(self, text: str) -> str:
        """The model's greedy answer to ``text``."""
        self._conversation.command("new")
        self._conversation.command(self.name)
        return self._conversation.say(text)[0].text

    def answers(self, texts: Sequence[str]) -> list[str]:
        """The answer to each of ``texts``, in their order."""
        return [self.answer(text) for text in texts]


@dataclass(frozen=True)
class _Folder:
    """An artifact on disk, usable as a path (``Path(run)``, ``open(run / "metrics.jsonl")``)."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def evaluate(
        self, data_files: Files | None = None, metrics: str | Sequence[str] | None = None, **options: Any
    ) -> Scores:
        """Evaluate on unseen rows. See ``graft.evaluate``."""
        return evaluate(self, data_files, metrics, **options)

    def _conversation(self, max_new_tokens: int, adapter: str | None = None) -> Conversation:
        from graft.commands.chat import Conversation

        return Conversation.open(str(self.path), ModelSettings(), max_new_tokens, SILENT, adapter)


class Run(_Folder):
    """A run folder: a tuned model with its evaluation.

    Attributes:
        path: the folder.
    """

    @property
    def manifest(self) -> RunManifest:
        """How the run was made: settings, data, base model, machine, training."""
        return read_run(self.path)

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed`` or ``interrupted``."""
        return RunView.read(self.path).status

    @property
    def scores(self) -> Scores:
        """The last evaluation's scores; empty when the run was not evaluated."""
        return RunView.read(self.path).scores

    def predictor(self, name: str = "tuned", max_new_tokens: int = 256) -> Predictor:
        """Load the run's model.

        Args:
            name: ``tuned`` or ``base``.
            max_new_tokens: maximum number of tokens in an answer.

        Raises:
            InputError: when the run has no such predictor or no model.
        """
        conversation = self._conversation(max_new_tokens)
        loaded = list(conversation.predictors)
        if name == "tuned" and name not in loaded:  # all weights were trained: the model is the tuned one
            name = loaded[0]
        if name not in loaded:
            what = f"this run has no predictor {name!r} to load"
            raise InputError(what, where=str(self.path), remedy=f"there is: {', '.join(loaded)}")
        return Predictor(conversation, name)

    def export(self, output_path: str | Path | None = None, **options: Any) -> Bundle:
        """Export the tuned model to a folder that runs without PyTorch. See ``graft.export_model``."""
        return export_model(self, output_path, **options)


class Bundle(_Folder):
    """An exported model: a folder that runs without PyTorch.

    Attributes:
        path: the folder.
    """

    @property
    def manifest(self) -> BundleManifest:
        """What the bundle was made from, and how its answers compare with PyTorch's."""
        return read_bundle(self.path)

    def predictor(self, name: str | None = None, max_new_tokens: int = 256) -> Predictor:
        """Load the bundle.

        Args:
            name: one of its adapters; the first one, or the model itself, when None.
            max_new_tokens: maximum number of tokens in an answer.

        Raises:
            InputError: when it has no such adapter, or its runtime is not installed.
        """
        conversation = self._conversation(max_new_tokens, name)
        return Predictor(conversation, name or next(iter(conversation.predictors)))


class Model(_Folder):
    """A model or adapter folder, before tuning.

    Attributes:
        path: the folder.
    """

    def predictor(self, max_new_tokens: int = 256) -> Predictor:
        """Load the model; ``max_new_tokens`` is the maximum number of tokens in an answer."""
        conversation = self._conversation(max_new_tokens)
        return Predictor(conversation, next(iter(conversation.predictors)))


def finetune(
    settings: FinetuneSettings | Mapping[str, Any] | None = None,
    /,
    reporter: Reporter = SILENT,
    **options: Any,
) -> Run:
    """Tune a model on your data, compare it with its base on held-out rows, and write the report.

    Args:
        settings: settings of ``graft finetune`` by any of their names, and fields of
            ``transformers.TrainingArguments``.
        reporter: shows the progress, such as ``graft.cli.progress.Screen``.
        options: settings as keywords; they override ``settings``.

    Returns:
        The run: ``run.scores``, ``run.predictor()``, ``run.evaluate(...)``, ``run.export(...)``.

    Raises:
        InputError: when the settings, the data or the model are invalid; nothing is written.
        Interrupted: after Ctrl-C; ``resume=True`` continues the run.
        GraftError: when training failed; the manifest records the error, and the last complete checkpoint is kept.
    """
    from graft.commands.finetune import finetune as run_finetune
    from graft.planning.settings import finetune_settings, laid_over

    if isinstance(settings, FinetuneSettings):
        return Run(run_finetune(settings.model_copy(update=dict(options)), reporter))
    given = laid_over(settings or {}, {name: _plain(value) for name, value in options.items()})
    return Run(run_finetune(finetune_settings(given), reporter))


def search_settings(settings: Mapping[str, Any] | None = None, /, reporter: Reporter = SILENT, **options: Any) -> Run:
    """Search settings: run trials over one base, and train the best of them as a run.

    Args:
        settings: settings of ``graft search`` by any of their names: those of ``graft finetune``, which hold for all
            trials, ``search_space``, ``search_strategy``, ``num_trials``, …
        reporter: shows the progress.
        options: settings as keywords; they override ``settings``.

    Returns:
        The winner's run, in the folder ``best`` of the search; all trials are in the folder above it.

    Raises:
        InputError: when the settings, the space, the data or the model are invalid; nothing is written.
        Interrupted: after Ctrl-C; ``resume=True`` continues the search.
        GraftError: when no trial was completed, or the winner's training failed.
    """
    from graft.commands.search import search
    from graft.commands.search_settings import over
    from graft.runs.search_manifest import WINNER

    given = over(settings or {}, {name: _plain(value) for name, value in options.items()})
    return Run(search(given, reporter) / WINNER)


def evaluate(
    model: str | os.PathLike[str],
    data_files: Files | None = None,
    metrics: str | Sequence[str] | None = None,
    output_path: str | Path | None = None,
    reporter: Reporter = SILENT,
    **options: Any,
) -> Scores:
    """Evaluate a run (base and tuned), a bundle, a model by folder or name, or the model of a server.

    Args:
        model: a ``Run``, a ``Bundle``, a folder, an embedded name, a Hub ID, or the address of an OpenAI-compatible
            server, whose model is named by ``model_name_or_path`` among the options; ``run`` compares it with a run.
        data_files: one or several data files; a run's held-out rows when omitted.
        metrics: names of metrics; those that fit the data when omitted.
        output_path: the folder for evaluation.json and predictions.jsonl; the run folder when omitted.
        reporter: shows the progress.
        options: further settings of ``graft evaluate``.

    Returns:
        Predictor to metric to value, with its 95 % interval. Of a bundle whose adapters have different tasks, only the
        adapters: each has figures of its own rows, and so has the base.

    Raises:
        InputError: when the model or the data are wrong.
    """
    from graft.commands.evaluate import evaluate_model

    document = evaluate_model(os.fspath(model), data_files, metrics, output_path, reporter, **options)
    if "adapters" not in document:
        return EvaluationDocument.model_validate(document).predictors
    found = {name: EvaluationDocument.model_validate(each).predictors for name, each in document["adapters"].items()}
    return {adapter: figures for each in found.values() for adapter, figures in each.items() if adapter != "base"}


def export_model(
    model: str | os.PathLike[str], output_path: str | Path | None = None, reporter: Reporter = SILENT, **options: Any
) -> Bundle:
    """Export a run or a model to a folder that runs without PyTorch, and compare its answers with PyTorch's.

    Args:
        model: a ``Run``, a model or adapter folder, or a model by name.
        output_path: the output folder; for a run, ``RUN/TARGET-PRECISION`` when omitted.
        reporter: shows the progress.
        options: further settings of ``graft auto-opt``, such as ``precision="int4"``.

    Raises:
        InputError: when the model or an option is invalid; nothing is written.
        GateError: when the bundle answers worse than allowed; its folder is kept and marked as failed.
    """
    from graft.commands.export import export_model as run_export

    given = {"model_name_or_path": os.fspath(model), "output_path": output_path, **options}
    return Bundle(run_export({name: value for name, value in given.items() if value is not None}, reporter))


def load(path: str | os.PathLike[str]) -> Run | Bundle | Model:
    """Open a run folder, a bundle, or a model or adapter folder. Loads no weights.

    Raises:
        InputError: when the folder is none of these.
    """
    folder = Path(path).expanduser()
    kind = expect_kind(folder, _OPENED)
    return _OPENED[kind](folder)


_OPENED: Mapping[FolderKind, type[Run] | type[Bundle] | type[Model]] = {
    FolderKind.RUN: Run,
    FolderKind.BUNDLE: Bundle,
    FolderKind.MODEL: Model,
    FolderKind.ADAPTER: Model,
}


def doctor(data: Files, reporter: Reporter = SILENT, **options: Any) -> list[Finding]:
    """Look for problems in data. The data is not changed.

    Args:
        data: a file, several, a folder, or the name of a data set.
        reporter: shows the progress.
        options: further settings of ``graft doctor``, such as ``model="smollm2-135m-instruct"``.

    Returns:
        What was found, the gravest first: ``finding.severity``, ``finding.title``, ``finding.rows``, …

    Raises:
        InputError: when a setting is wrong, or no row can be read at all.
    """
    from graft.commands.doctor import check_settings, diagnose_data, settings_class
    from graft.config import build

    named = _plain(data)
    given = {name: _plain(value) for name, value in options.items()}
    where = {"data_name" if isinstance(named, str) else "data_files": named}
    return diagnose_data(build(settings_class(), {**where, **given}, check=check_settings), reporter).findings


def prepare(
    data: Files, output_path: str | Path, reporter: Reporter = SILENT, overwrite: bool = False, **options: Any
) -> Preparation:
    """Write cleaned data, and a log of every change. The data is not changed.

    Args:
        data: a file, several, a folder, or the name of a data set.
        output_path: the folder to write; ``graft.finetune`` takes it as ``data``.
        reporter: shows the progress.
        overwrite: whether to replace a prepared data set in it.
        options: further settings of ``graft prepare``, such as ``eval_share=0.1`` or ``steps=["near_duplicates"]``.

    Returns:
        What was written: ``output``, ``rows`` by side, ``changes`` by step; usable as a path.

    Raises:
        InputError: when a setting is wrong, or the data cannot be read; nothing is written then.
    """
    from graft.commands.prepare import check_settings, prepare_data, settings_class
    from graft.config import build

    named = _plain(data)
    given = {name: _plain(value) for name, value in options.items()}
    where = {"data_name" if isinstance(named, str) else "data_files": named, "output_path": _plain(output_path)}
    steps = given.get("steps") or ()
    cls = settings_class(steps.split(",") if isinstance(steps, str) else steps)
    return prepare_data(build(cls, {**where, "overwrite": overwrite, **given}, check=check_settings), reporter)


def _plain(value: Any) -> Any:
    """A path, or several, as settings files have them."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
