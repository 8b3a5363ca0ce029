"""What an adapter folder's ``adapter_config.json`` may hold: checked before PEFT builds the layers that it asks for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graft.documents import read_object, shown
from graft.errors import InputError, Problems, refusing
from graft.models.safetensors_header import TensorEntry
from graft.runs.record import Record, validate

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PLAUSIBLE_SIZE = 4096
"""PEFT itself compares ranks and widths up to this one with the weights."""
LONGEST_PATTERN = 10_000
SECONDS = 10.0
"""For all regular expressions on all names of a model's layers; usual ones take milliseconds."""
_REMEDY = "restore the file, or train the adapter again"
_PLAIN = re.compile(r"[\w.-]*")
_Texts = str | list[str] | None
_Size = Annotated[int, Field(ge=0, lt=2**31)] | None


class AdapterConfig(Record):
    """The keys that graft reads, or that PEFT computes with, for every type of adapter; other keys are kept."""

    peft_type: str | None = None
    base_model_name_or_path: str | None = None
    revision: str | None = None
    task_type: str | None = None
    auto_mapping: dict[str, Any] | None = None
    r: _Size = None
    lora_alpha: int | float | None = None
    lora_dropout: Annotated[float, Field(ge=0, le=1)] | None = None
    bias: str | None = None
    fan_in_fan_out: bool | None = None
    use_rslora: bool | None = None
    use_dora: bool | None = None
    rank_pattern: dict[str, Annotated[int, Field(ge=0, lt=2**31)]] | None = None
    alpha_pattern: dict[str, int | float] | None = None
    target_modules: _Texts = None
    exclude_modules: _Texts = None
    modules_to_save: list[str] | None = None
    layers_pattern: _Texts = None
    layers_to_transform: int | list[int] | None = None
    layer_replication: list[list[int]] | None = None
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    megatron_config: dict[str, Any] | None = None
    num_virtual_tokens: _Size = None
    encoder_hidden_size: _Size = None
    oft_block_size: _Size = None
    boft_block_size: _Size = None
    boft_block_num: _Size = None
    vector_length: _Size = None
    num_vectors: _Size = None
    init_r: _Size = None
    target_r: _Size = None
    adapter_len: _Size = None
    adapter_layers: _Size = None


def read_adapter_config(adapter: Path) -> AdapterConfig:
    """Return the configuration of an adapter folder; an empty one if there is none.

    Raises:
        InputError: If the file is damaged.
    """
    file = adapter / CONFIG
    return validate(AdapterConfig, read_object(file), str(file)) if file.exists() else AdapterConfig()


def check_adapter_config(adapter: Path, tensors: Mapping[str, TensorEntry]) -> None:
    """Check what PEFT would build from a configuration, and that its regular expressions compile.

    Args:
        adapter: The adapter folder.
        tensors: The tensors of its safetensors file; none for pickled weights.

    Raises:
        InputError: With everything that is wrong.
    """
    config, file, problems = read_adapter_config(adapter), adapter / CONFIG, Problems()
    largest = max((size for entry in tensors.values() for size in entry.shape), default=0)
    for key, size in _sizes(config):
        if size > max(PLAUSIBLE_SIZE, largest):
            what = f"{key} is {size:,}, but no tensor of the adapter is larger than {largest:,} in any dimension"
            problems.add(what, file, _REMEDY)
    if config.megatron_config is not None:  # PEFT imports the module that megatron_core names
        problems.add("megatron_config is set, which graft does not support", file, "remove it and megatron_core")
    replicated = config.layer_replication or []
    if any(len(pair) != 2 for pair in replicated) or sum(abs(pair[1] - pair[0]) for pair in replicated) > 1024:
        problems.add(
            f"layer_replication is {shown(replicated)}; expected [start, end] pairs with at most 1,024 layers in total",
            file,
            _REMEDY,
        )
    indices = config.trainable_token_indices or []
    for number in indices if isinstance(indices, list) else [one for each in indices.values() for one in each]:
        if not 0 <= number < 2**31:
            problems.add(f"trainable_token_indices has {shown(number)}, which is not a token ID", file, _REMEDY)
            break
    for text in _patterns(config):
        with problems.collecting():
            _check_pattern(text, file)
    problems.raise_if_any()


def _sizes(config: AdapterConfig) -> Iterator[tuple[str, int]]:
    for key, field in AdapterConfig.model_fields.items():
        size = getattr(config, key)
        if field.annotation == _Size and size is not None:
            yield key, size
    yield from ((f"rank_pattern[{shown(key)}]", size) for key, size in (config.rank_pattern or {}).items())


def _patterns(config: AdapterConfig) -> list[str]:
    """The texts that PEFT takes as regular expressions; a list of target modules has names."""
    found = [*(config.rank_pattern or ()), *(config.alpha_pattern or ()), *(config.modules_to_save or ())]
    found += [text for text in (config.target_modules, config.exclude_modules) if isinstance(text, str)]
    layers = config.layers_pattern or []
    return [*found, *([layers] if isinstance(layers, str) else layers)]


def _check_pattern(text: str, file: Path) -> None:
    if len(text) > LONGEST_PATTERN:
        what = f"a regular expression has {len(text):,} characters; at most {LONGEST_PATTERN:,} are accepted"
        raise InputError(what, where=str(file), remedy=_REMEDY)
    with refusing(f"{shown(text)} is not a regular expression", file, _REMEDY):
        re.compile(text)


def check_patterns(adapter: Path, names: Sequence[str]) -> None:
    """Check that an adapter's regular expressions finish in time on the names of a model's layers.

    One such as ``(a+)+$`` can take years and cannot be interrupted in this process, so they are tried in another one.

    Args:
        adapter: The adapter folder.
        names: The names of the model's modules.

    Raises:
        InputError: If they take too long.
    """
    patterns = [text for text in _patterns(read_adapter_config(adapter)) if not _PLAIN.fullmatch(text)]
    if not patterns:
        return
    asked = json.dumps({"patterns": patterns, "names": list(names)})
    command = [sys.executable, "-I", "-S", "-c", _TRY]
    file = adapter / CONFIG
    try:
        done = subprocess.run(command, input=asked, text=True, encoding="utf-8", timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        long = f"take more than {SECONDS:.0f} s on the names of the model's layers"
        what = f"the regular expressions {shown(patterns)} {long}"
        raise InputError(what, where=str(file), remedy="list the names of the layers instead") from None
    if done.returncode:
        raise InputError(f"the regular expressions {shown(patterns)} cannot be used", where=str(file), remedy=_REMEDY)


_TRY = r"""
import json, re, sys
asked = json.load(sys.stdin)
for text in asked["patterns"]:
    for form in (text, rf"(.*\.)?({text})$", rf"(^|.*\.){text}($|\..*)", rf"(?:^|.*?\.){text}\.(?P<idx>\d+)\."):
        try:
            pattern = re.compile(form)
        except re.error:
            continue
        for name in asked["names"]:
            pattern.match(name), pattern.fullmatch(name)
"""
