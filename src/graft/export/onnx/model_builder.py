"""The model builder of onnxruntime-genai, called without its output."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from graft.errors import GraftError, InputError, need_extra
from graft.models.families import family_of
from graft.models.model_config import read_model_config
from graft.processes import without_telemetry

BUILDER_PRECISIONS = {"float32": "fp32", "float16": "fp16"}
"""The builder's own names, where they differ."""


class _Builder(NamedTuple):
    create_model: Any
    parse_extra_options: Any


def build(
    model: Path, output: Path, precision: str, builder: str = "cpu", options: Mapping[str, str] | None = None
) -> None:
    """Build a folder that onnxruntime-genai loads.

    Args:
        model: A model folder of transformers.
        output: The folder to make.
        precision: ``float32``, ``float16``, ``int8`` or ``int4``.
        builder: The builder's name of the execution provider.
        options: The builder's ``extra_options``.

    Raises:
        InputError: If config.json is damaged, or the builder does not know the architecture.
        GraftError: If it fails.
    """
    architecture = (read_model_config(model).get("architectures") or ["?"])[0]
    cache = output / ".builder"
    given = {"hf_token": "false", "windowed_kv_cache": "false", **(options or {})}
    arguments = ("", str(model), str(output), BUILDER_PRECISIONS.get(precision, precision), builder, str(cache))
    with _quiet():
        made = _builder()
        try:
            prepared = made.parse_extra_options(*arguments, [f"{name}={value}" for name, value in given.items()])
            _flatten_rope(prepared["hf_details"]["hf_config"])
            made.create_model(*arguments, **prepared)
        except NotImplementedError as error:
            raise InputError(
                f"the model builder of onnxruntime-genai does not support the architecture {architecture}",
                where=str(model),
                remedy="try --format gguf; the documentation lists the supported families",
            ) from error
        except OSError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise GraftError(f"the model builder failed on {architecture} in {precision}: {reason}") from error
    with contextlib.suppress(OSError):
        cache.rmdir()


def _flatten_rope(config: Any) -> None:
    """Give Gemma 3's two RoPE bases the names that the builder reads; transformers 5 nests them by layer type."""
    nested = getattr(config, "rope_parameters", None) or {}
    if family_of(config.model_type).nested_rope and "sliding_attention" in nested:
        config.rope_theta = nested["full_attention"]["rope_theta"]
        config.rope_local_base_freq = nested["sliding_attention"]["rope_theta"]
        config.rope_parameters = nested["full_attention"]


def _builder() -> _Builder:
    try:
        without_telemetry()
        import onnxruntime_genai.models  # noqa: F401  (puts the builder's modules on the path)
        from onnxruntime_genai.models.builder import create_model, parse_extra_options
    except ImportError as error:
        raise need_extra("auto-opt", error.name or "onnxruntime_genai") from error
    return _Builder(create_model, parse_extra_options)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what the builder prints and logs, its progress bars, and its set-up of logging."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # failures are raised as exceptions
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
    """The installed versions of the packages that build and run a bundle."""
    found = {}
    for name in ("onnxruntime-genai", "onnxruntime", "onnx", "transformers", "peft"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
