"""Execution providers of onnxruntime, and what the model builder of onnxruntime-genai builds for each."""

from __future__ import annotations

from typing import NamedTuple

from graft.errors import Problems
from graft.models.folder import Base
from graft.processes import without_telemetry

PROVIDERS = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "WebGpuExecutionProvider": "webgpu",
    "NvTensorRTRTXExecutionProvider": "NvTensorRtRtx",
    "OpenVINOExecutionProvider": "",
    "QNNExecutionProvider": "",
}
"""onnxruntime's name of each execution provider, and the model builder's; empty if it builds nothing for it."""

PRECISIONS = {
    "cpu": ("float32", "int8", "int4"),
    "cuda": ("float32", "float16", "int8", "int4"),
    "dml": ("float16", "int4"),
    "webgpu": ("float16", "int8", "int4"),
    "NvTensorRtRtx": ("float16", "int4"),
}
"""What the model builder builds, by its own name of the provider."""

BY_DEVICE = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider", "npu": "QNNExecutionProvider"}

_REMEDIES = {
    "OpenVINOExecutionProvider": "use optimum-intel to export for OpenVINO from a --precision float32 ONNX model",
    "QNNExecutionProvider": "use Qualcomm AI Hub to compile the PyTorch model for the NPU",
}


class Provider(NamedTuple):
    """An execution provider by both of its names.

    Attributes:
        name: onnxruntime's, such as ``CPUExecutionProvider``.
        builder: The model builder's, such as ``cpu``; empty if it builds nothing for this provider.
    """

    name: str
    builder: str


def choose_provider(device: str, provider: str | None) -> Provider:
    """The execution provider called ``provider``, or the default of ``device`` ("cpu", "gpu" or "npu").

    Raises:
        InputError: If there is none of this name, or it does not run on ``device``.
    """
    names = {name.lower(): name for name in PROVIDERS}
    names |= {name.removesuffix("executionprovider"): full for name, full in names.items()}
    wanted = BY_DEVICE[device] if provider is None else names.get(provider.lower())
    problems = Problems()
    if wanted is None:
        problems.add(f"unknown execution provider {provider!r}", "--provider", f"choose one of {', '.join(PROVIDERS)}")
    elif provider is not None and (wanted == "CPUExecutionProvider") != (device == "cpu"):
        problems.add(f"{wanted} does not run on the device {device!r}", "--provider", "set --device to cpu, gpu or npu")
    problems.raise_if_any()
    assert wanted is not None
    return Provider(wanted, PROVIDERS[wanted])


def check_buildable(provider: Provider, precision: str, problems: Problems) -> None:
    """Add to ``problems`` what keeps the model builder from building ``precision`` for ``provider``."""
    if not provider.builder:
        what = f"the model builder of onnxruntime-genai does not support {provider.name}"
        problems.add(what, "--provider", _REMEDIES[provider.name])
    elif precision != "auto" and precision not in PRECISIONS[provider.builder]:
        can = ", ".join(PRECISIONS[provider.builder])
        problems.add(f"{precision} cannot be built for {provider.name}", "--precision", f"choose one of {can}")


def runs_here(provider: Provider) -> bool:
    """Whether onnxruntime on this machine has ``provider``."""
    without_telemetry()
    import onnxruntime

    return provider.name in onnxruntime.get_available_providers()


def check_head_size(base: Base, problems: Problems) -> None:
    """Add to ``problems`` an attention head size that onnxruntime's GroupQueryAttention refuses at run time."""
    config = base.text_config
    size = config.get("head_dim") or config.get("hidden_size", 0) // max(config.get("num_attention_heads", 1), 1)
    if size % 16:
        problems.add(
            f"onnxruntime requires an attention head size that is a multiple of 16; this model has {size}",
            base.name,
            "try --format gguf",
        )
