"""What ``graft auto-opt`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from graft.config.base import setting
from graft.config.common import ModelSettings
from graft.config.types import Listed


class ExportSettings(ModelSettings):
    """Everything ``graft auto-opt`` takes besides a run folder."""

    adapter_path: Path | None = setting(None, "PEFT adapter over the model", "adapter_name_or_path", "peft_path")
    output_path: Path | None = setting(None, "the folder to make (default: RUN/onnx-PRECISION)", "output_dir", "o")
    device: Literal["cpu", "gpu", "npu"] = setting("cpu", "where it will run")
    provider: str | None = setting(
        None, "execution provider, such as CPUExecutionProvider (default: by the device)", "execution_provider", "ep"
    )
    precision: Literal["auto", "fp32", "fp16", "int8", "int4"] = setting(
        "int4", "of the weights; auto: the smallest that passes, by measurement"
    )
    rounding: Literal["auto", "rtn", "k_quant", "range", "gptq"] = setting(
        "auto", "how int4 weights are rounded; gptq rounds for the user's own rows (auto: gptq where there are rows)"
    )
    adapter: Literal["auto", "merge", "switch"] | None = setting(
        None,
        "merge: into the weights; switch: kept as inputs; auto: the quicker one, measured (default: merge; what qlora "
        "trained stands beside the very int4 weights it was trained on)",
    )
    format: Literal["onnx", "gguf"] = setting("onnx", "onnx for onnxruntime-genai, gguf for llama.cpp", "output_format")
    max_size: float | None = setting(None, "with --precision auto: the most megabytes", "max_size_mb", gt=0)
    min_tokens_per_second: float | None = setting(None, "with --precision auto: the least tokens a second", gt=0)
    max_accuracy_drop: float | None = setting(
        None,
        "the most the metric may lose against PyTorch, as 0.01 (default: no significant loss, and at most 0.02)",
        ge=0,
        lt=1,
    )
    skip_parity: bool = setting(False, "don't compare the result with the PyTorch model; the manifest says so")
    parity_rows: int = setting(600, "the most rows to compare on", ge=1)
    data_files: Listed | None = setting(None, "rows to compare on, instead of the run's held-out ones", "eval_files")
    use_ort_genai: bool = setting(True, "make the folder for onnxruntime-genai (it always is)")
    overwrite: bool = setting(False, "replace the bundle that is in the output folder")
