"""The files of a folder for onnxruntime-genai besides the graph: tokenizer, genai_config.json, adapters, README."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.documents import read_object
from graft.errors import InputError, did_you_mean
from graft.runs.manifest import MANIFEST, BundleManifest, read_bundle
from graft.runs.paths import path_inside
from graft.runs.record import Record, validate

GENAI_CONFIG = "genai_config.json"
ADAPTERS = "adapters"
BASE = "base"
"""The name by which the base without an adapter is asked for."""


def adapter_file(folder: Path, name: str | None) -> Path | None:
    """The file of a bundle's adapter.

    Args:
        folder: The bundle.
        name: The adapter's name; None for the bundle's default, ``base`` for the base without an adapter.

    Returns:
        The file, or None for the base.

    Raises:
        InputError: If there is no adapter of this name, or its file is outside the bundle.
    """
    manifest = read_bundle(folder) if (folder / MANIFEST).is_file() else BundleManifest()
    listed = manifest.adapters
    name = manifest.default_adapter if name is None else name
    if name is None or (name == BASE and name not in listed):
        return None
    if name not in listed:
        raise InputError(
            f"this bundle has no adapter {name!r}; it has {', '.join(listed) or 'none'}",
            where=str(folder),
            remedy=did_you_mean(name, listed),
        )
    return path_inside(listed[name].file, folder, f"the file for the adapter {name!r}")


LayerNames = Annotated[str, Field(pattern="^[^%]*%d[^%]*$", max_length=200)]
"""The names of the KV caches in the graph, with ``%d`` for the number of the layer."""
Size = Annotated[int, Field(ge=1, le=2**20)]


class _CacheInputs(Record):
    past_key_names: LayerNames
    past_value_names: LayerNames


class _CacheOutputs(Record):
    present_key_names: LayerNames
    present_value_names: LayerNames


class DecoderRecord(Record):
    """What genai_config.json says of the graph: its file, its KV caches by name, and their shape."""

    filename: str
    num_hidden_layers: Annotated[int, Field(ge=1, le=10_000)]
    num_key_value_heads: Size
    head_size: Size
    inputs: _CacheInputs
    outputs: _CacheOutputs

    @property
    def past(self) -> list[str]:
        """The inputs for the keys and values of each layer in turn."""
        return self._names(self.inputs.past_key_names, self.inputs.past_value_names)

    @property
    def present(self) -> list[str]:
        """The outputs with the keys and values of each layer in turn."""
        return self._names(self.outputs.present_key_names, self.outputs.present_value_names)

    def _names(self, *patterns: str) -> list[str]:
        layers = range(self.num_hidden_layers)
        return [pattern.replace("%d", str(layer)) for layer in layers for pattern in patterns]


class _GraphModel(Record):
    decoder: DecoderRecord


class _GraphConfig(Record):
    model: _GraphModel


class _GenaiModel(Record):
    eos_token_id: int | list[int]
    context_length: Annotated[int, Field(ge=1, le=2**40)] | None = None


class _GenaiConfig(Record):
    """What is read of genai_config.json besides the names of the graph's inputs."""

    model: _GenaiModel


def read_decoder(folder: Path) -> DecoderRecord:
    """What genai_config.json says of the graph.

    Raises:
        InputError: If the file is missing or damaged.
    """
    file = folder / GENAI_CONFIG
    return validate(_GraphConfig, read_object(file), str(file)).model.decoder


def end_tokens(folder: Path) -> set[int]:
    """The token ids that end an answer, from genai_config.json.

    Raises:
        InputError: If the file is missing or damaged.
    """
    file = folder / GENAI_CONFIG
    listed = validate(_GenaiConfig, read_object(file), str(file)).model.eos_token_id
    return set(listed if isinstance(listed, list) else [listed])


def context_length(folder: Path) -> int | None:
    """The number of tokens that the model reads, from genai_config.json; None where that does not say.

    Raises:
        InputError: If the file is missing or damaged.
    """
    file = folder / GENAI_CONFIG
    return validate(_GenaiConfig, read_object(file), str(file)).model.context_length


def finish_tokenizer(folder: Path, tokenizer: Any, ends: Collection[int], share_buffer: bool = True) -> None:
    """Write the tokenizer used in training, and its end tokens, padding and greedy search to genai_config.json.

    The model builder takes these from the base's files. A chat template that was changed, or an end of turn that the
    model's generation_config.json does not list, would be lost, and answers would not stop.

    Args:
        folder: The folder that the model builder made.
        tokenizer: The tokenizer used in training.
        ends: The token ids that end an answer.
        share_buffer: False for a bundle with adapters, which onnxruntime-genai runs only without shared buffers.
    """
    from graft.models.load import quiet

    with quiet():
        tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    for name in ("is_local", "local_files_only"):
        config.pop(name, None)
    file.write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")
    genai = json.loads((folder / GENAI_CONFIG).read_text(encoding="utf-8"))
    genai["model"]["eos_token_id"] = sorted(ends) if len(ends) > 1 else next(iter(ends))
    genai["model"]["pad_token_id"] = int(tokenizer.pad_token_id)
    genai["search"] |= {"do_sample": False, "repetition_penalty": 1.0, "num_beams": 1}
    if not share_buffer:
        genai["search"]["past_present_share_buffer"] = False
    (folder / GENAI_CONFIG).write_text(json.dumps(genai, indent=2), encoding="utf-8")


def weights_sha256(folder: Path) -> str:
    """The SHA-256 of the graph and its weights together."""
    digest = hashlib.sha256()
    for name in ("model.onnx", "model.onnx.data"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                while part := file.read(1 << 22):
                    digest.update(part)
    return digest.hexdigest()


def size_mb(folder: Path) -> float:
    """The size of the graph, its weights and its adapters, in millions of bytes."""
    files = [*folder.glob("model.onnx*"), *(folder / ADAPTERS).glob("*.onnx_adapter")]
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)
