"""What stands in a run's ``adapter`` folder beside the adapter, so that other libraries use it wherever it goes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.documents import read_object
from graft.errors import GraftError
from graft.files import write_whole
from graft.models.adapter_base import BASE_RECORD, AdapterBaseRecord, exact_hub_id
from graft.models.adapter_config import CONFIG
from graft.models.folder import Base
from graft.models.load import quiet
from graft.models.own_files import model_files
from graft.models.tokenizer_paths import refuse_named_files
from graft.runs.record import dump

BESIDE = "../model"
"""The base of a run's adapter, as seen from the adapter: PEFT and transformers read it from the current directory."""
QUANTIZATION_KEY = "base_quantization"
"""Of a quantized base in ``adapter_config.json``: PEFT ignores it with a warning, which names it."""
_TOKENIZER_FILES = (
    "tokenizer*.json",
    "tokenizer*.model*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "tekken.json",
    "chat_template*",
    "additional_chat_templates/*.jinja",
    "tokenization_*.py",
)
_PROBE = "The answer is 42.\n  Straße, ñandú, 東京, ಕನ್ನಡ, हिन्दी, don't <b>\t"
"""Text that tokenizers of different classes split differently."""


def complete_adapter(
    adapter: Path,
    base: Base,
    model: Path,
    *,
    revision: str | None = None,
    has_own_head: bool = False,
    quantization: str | None = None,
) -> None:
    """Add to an adapter folder what it needs away from the machine that it was trained on.

    It gets the tokenizer of ``model``, a record of its base, and in ``adapter_config.json`` a name of the base that
    holds elsewhere: its Hub ID, where exactly these weights are on the Hub, else ``../model``.

    Args:
        adapter: The folder that a method has filled.
        base: The model that the adapter was trained on.
        model: The run's ``model`` folder, with the tokenizer and the chat template of the run.
        revision: The revision of ``base`` on the Hub.
        has_own_head: Whether the model has a head with labels, which only the run's configuration describes.
        quantization: The number format that the base was quantized to for training, such as ``int4``.

    Raises:
        GraftError: When a file cannot be written.
    """
    try:
        _copy_tokenizer(model, adapter, base.trust_remote_code)
    except OSError as error:
        raise GraftError(f"cannot write the tokenizer: {error}", where=str(adapter)) from error
    record = AdapterBaseRecord(
        name=base.label,
        path=base.name if base.kind in ("folder", "gguf") else None,
        hub_id=exact_hub_id(base),
        revision=revision,
        sha256=base.sha256,
        license=base.license,
        quantization=quantization,
    )
    write_whole(adapter / BASE_RECORD, dump(record))
    if quantization is not None:
        write_whole(adapter / "README.md", _card(record))
    if (adapter / CONFIG).is_file():
        on_the_hub = None if has_own_head or base.new_tokens or quantization else record.hub_id
        _write_config(adapter / CONFIG, on_the_hub, revision, quantization)


def _write_config(file: Path, hub_id: str | None, revision: str | None, quantization: str | None) -> None:
    config = read_object(file)
    config["base_model_name_or_path"] = hub_id or BESIDE
    if hub_id or "revision" in config:
        config["revision"] = revision if hub_id else None
    if quantization is not None:
        config[QUANTIZATION_KEY] = quantization
    # Plain ASCII: PEFT opens the file in the encoding of the system.
    write_whole(file, json.dumps(config, indent=2, sort_keys=True))


def _copy_tokenizer(model: Path, adapter: Path, trusted: bool) -> None:
    """Copy the tokenizer's files; where it needs the model's ``config.json`` to load as it is, save it anew."""
    files = list(tokenizer_files(model))
    for file in files:
        target = adapter / file.relative_to(model)
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copyfile(file, target)
    wanted = _load(model, trusted)
    if wanted is None or _alike(wanted, _load(adapter, trusted)):
        return
    for file in files:
        (adapter / file.relative_to(model)).unlink()
    with quiet():
        wanted.save_pretrained(adapter)


def tokenizer_files(folder: Path) -> Iterator[Path]:
    """The files of a model folder that belong to its tokenizer and its chat templates."""
    yield from model_files(folder, _TOKENIZER_FILES)


def _load(folder: Path, trusted: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        refuse_named_files(folder)
        with quiet():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted, local_files_only=True)
    except Exception:  # as varied as tokenizers are
        return None


def _alike(one: Any, other: Any) -> bool:
    """Whether two tokenizers turn the same texts and conversations into the same tokens."""
    if other is None or type(one) is not type(other):
        return False
    return _behavior(one) == _behavior(other)


def _behavior(tokenizer: Any) -> tuple[Any, ...]:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    whole = backend.to_str() if hasattr(backend, "to_str") else None
    return whole, tokenizer.chat_template, tokenizer.special_tokens_map, tokenizer(_PROBE)["input_ids"]


def _card(record: AdapterBaseRecord) -> str:
    """The ``README.md`` of an adapter whose base is not the plain model."""
    where = f"the model `{record.hub_id or record.name}`"
    kind = record.quantization
    return f"""# An adapter over {kind} weights

This adapter was trained over {where} **after** its linear layers were quantized to {kind} (see `quantization.json`;
the SHA-256 of the weights before that is `{record.sha256}`). Over the plain float weights its answers differ from those
that it was evaluated with. Load it in one of these ways:

- `graft chat RUN`, `graft evaluate RUN`: they quantize the base as it was quantized for training.
- `graft auto-opt RUN --format hf` writes a plain model for transformers, vLLM and others: the quantized weights as
  float numbers, with the adapter merged into them.
"""
