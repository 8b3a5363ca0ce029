"""A model folder's ``config.json``: types and sizes are checked before a library builds what it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.documents import read_object, shown
from graft.errors import InputError, Problems
from graft.models.safetensors_header import TensorEntry
from graft.runs.record import Record, validate

LARGEST_CONFIG = 64 * 2**20
"""Bytes of a configuration."""
PLAUSIBLE_SIZE, PLAUSIBLE_LAYERS = 16_384, 256
"""The library itself compares sizes up to these with the weights."""
_AGAIN = "copy or download the model again"
_REMEDY = "the configuration does not belong to these weights: copy or download the model again"

_Positive = Annotated[int, Field(ge=1, lt=2**31)]
_Size = _Positive | list[_Positive] | None  # a list has one for each layer
_Id = Annotated[int, Field(ge=-1, lt=2**31)]
_Natural = Annotated[int, Field(ge=0, lt=2**31)]
_Width = _Natural | list[_Natural] | None
_Positions = _Positive | Annotated[float, Field(ge=1, lt=2**31)] | None  # MusicFlamingo's is 1200.0

ATTENTION = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
"""What a configuration may name; other names are repositories of the Hub, whose kernel would be downloaded and run."""
EXPERTS = ("eager", "batched_mm", "grouped_mm")


class _Sizes(Record):
    """The keys that graft computes with, and those that decide how large a model is."""

    vocab_size: _Positive | None = None
    hidden_size: _Size = None
    n_embd: _Size = None
    d_model: _Size = None
    intermediate_size: _Width = None
    n_inner: _Width = None
    d_ff: _Width = None
    num_hidden_layers: _Size = None
    num_layers: _Size = None
    num_decoder_layers: _Size = None
    encoder_layers: _Size = None
    decoder_layers: _Size = None
    n_layer: _Size = None
    num_attention_heads: _Size = None
    num_key_value_heads: _Size = None
    n_head: _Size = None
    head_dim: _Size = None
    max_position_embeddings: _Positions = None
    n_positions: _Positions = None
    eos_token_id: _Id | list[_Id] | None = None
    bos_token_id: _Id | list[_Id] | None = None
    pad_token_id: _Id | None = None
    model_type: str | None = None
    tie_word_embeddings: bool | None = None
    is_encoder_decoder: bool | None = None
    is_decoder: bool | None = None


class ModelConfig(_Sizes):
    """What graft reads of ``config.json``; the rest is kept for transformers."""

    architectures: list[str] | None = None
    auto_map: dict[str, Any] | None = None
    id2label: dict[str, str | int | float | bool | None] | None = None
    problem_type: str | None = None
    text_config: _Sizes | None = None


def read_model_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a model folder.

    Raises:
        InputError: If there is none, keys that graft reads have values of another type, or it names a kernel to fetch.
    """
    file = folder / "config.json"
    if not file.exists():
        raise InputError("there is no config.json in this model folder", where=str(folder), remedy=_AGAIN)
    found = read_object(file, LARGEST_CONFIG)
    if found.get("model_type") is None:
        what = "this file has no model_type, so it is not a transformers configuration"
        raise InputError(what, where=str(file), remedy=_AGAIN)
    record = validate(ModelConfig, found, str(file))
    refuse_kernels(found, file)
    if not all(name.isascii() and name.isdigit() and len(name) < 10 for name in record.id2label or {}):
        raise InputError("the keys of 'id2label' are not all numbers", where=str(file), remedy="restore the file")
    return found


def compare_sizes(
    config: Mapping[str, Any], tensors: Mapping[str, TensorEntry], where: Path, problems: Problems
) -> None:
    """Add a problem for each size that is far beyond the weights, such as a billion layers.

    A library would build everything that is declared before it looks at the weights, which may take hours or all
    memory.

    Args:
        config: The configuration.
        tensors: All tensors of the weights.
        where: The configuration file, for error messages.
        problems: Takes what is wrong.
    """
    largest = max((size for entry in tensors.values() for size in entry.shape), default=0)
    has_positions = any("position" in name or "wpe" in name for name in tensors)
    for key, value in _declared(config):
        if "layer" in key and value > max(PLAUSIBLE_LAYERS, len(tensors)):
            what = f"{key} is {value:,}, but the weights have {len(tensors):,} tensors"
        elif value > max(PLAUSIBLE_SIZE, largest) and ("position" not in key or has_positions):
            what = f"{key} is {value:,}, but no tensor of the weights is larger than {largest:,} in any dimension"
        else:
            continue
        problems.add(what, where, _REMEDY)


def plain_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``config`` with one whole number for each size: of a list, which has one for each layer, the largest."""
    sizes: dict[str, int] = {}
    for key, size in _declared({**config, "text_config": None}):
        sizes[key] = max(size, sizes.get(key, 0))
    return {**config, **sizes}


def _declared(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for part in (config, config.get("text_config") or {}):
        sizes = ((key, part.get(key)) for key in _Sizes.model_fields if not key.endswith("_id"))
        for key, value in sizes:
            for size in value if isinstance(value, list) else (value,):
                if isinstance(size, (int, float)) and not isinstance(size, bool):
                    yield key, int(size)


def refuse_kernels(config: Mapping[str, Any], file: Path) -> None:
    """Refuse implementations that transformers would fetch; sub-configurations may name them as well.

    Raises:
        InputError: With each of them.
    """
    problems = Problems()
    for part in _objects(config):
        for key, value in part.items():
            known = EXPERTS if "experts" in key else ATTENTION
            if key.removesuffix("_internal").endswith(("attn_implementation", "experts_implementation")):
                for name in value.values() if isinstance(value, dict) else (value,):
                    if name is not None and name not in known:
                        what = f"{key!r} is {shown(name)}, which could be code that is downloaded and run"
                        problems.add(what, file, f"use one of {', '.join(known)}, or remove the key")
    problems.raise_if_any()


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)
