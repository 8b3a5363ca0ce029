"""The onnxruntime-genai model builder, called quietly, and what it can build."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from graft.errors import GraftError, InputError, Problems, need_extra
from graft.models.families import family_of
from graft.models.folder import Base

PROVIDERS = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "WebGpuExecutionProvider": "webgpu",
    "NvTensorRTRTXExecutionProvider": "NvTensorRtRtx",
    "OpenVINOExecutionProvider": "",
    "QNNExecutionProvider": "",
}
"""onnxruntime's names of execution providers, and the builder's; an empty one where it makes nothing for a provider."""

PRECISIONS = {
    "cpu": ("fp32", "int8", "int4"),
    "cuda": ("fp32", "fp16", "int8", "int4"),
    "dml": ("fp16", "int4"),
    "webgpu": ("fp16", "int8", "int4"),
    "NvTensorRtRtx": ("fp16", "int4"),
}
BY_DEVICE = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider", "npu": "QNNExecutionProvider"}

_REMEDIES = {
    "OpenVINOExecutionProvider": "optimum-intel exports for OpenVINO; the folder of --format onnx fp32 is its input",
    "QNNExecutionProvider": "Qualcomm's AI Hub compiles for their NPU, from the PyTorch model",
}


def choose_provider(device: str, provider: str | None, precision: str, form: str = "onnx") -> tuple[str, str]:
    """onnxruntime's and the builder's name of the provider for ``device``.

    Raises:
        InputError: when the builder can't build for it, or not in this precision; with what it can.
    """
    names = {name.lower(): name for name in PROVIDERS}
    names |= {name.removesuffix("executionprovider"): full for name, full in names.items()}
    wanted = BY_DEVICE[device] if provider is None else names.get(provider.lower())
    problems = Problems()
    if wanted is None:
        problems.add(f"there is no execution provider {provider!r}", "provider", f"there are: {', '.join(PROVIDERS)}")
        problems.raise_if_any()
    assert wanted is not None
    builders = PROVIDERS[wanted]
    if not builders:
        problems.add(f"the model builder makes nothing for {wanted}", "provider", _REMEDIES[wanted])
    elif form == "onnx" and precision != "auto" and precision not in PRECISIONS[builders]:
        can = ", ".join(PRECISIONS[builders])
        problems.add(f"{precision} is not built for {wanted}", "precision", f"possible there: {can}")
    on_cpu = wanted == "CPUExecutionProvider"
    if provider is not None and on_cpu != (device == "cpu"):
        problems.add(f"{wanted} does not run on the device {device!r}", "provider", "--device cpu, gpu or npu")
    problems.raise_if_any()
    return wanted, builders


def runs_here(provider: str) -> bool:
    """Whether onnxruntime on this machine has ``provider``."""
    import onnxruntime

    return provider in onnxruntime.get_available_providers()


def check_heads(base: Base) -> None:
    """onnxruntime's GroupQueryAttention would refuse the graph when it first runs.

    Raises:
        InputError: when the heads of ``base`` are of a size that it does not take.
    """
    config = base.text_config
    size = config.get("head_dim") or config.get("hidden_size", 0) // max(config.get("num_attention_heads", 1), 1)
    if size % 16:
        raise InputError(
            f"onnxruntime's attention takes heads of a multiple of 16; this model's have {size}",
            where=base.name,
            remedy="graft auto-opt --format gguf may be a way",
        )


def build(
    model: Path, output: Path, precision: str, builder: str = "cpu", options: Mapping[str, str] | None = None
) -> None:
    """``model`` (a folder of transformers) as an ONNX folder that onnxruntime-genai loads, in ``output``.

    Raises:
        InputError: when the builder does not know the architecture.
        GraftError: when it fails.
    """
    architecture = json.loads((model / "config.json").read_text(encoding="utf-8")).get("architectures", ["?"])[0]
    cache = output / ".builder"
    given = {"hf_token": "false", "windowed_kv_cache": "false", **(options or {})}
    arguments = ("", str(model), str(output), precision, builder, str(cache))
    with _quiet():
        make, parse = _builder()
        try:
            prepared = parse(*arguments, [f"{name}={value}" for name, value in given.items()])
            _flatten_rope(prepared["hf_details"]["hf_config"])
            make(*arguments, **prepared)
        except NotImplementedError as error:
            raise InputError(
                f"the model builder of onnxruntime-genai does not know {architecture}",
                where=str(model),
                remedy="--format gguf may be a way; families that export are listed in docs/deploy.md",
            ) from error
        except OSError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise GraftError(f"the model builder fails on {architecture} in {precision}: {reason}") from error
    with contextlib.suppress(OSError):
        cache.rmdir()


def _flatten_rope(config: Any) -> None:
    """Gemma 3's two rotary bases under the names the builder reads; transformers 5 nests them by the layers' kind."""
    nested = getattr(config, "rope_parameters", None) or {}
    if family_of(config.model_type).nested_rope and "sliding_attention" in nested:
        config.rope_theta = nested["full_attention"]["rope_theta"]
        config.rope_local_base_freq = nested["sliding_attention"]["rope_theta"]
        config.rope_parameters = nested["full_attention"]


def _builder() -> tuple[Any, Any]:
    try:
        import onnxruntime_genai.models  # noqa: F401  (puts the builder's modules on the path)
        from onnxruntime_genai.models.builder import create_model, parse_extra_options
    except ImportError as error:
        raise need_extra("auto-opt", error.name or "onnxruntime_genai") from error
    return create_model, parse_extra_options


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The builder prints, draws bars and sets up logging: none of it is for our user."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what matters comes as an exception
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(disabled)
        root.setLevel(level)
        root.handlers[:] = handlers
        if before is None:
            os.environ.pop("TQDM_DISABLE", None)
        else:
            os.environ["TQDM_DISABLE"] = before


def versions() -> dict[str, str]:
    """Of what builds and runs a bundle."""
    found = {}
    for name in ("onnxruntime-genai", "onnxruntime", "onnx", "transformers", "peft"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
