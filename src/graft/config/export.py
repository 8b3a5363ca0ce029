"""Settings of ``graft auto-opt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from graft.config.base import Settings, setting
from graft.config.common import ModelSettings
from graft.config.types import Paths, renaming

FORMATS = {"fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}
PLACEMENTS = {"merge": "merged", "switch": "hot-swappable", "switchable": "hot-swappable"}


ExportPrecision = Annotated[Literal["auto", "float32", "bfloat16", "float16", "int8", "int4"], renaming(FORMATS)]
"""The number format of exported weights; ``fp32``, ``bf16`` and ``fp16`` are also accepted."""

AdapterPlacement = Annotated[Literal["auto", "merged", "hot-swappable"], renaming(PLACEMENTS)]
"""Where an adapter goes; ``merge`` and ``switch`` are also accepted."""


class BundleSettings(Settings):
    """Settings of every export target: the output folder, and the comparison with the PyTorch model."""

    output_path: Path | None = setting(
        None, "output folder (default: RUN/FORMAT-PRECISION, such as RUN/onnx-int4)", "output_dir", "o"
    )
    precision: ExportPrecision | None = setting(
        None,
        "number format of the weights; auto measures several and keeps the smallest that passes "
        "(default: the target's; int4 for generative models)",
    )
    max_accuracy_drop: float | None = setting(
        None,
        "maximum drop of the first metric against PyTorch (default: no significant drop, and at most 0.02)",
        ge=0,
        lt=1,
    )
    skip_parity: bool = setting(False, "skip the comparison with the PyTorch model; the manifest records this")
    parity_rows: int = setting(600, "maximum number of rows to compare on", ge=1)
    overwrite: bool = setting(False, "replace the bundle in the output folder")


class ExportSettings(BundleSettings, ModelSettings):
    """Settings of every target of ``graft auto-opt``; each target adds its own options."""

    format: str | None = setting(
        None,
        "onnx, gguf, hf (a model folder for vLLM, mlx-lm, and transformers), a target's name, or path/to/file.py:Name "
        "(default: ONNX, depending on the model's task)",
        "output_format",
    )
    data_files: Paths | None = setting(None, "rows to compare on; replaces the run's held-out rows", "eval_files")
    device: Literal["cpu", "gpu", "npu"] = setting("cpu", "target device of the bundle")
    provider: str | None = setting(
        None,
        "execution provider, such as CPUExecutionProvider (default: depends on the device)",
        "execution_provider",
        "ep",
    )
    use_ort_genai: bool = setting(True, "accepted for compatibility; generative models always run in onnxruntime-genai")


Rounding = Literal["auto", "rtn", "k_quant", "range", "gptq"]


def _rounding() -> Any:
    return setting(
        "auto",
        "int4 rounding method: rtn and k_quant use the ONNX model builder, range and gptq use graft; gptq calibrates "
        "on the training rows; auto selects gptq if training rows are available",
    )


def _adapter() -> Any:
    return setting(
        None,
        "adapter placement: merged (into the weights), hot-swappable (in a separate file), or auto (the faster one, "
        "measured); default: merged, except that in ONNX a qlora adapter stays unmerged over its int4 weights",
    )


class OnnxGenaiConfig(Settings):
    """The options of the target ``onnx-genai``."""

    rounding: Rounding = _rounding()
    adapter: AdapterPlacement | None = _adapter()
    max_size: float | None = setting(None, "maximum size in MB", "max_size_mb", gt=0)
    min_tokens_per_second: float | None = setting(None, "minimum speed in generated tokens per second", gt=0)


class GgufConfig(Settings):
    """The options of the target ``gguf``."""

    rounding: Rounding = _rounding()
    adapter: AdapterPlacement | None = _adapter()
