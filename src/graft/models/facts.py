"""What a model is, by its own small files or by the catalog; no weight is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from graft.errors import Problems
from graft.models.catalog import CatalogModel
from graft.models.gguf_scan import GgufHeader, scan
from graft.models.license import find_license, front_matter, front_matter_values
from graft.models.license_terms import UNKNOWN
from graft.models.load import Kind, kind_of
from graft.models.model_config import plain_sizes, read_model_config
from graft.models.safetensors_header import BITS
from graft.models.weights import Tensors, read_headers

STORED_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_FORMATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "I8": "int8", "U8": "int8", "F64": "float64"}


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model; None is unknown.

    Attributes:
        name: What to call it.
        source: The folder or file, or the model card's address.
        model_type: The architecture, by transformers' name.
        kind: Whether it generates, reads, or does both with two parts.
        config: Its configuration; of a catalog model, the sizes in it.
        parameters: How many weights the part that reads text has.
        context: The longest input in tokens.
        languages: ISO 639-1 codes.
        language_count: How many languages are claimed, which may be more than are named.
        license: As the card names it.
        gated: Whether the Hub asks for accepted terms.
        number_format: Of most weights.
        bytes_on_disk: Of the weights.
        chat_template: Whether it has one.
        notes: What else is to be known.
        catalog: The catalog's entry.
    """

    name: str
    source: str
    model_type: str | None
    kind: Kind
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parameters: int | None = None
    context: int | None = None
    languages: tuple[str, ...] | None = None
    language_count: int | None = None
    license: str | None = None
    gated: bool | None = None
    number_format: str | None = None
    bytes_on_disk: int | None = None
    chat_template: bool | None = None
    notes: tuple[str, ...] = ()
    catalog: CatalogModel | None = None

    @property
    def text_config(self) -> dict[str, Any]:
        """The configuration of the part that reads text."""
        return plain_sizes({**self.config, **(self.config.get("text_config") or {})})


def catalog_facts(model: CatalogModel) -> ModelFacts:
    """Return the facts of a model of the catalog."""
    config = {**(model.config or {}), "is_encoder_decoder": model.kind == "encoder-decoder"}
    stored = STORED_BYTES.get(model.stored_as or "")
    notes = [f"its files also hold {model.also_holds}"] if model.also_holds else []
    if model.languages_source:
        notes.append(f"languages from {model.languages_source}")
    if model.embedded:
        notes.append(f"graft downloads it as a Python package: {model.embedded}")
    return ModelFacts(
        name=model.name,
        source=model.source,
        model_type=model.model_type,
        kind=model.kind,
        config=config,
        parameters=model.parameters,
        context=model.context,
        languages=None if model.languages is None else tuple(model.languages),
        language_count=model.language_count,
        license=model.license,
        gated=model.gated,
        number_format=model.stored_as,
        bytes_on_disk=model.parameters * stored if stored and not model.also_holds else None,
        notes=tuple(notes),
        catalog=model,
    )


def folder_facts(folder: Path) -> ModelFacts:
    """Return the facts of a model folder: of its configuration, card, tokenizer settings and weight headers.

    Raises:
        InputError: If the configuration or a header is damaged, or there are no weights.
    """
    problems = Problems()
    config: dict[str, Any] = {}
    with problems.collecting():
        config = read_model_config(folder)
    headers = read_headers(folder, problems)
    problems.raise_if_any()
    tensors = _all_tensors(headers)
    text = plain_sizes({**config, **(config.get("text_config") or {})})
    languages = front_matter_values(front_matter(folder), "language")
    license = find_license(folder, config, folder.resolve().name)
    return ModelFacts(
        name=folder.resolve().name,
        source=str(folder),
        model_type=str(config["model_type"]),
        kind=kind_of(config),
        config=config,
        parameters=None if tensors is None else sum(prod(entry.shape) for entry in tensors.values()),
        context=_positions(text),
        languages=tuple(language for language in languages if len(language) == 2) or None,
        language_count=len(languages) or None,
        license=None if license == UNKNOWN else license,
        number_format=None if tensors is None else _usual_format(tensors),
        bytes_on_disk=sum(file.stat().st_size for file in headers),
        chat_template=_has_chat_template(folder),
        notes=() if tensors is not None else ("its weights are pickles, which are not opened to count parameters",),
    )


def gguf_facts(file: Path) -> ModelFacts:
    """Return the facts of a GGUF file, by its header; it is not converted.

    Raises:
        InputError: If it is no GGUF file, or damaged.
    """
    header = scan(file)
    values = header.values
    architecture = str(values.get("general.architecture") or "") or None
    license = values.get("general.license")
    return ModelFacts(
        name=file.name,
        source=str(file),
        model_type=architecture,
        kind="encoder" if architecture in {"bert", "nomic-bert", "modern-bert"} else "causal",
        config=_gguf_sizes(header, architecture or ""),
        parameters=sum(map(prod, header.tensors.values())),
        context=_whole(values.get(f"{architecture}.context_length")),
        license=str(license).lower() if license else None,
        bytes_on_disk=file.stat().st_size,
        chat_template="tokenizer.chat_template" in values,
        notes=("graft converts it to float32 once before it trains or runs it",),
    )


def _gguf_sizes(header: GgufHeader, architecture: str) -> dict[str, Any]:
    keys = {
        "hidden_size": "embedding_length",
        "intermediate_size": "feed_forward_length",
        "num_hidden_layers": "block_count",
        "num_attention_heads": "attention.head_count",
        "num_key_value_heads": "attention.head_count_kv",
        "head_dim": "attention.key_length",
    }
    found = {name: _whole(header.values.get(f"{architecture}.{key}")) for name, key in keys.items()}
    return {"model_type": architecture, **{name: value for name, value in found.items() if value}}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _all_tensors(headers: Mapping[Path, Tensors | None]) -> Tensors | None:
    if any(header is None for header in headers.values()):
        return None
    return {name: entry for header in headers.values() for name, entry in (header or {}).items()}


def _usual_format(tensors: Tensors) -> str:
    """The format that takes most bytes."""
    bits: Counter[str] = Counter()
    for entry in tensors.values():
        bits[entry.dtype] += prod(entry.shape) * BITS.get(entry.dtype, 8)
    usual = bits.most_common(1)[0][0] if bits else ""
    return _FORMATS.get(usual, usual)


def _positions(config: Mapping[str, Any]) -> int | None:
    found = config.get("max_position_embeddings") or config.get("n_positions")
    return int(found) if isinstance(found, (int, float)) else None


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    file = folder / "tokenizer_config.json"
    return file.is_file() and '"chat_template"' in file.read_text(encoding="utf-8", errors="replace")
