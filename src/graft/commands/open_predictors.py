"""Loading runs, models and bundles as predictors, for ``evaluate`` and ``chat``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.config import DataSettings, ModelSettings, Settings
from graft.data.chat_template import Renderer
from graft.errors import InputError
from graft.export.bundle_task import bundle_labels
from graft.export.target import target_of
from graft.inference.llama_cpp import is_installed, require
from graft.inference.predictor import Predictor, Within
from graft.methods.adapter_folder import is_quantized
from graft.methods.recorded import base_context, load_tuned, method_of
from graft.models.base import Opened, open_model_settings, untuned_if_here
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import read_bundle
from graft.runs.prompt_record import PromptRecord
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding
from graft.tasks.load import load_for, on_the_gpu
from graft.tasks.open import open_task
from graft.tasks.recorded_prompt import prompt_of_run

BASE, PREVIOUS, TUNED = "base", "previous", "tuned"
"""The names of predictors; ``previous`` is the run that a run continues from."""


ONLY_IN_PYTORCH = ("adapter_path", "base_model_name_or_path", "chat_template", "chat_template_kwargs", "task")
"""Settings of a model that llama.cpp takes from the file."""


OF_A_BUNDLE = (
    *("chat_template", "adapter_path", "base_model_name_or_path", "task"),
    *("backend", "max_length", "model_revision"),
)
"""Settings that a bundle brings itself."""
OF_LLAMA_CPP = ("adapter", "allow_base_mismatch", "model_revision", "max_length")
"""Settings that have no effect on a GGUF file in llama.cpp."""


@dataclass(frozen=True)
class OpenModel:
    """A run or a model, before its weights are loaded.

    Attributes:
        opened: The model, its adapter and its run.
        task: What it does.
        encoding: Its tokenizer, labels and limits.
    """

    opened: Opened
    task: Task
    encoding: Encoding

    @property
    def run(self) -> RunFolder | None:
        """The run folder; None for a model that is no run's."""
        return RunFolder.open(self.opened.run) if self.opened.run is not None else None

    @property
    def prompt(self) -> PromptRecord:
        """How it is asked: as its run recorded."""
        tokenizer = self.encoding.tokenizer
        if self.run is not None:
            return prompt_of_run(self.run, self.task, tokenizer)
        if self.opened.base.kind == "gguf":
            beside = prompt_beside(Path(self.opened.base.name))
            if beside is not None:
                return beside
        return PromptRecord(generation_prompt=Renderer(tokenizer).generation_prompt())

    def predictors(self, reporter: Reporter, *, with_base: bool, name: str) -> dict[str, Predictor]:
        """Load the weights.

        Args:
            reporter: Shows notes.
            with_base: Whether to load the base of a run that trained all weights, which is a second model in memory.
            name: The name of a model that has no base next to it.

        Returns:
            ``base`` and ``tuned``, or the model by ``name``; ``tuned`` alone where the base is gone, which is noted.

        Raises:
            InputError: If the model does not load, or ``--base`` names another model than its base.
        """
        task, encoding, opened, run = self.task, self.encoding, self.opened, self.run
        seed = (run.manifest.seed or 0) if run is not None else 0
        reporter.note(f"loading {opened.name}")
        model = load_for(task, encoding, opened.base, seed, to_quantize=is_quantized(opened.adapter))
        within = None
        if opened.adapter is not None:
            method = method_of(opened)
            model = load_tuned(model, opened, method)
            within = base_context(method, model)
        tuned = on_the_gpu(model)
        if within is not None:
            return base_and_tuned(task, encoding, tuned, within=within)
        if opened.adapter is None and (run is None or not with_base):
            return {name: task.predictor(name, tuned, encoding)}
        base = untuned_if_here(opened, reporter)
        if base is None:
            return {TUNED: task.predictor(TUNED, tuned, encoding)}
        return base_and_tuned(task, encoding, tuned, on_the_gpu(load_for(task, encoding, base, seed)))


def base_and_tuned(
    task: Task, encoding: Encoding, tuned: Any, base: Any = None, within: Within = nullcontext
) -> dict[str, Predictor]:
    """The predictors of a tuned model and of its base.

    Args:
        task: What they do.
        encoding: The tokenizer, the labels and the limits.
        tuned: The tuned model.
        base: Its base, if that is a model of its own; else the tuned model answers as its base in ``within``.
        within: The context in which the base is asked.
    """
    return {
        BASE: task.predictor(BASE, tuned if base is None else base, encoding, within),
        TUNED: task.predictor(TUNED, tuned, encoding),
    }


def open_model(opened: Opened, model: ModelSettings, data: DataSettings) -> OpenModel:
    """What ``opened`` does, and how its rows become tokens.

    Raises:
        InputError: If the settings name a task that it cannot do.
    """
    task, encoding = open_task(opened, model, data)
    return OpenModel(opened, task, encoding)


