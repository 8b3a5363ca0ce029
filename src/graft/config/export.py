"""What ``graft auto-opt`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from graft.config.base import Settings, setting
from graft.config.common import ModelSettings
from graft.config.types import Listed

FORMATS = {"fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16"}
PLACEMENTS = {"merge": "merged", "switch": "hot-swappable", "switchable": "hot-swappable"}


def _renamed(names: dict[str, str]) -> BeforeValidator:
    return BeforeValidator(lambda value: names.get(value, value) if isinstance(value, str) else value)


ExportPrecision = Annotated[Literal["auto", "float32", "float16", "int8", "int4"], _renamed(FORMATS)]
"""The number format of exported weights; ``fp32`` and ``fp16`` are accepted, too."""

AdapterPlacement = Annotated[Literal["auto", "merged", "hot-swappable"], _renamed(PLACEMENTS)]
"""Where an adapter goes; ``merge`` and ``switch`` are accepted, too."""


class BundleSettings(Settings):
    """What every export target takes: where the bundle goes, and how it is compared with the PyTorch model."""

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
    skip_parity: bool = setting(False, "do not compare the result with the PyTorch model; the manifest records it")
    parity_rows: int = setting(600, "maximum number of rows to compare on", ge=1)
    overwrite: bool = setting(False, "replace the bundle in the output folder")


class ExportSettings(BundleSettings, ModelSettings):
    """What every target of ``graft auto-opt`` takes; each target brings options of its own."""

    adapter_path: Path | None = setting(None, "PEFT adapter of the model", "adapter_name_or_path", "peft_path")
    format: str | None = setting(
        None,
        "onnx or gguf, a target's name, or path/to/file.py:Name (default: ONNX, by the task of the model)",
        "output_format",
    )
    data_files: Listed | None = setting(None, "rows to compare on, instead of the run's held-out rows", "eval_files")
    device: Literal["cpu", "gpu", "npu"] = setting("cpu", "device that the bundle is for")
    provider: str | None = setting(
        None,
        "execution provider, such as CPUExecutionProvider (default: by the device)",
        "execution_provider",
        "ep",
    )
    use_ort_genai: bool = setting(True, "accepted for compatibility; generative models always run in onnxruntime-genai")


Rounding = Literal["auto", "rtn", "k_quant", "range", "gptq"]


def _rounding() -> Any:
    return setting(
        "auto",
        "how weights are rounded to int4: rtn and k_quant by the ONNX model builder, range and gptq by graft; gptq "
        "calibrates on the training rows; auto is gptq where there are rows",
    )


class OnnxGenaiConfig(Settings):
    """The options of the target ``onnx-genai``."""

    rounding: Rounding = _rounding()
    adapter: AdapterPlacement | None = setting(
        None,
        "merged: into the weights; hot-swappable: in a file of its own; auto: the faster one, measured (default: "
        "merged; what qlora trained stays unmerged, next to its int4 weights)",
    )
    max_size: float | None = setting(None, "maximum size in MB", "max_size_mb", gt=0)
    min_tokens_per_second: float | None = setting(None, "minimum speed in generated tokens per second", gt=0)


class GgufConfig(Settings):
    """The options of the target ``gguf``."""

    rounding: Rounding = _rounding()
