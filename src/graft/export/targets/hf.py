"""The target ``hf``: any task's model as a plain folder of transformers, with the adapter merged."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.config import ExportSettings, Settings
from graft.errors import InputError, Problems
from graft.export.target import Built

if TYPE_CHECKING:
    from graft.export.source import ExportSource
    from graft.inference.predictor import Predictor
    from graft.progress import Reporter
    from graft.tasks.base import Task
    from graft.tasks.encoding import Encoding

MLX = "mlx"
MLX_VERSION = "0.32"
MLX_TYPES = frozenset(
    {
        "cohere",
        "cohere2",
        "deepseek_v3",
        "ernie4_5",
        "ernie4_5_moe",
        "falcon_mamba",
        "gemma",
        "gemma2",
        "gemma3_text",
        "glm4",
        "glm4_moe_lite",
        "gpt_neox",
        "granite",
        "granitemoe",
        "helium",
        "hunyuan_v1_dense",
        "internlm3",
        "laguna",
        "lfm2",
        "lfm2_moe",
        "llama",
        "mamba",
        "ministral3",
        "mistral",
        "mixtral",
        "nemotron",
        "nemotron_h",
        "olmo2",
        "olmo3",
        "olmoe",
        "phi",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "qwen3_next",
        "seed_oss",
        "smollm3",
        "stablelm",
        "starcoder2",
    }
)
"""``model_type`` of the models that mlx-lm was seen to compute as transformers does: of tiny random ones in such
folders, the greedy tokens were the same and the logits within 0.001. mlx-lm loads more types, some of them wrongly."""


class HuggingFace:
    """Merges the adapter, writes the folder, and opens it again by transformers alone."""

    name = "hf"
    title = "Hugging Face model folder"
    help = "every task's model for vLLM, mlx-lm, transformers, and llama.cpp's converter, with the adapter merged"
    format = "hf"
    aliases = ("safetensors", "transformers", MLX)
    precisions = ("float32", "bfloat16", "float16")
    Config: type[Settings] = Settings

    def can(self, source: ExportSource, options: ExportSettings, config: Settings) -> InputError | None:
        """The adapter's type, the rows to compare on, and for ``--format mlx`` the model type."""
        from graft.export.merge import check_mergeable
        from graft.export.parity_rows import check_parity_rows

        problems = Problems()
        if options.provider is not None:
            what = "--provider does not apply to a model folder: execution providers are of onnxruntime"
            problems.add(what, "--provider", "omit it")
        if options.device != "cpu":
            what = f"--device {options.device} does not apply to a model folder: what opens it chooses the device"
            problems.add(what, "--device", "omit it")
        if options.format == MLX:
            _check_mlx(source, problems)
        if source.adapter is not None:
            with problems.collecting():
                check_mergeable(source.opened)
        with problems.collecting():
            check_parity_rows(source, options.data_files, options.skip_parity)
        return InputError(*problems.found) if problems else None

    def build(
        self, source: ExportSource, options: ExportSettings, config: Settings, folder: Path, reporter: Reporter
    ) -> Built:
        """The weights, the configuration, the tokenizer, and a README."""
        from graft.export.hf.check import compare
        from graft.export.hf.folder import copy_code, write_folder
        from graft.export.hf.readme import write_readme
        from graft.export.judged import judged
        from graft.export.merge import load_judged, merge_entry, merge_judged
        from graft.export.parity_rows import load_parity_rows

        precision = str(options.precision)
        wanted = not options.skip_parity
        rows = load_parity_rows(source, options.data_files, options.parity_rows) if wanted else None
        reporter.note(f"loading {source.name}")
        model = load_judged(source)
        _check_disk_space(folder, model, precision)  # of packed weights a lower bound
        own = options.data_files is None
        reference = judged(source, model, rows, reporter, own=own) if rows is not None else None
        ends = _ends(source, model)
        model = merge_judged(model, source, None)
        entries = {"task": source.task.name, **merge_entry(model)}
        reporter.note(f"writing the model in {precision}")
        _check_disk_space(folder, model, precision)
        write_folder(model, source.tokenizer, folder, precision, ends)
        if source.base.trust_remote_code:
            copy_code(source.base.path, folder)
        del model
        gc.collect()  # PEFT's models are in cycles of references, and the folder's is loaded next
        parity: Any = "skipped (--skip_parity)"
        if reference is not None:
            opened = partial(exported, folder, source)
            parity = compare(reference, source, folder, opened, precision, options.max_accuracy_drop, reporter)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        built = Built(parity, round(size / 1e6, 1), entries, run_command=_run_command(source))
        write_readme(folder, source, built, precision, for_mlx=is_for_mlx(source))
        return built

    def open(self, folder: Path, adapter: str | None = None, trusted: bool = False) -> Predictor:
        """The model in PyTorch, in the number format of its files, on its own task."""
        from graft.export.bundle_task import bundle_task

        return predictor(folder, *bundle_task(folder, trusted), trusted)


def predictor(folder: Path, task: Task, encoding: Encoding, trust_remote_code: bool = False) -> Predictor:
    """The model in ``folder`` on ``task``."""
    from graft.models.folder import open_folder
    from graft.tasks.load import load_for, on_the_gpu

    base = open_folder(folder, str(folder.resolve()), "folder", trust_remote_code)
    return task.predictor("hf", on_the_gpu(load_for(task, encoding, base, seed=0, dtype="auto")), encoding)


def exported(folder: Path, source: ExportSource) -> Predictor:
    """The model in ``folder``, which was made from ``source``, by its own tokenizer and labels."""
    from graft.export.bundle_task import folder_encoding

    trusted = source.base.trust_remote_code
    encoding = folder_encoding(folder, source.task, source.encoding.max_length, trusted)
    return predictor(folder, source.task, encoding, trusted)


def _check_disk_space(folder: Path, model: Any, precision: str) -> None:
    """Check that the disk has room for the weights.

    Raises:
        GraftError: If the disk has no room for the parameters of ``model`` in ``precision``.
    """
    import torch

    from graft.export import bundle

    parameters = sum(parameter.numel() for parameter in model.parameters())
    bundle.check_disk_space(folder, parameters * getattr(torch, precision).itemsize)


def is_for_mlx(source: ExportSource) -> bool:
    """Whether mlx-lm loads such a model."""
    return source.task.name == "text-generation" and source.base.config.get("model_type") in MLX_TYPES


def _check_mlx(source: ExportSource, problems: Problems) -> None:
    model_type = source.base.config.get("model_type")
    remedy = "--format hf writes the folder for vLLM and transformers"
    if source.task.name != "text-generation":
        problems.add(f"mlx-lm generates text; it does not run {source.task.name} models", "--format mlx", remedy)
    elif model_type not in MLX_TYPES:
        problems.add(
            f"mlx-lm {MLX_VERSION} does not compute models of the type {model_type!r} as transformers does",
            "--format mlx",
            remedy,
        )


def _ends(source: ExportSource, model: Any) -> set[int] | None:
    """The tokens at which the judged model's answers end; None for a task that is not judged by next tokens."""
    if source.task.objective(source.encoding.label_space) is not None:
        return None
    ends: set[int] = source.task.predictor("", model, source.encoding).ends()  # type: ignore[attr-defined]
    return ends


def _run_command(source: ExportSource) -> str:
    return "graft chat {folder}" if source.task.chat != "none" else "graft evaluate {folder}"


HF = HuggingFace()
