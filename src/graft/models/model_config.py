"""A model folder's ``config.json``: types and sizes are checked before a library builds what it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.documents import read_object
from graft.errors import InputError, Problems
from graft.models.safetensors_header import read_header
from graft.runs.record import Record, validate

LARGEST = 64 * 2**20
"""Bytes of a configuration."""
PLAUSIBLE_SIZE, PLAUSIBLE_LAYERS = 16_384, 256
"""Sizes up to these are left to the library to compare with the weights."""
_REMEDY = "the configuration does not belong to these weights: copy or download the model again"

_Size = Annotated[int, Field(ge=1, lt=2**31)] | None
_Id = Annotated[int, Field(ge=-1, lt=2**31)]
_Width = Annotated[int, Field(ge=0, lt=2**31)] | None


class _Sizes(Record):
    """What graft computes with, and what makes a model large or deep."""

    vocab_size: _Size = None
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
    max_position_embeddings: _Size = None
    n_positions: _Size = None
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
        InputError: If there is none, or keys that graft reads have values of another type.
    """
    file = folder / "config.json"
    if not file.exists():
        raise InputError("there is no config.json in this model folder", where=str(folder))
    found = read_object(file, LARGEST)
    if found.get("model_type") is None:
        what = "this file has no model_type, so it is not a transformers configuration"
        raise InputError(what, where=str(file))
    record = validate(ModelConfig, found, str(file))
    if not all(name.isascii() and name.isdigit() and len(name) < 10 for name in record.id2label or {}):
        raise InputError("the keys of 'id2label' are not all numbers", where=str(file), remedy="restore the file")
    return found


def compare_sizes(config: Mapping[str, Any], weights: Sequence[Path], where: Path, problems: Problems) -> None:
    """Add a problem for each size that is far beyond the weights, such as a billion layers.

    A library would build all that is declared before it looks at the weights, which may take hours or all memory.
    Pickled weights say nothing of their shapes.
    """
    if not all(file.suffix == ".safetensors" for file in weights):
        return
    tensors = {name: entry.shape for file in weights for name, entry in read_header(file).items()}
    largest = max((size for shape in tensors.values() for size in shape), default=0)
    has_positions = any("position" in name or "wpe" in name for name in tensors)
    for key, value in _declared(config):
        if "layer" in key and value > max(PLAUSIBLE_LAYERS, len(tensors)):
            what = f"{key} is {value:,}, but the weights have {len(tensors):,} tensors"
        elif value > max(PLAUSIBLE_SIZE, largest) and ("position" not in key or has_positions):
            what = f"{key} is {value:,}, but no tensor of the weights is larger than {largest:,} in any dimension"
        else:
            continue
        problems.add(what, where, _REMEDY)


def _declared(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for part in (config, config.get("text_config") or {}):
        sizes = ((key, part.get(key)) for key in _Sizes.model_fields if not key.endswith("_id"))
        yield from ((key, value) for key, value in sizes if isinstance(value, int) and not isinstance(value, bool))