def open_model_by_name(name: str, settings: ModelSettings, reporter: Reporter) -> OpenModel:
    """Open a run, a model folder, or a model by name.

    Raises:
        InputError: If it does not exist or does not load.
    """
    return open_model(open_by_name(name, settings, reporter), settings, DataSettings())


def open_by_name(name: str, settings: ModelSettings, reporter: Reporter) -> Opened:
    """Open ``name``, with the adapter of ``settings`` over it; the name of an adapter alone is that of its own model.

    Raises:
        InputError: If one of them does not exist or is not whole, or the adapter belongs to another model.
    """
    alone = settings.adapter_path is not None and name == str(settings.adapter_path)
    update = {"adapter_path": None, "model_name_or_path": name} if alone else {"model_name_or_path": name}
    return open_model_settings(settings.model_copy(update=update), reporter)


def open_bundle(folder: Path, adapters: Iterable[str | None], trusted: bool = False) -> dict[str, Predictor]:
    """Load a bundle once for each of its adapters.

    Args:
        folder: The bundle.
        adapters: The adapters by name; None is the bundle as it answers without a choice.
        trusted: Whether a target in a file, and Python files in the bundle, may be run.

    Returns:
        Predictors by the adapter's name; by ``model`` for None.

    Raises:
        InputError: If the bundle has no such adapter, or graft cannot run it.
    """
    target = target_of(folder, trusted)
    takes_trust = "trusted" in inspect.signature(target.open).parameters
    more = {"trusted": trusted} if takes_trust else {}
    return {adapter or "model": target.open(folder, adapter, **more) for adapter in adapters}


def gguf_for_llama_cpp(name: str, settings: ModelSettings, backend: str, reporter: Reporter) -> Path | None:
    """Return the GGUF file that ``name`` is, if llama.cpp is to run it; None if PyTorch is, or it is another model.

    Args:
        name: What the user named.
        settings: How a model is opened; what only PyTorch can do is an adapter over it or another chat template.
        backend: ``auto``, ``llama.cpp`` or ``pytorch``.
        reporter: Gets a note on what runs the file.

    Raises:
        InputError: If llama.cpp is asked for and cannot run it.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() != ".gguf" or not path.is_file():
        if backend == "llama.cpp":
            raise InputError("llama.cpp runs .gguf files only", where=name, remedy="omit --backend")
        return None
    changed = [key for key in ONLY_IN_PYTORCH if getattr(settings, key)]
    if backend == "llama.cpp":
        require()
        if changed:
            options = ", ".join(f"--{key}" for key in changed)
            raise InputError(f"{options} cannot be used with llama.cpp", where=name, remedy="add --backend pytorch")
    chosen = backend == "llama.cpp" or (backend == "auto" and is_installed() and not changed)
    missing = "" if is_installed() else '; for llama.cpp: pip install "graft-slm[gguf]"'
    by = "llama.cpp" if chosen else f"PyTorch, converted to float32{missing}"
    reporter.note(f"{path.name} is run by {by}")
    return path if chosen else None


def prompt_beside(file: Path) -> PromptRecord | None:
    """Return how a GGUF file is asked, as the bundle that it is in records it; None for a file elsewhere."""
    if folder_kind(file.parent) is not FolderKind.BUNDLE:
        return None
    manifest = read_bundle(file.parent)
    return manifest.prompt if manifest.file == file.name else None


def refuse_without_effect(settings: Settings, names: Iterable[str], what: str) -> None:
    """Refuse options that would be ignored.

    Args:
        settings: The settings.
        names: Those that have no effect.
        what: Why, such as ``llama.cpp takes them from the file``.

    Raises:
        InputError: Naming all that were given.
    """
    fields = type(settings).model_fields
    given = [
        name
        for name in names
        if name in settings.model_fields_set and getattr(settings, name) not in (None, fields[name].default)
    ]
    if given:
        options = ", ".join(f"--{name}" for name in given)
        raise InputError(f"{options} has no effect here: {what}", remedy="omit it")


def adapters_of(folder: Path) -> list[str | None]:
    """The adapters of a bundle, and ``base`` for none of them; [None] for a bundle without adapters."""
    listed = read_bundle(folder).adapters
    return [*listed, BASE] if listed else [None]


def default_metrics_of(folder: Path) -> tuple[str, ...] | None:
    """The metrics of the task of a bundle that has a classification head; None for those that fit the answers."""
    if read_bundle(folder).task is None:
        return None
    task, labels = bundle_labels(folder)
    return task.default_metrics(labels)


def check_chats(task: Task, name: str) -> None:
    """Check that the model called ``name`` can chat.

    Raises:
        InputError: If models of ``task`` cannot.
    """
    if task.chat == "none":
        raise InputError(f"a {task.name} model cannot chat", where=name, remedy="graft evaluate")
