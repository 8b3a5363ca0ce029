"""Writing a model as a GGUF file for llama.cpp, with the ``gguf`` package."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from graft.documents import read_object
from graft.errors import InputError, Problems
from graft.export.gguf.families import GGUF_FAMILIES, GgufFamily, gguf_family
from graft.export.gguf.probe import matching_splitter
from graft.export.gguf.shape import add_shape, rope_problem
from graft.export.gguf.tensors import TYPES, add_tensors
from graft.export.gguf.tokenizer import add_tokenizer, answer_ends, model_name
from graft.export.gguf.vocabulary import read_vocabulary, tokenizer_problem
from graft.export.quantize.gptq import QuantizedBlocks

__all__ = ["TYPES", "check_architecture", "write_gguf"]

_FILE_TYPES = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "int8": "MOSTLY_Q8_0", "int4": "MOSTLY_Q4_1"}
_SPOOLED = 256 * 1024 * 1024
"""Bytes of rounded tensors that are kept in memory."""


def check_architecture(config: dict[str, Any], tokenizer_file: Path) -> None:
    """Check that llama.cpp reads a GGUF file of this model.

    Raises:
        InputError: If llama.cpp would not read a GGUF file of this model correctly.
    """
    kind = config.get("model_type")
    family = gguf_family(kind)
    if family is None:
        raise InputError(
            f"GGUF export supports {', '.join(GGUF_FAMILIES)}, not {kind!r}",
            remedy="convert_hf_to_gguf.py of llama.cpp supports more families; run it on the folder of a merged model",
        )
    problems = Problems()
    with problems.collecting():
        _check_config(_parsed(config), family, where=str(tokenizer_file.parent))
    with problems.collecting():
        _check_tokenizer(tokenizer_file)
    problems.raise_if_any()


def _parsed(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    settings = {key: value for key, value in config.items() if key != "model_type"}
    return AutoConfig.for_model(config["model_type"], **settings)


def config_problem(config: dict[str, Any], family: GgufFamily) -> str | None:
    """Return what llama.cpp would compute differently of a model of this configuration; None if nothing."""
    return "; ".join(_differences(_parsed(config), family)) or None


def _differences(config: Any, family: GgufFamily) -> list[str]:
    rope = rope_problem(config, family)
    return [*family.problems(config), *([rope] if rope else [])]


def _check_config(config: Any, family: GgufFamily, where: str = "") -> None:
    if found := _differences(config, family):
        raise InputError(
            f"llama.cpp does not compute what this {config.model_type} model does: {'; '.join(found)}",
            where=where,
            remedy="export it to ONNX",
        )


def _check_tokenizer(file: Path) -> None:
    if not file.is_file():
        raise InputError("only tokenizers with a tokenizer.json can be exported to GGUF", where=str(file))
    if problem := tokenizer_problem(read_object(file)):
        raise InputError(problem, where=str(file))


def write_gguf(
    model: Any,
    tokenizer: Any,
    file: Path,
    precision: str,
    rounded: Mapping[str, QuantizedBlocks],
    *,
    name: str,
    license: str | None,
) -> None:
    """Write ``model`` with its tokenizer, chat template and end tokens.

    Args:
        model: A causal model whose family ``check_architecture`` accepts.
        tokenizer: Its tokenizer.
        file: The file to write.
        precision: The number format of matrices: ``float32``, ``float16``, ``int8`` or ``int4``. Norms stay in float32.
        rounded: For int4, quantized weights by layer; the others get, in each block, the range that rounds best.
        name: The model's name.
        license: The license of the base.

    Raises:
        InputError: If llama.cpp has no name for a tensor, or would not compute what the model computes or not split
            texts as the tokenizer does.
    """
    import gguf

    family = gguf_family(model.config.model_type)
    if family is None:
        raise InputError(f"GGUF export supports {', '.join(GGUF_FAMILIES)}, not {model.config.model_type!r}")
    _check_config(model.config, family)
    vocabulary = read_vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0])
    if len(vocabulary.splitters) > 1:
        vocabulary = replace(vocabulary, splitters=[matching_splitter(tokenizer, vocabulary)])
    name = model_name(name, tokenizer)
    # What is rounded waits on the disk of the file, not in memory; float32 tensors are the model's own.
    spooled = precision != "float32"
    writer = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[getattr(gguf.MODEL_ARCH, family.architecture)], spooled)
    if spooled:
        writer.temp_file = tempfile.SpooledTemporaryFile(_SPOOLED, "w+b", dir=str(file.parent))  # noqa: SIM115
    writer.add_name(name)
    if license:
        writer.add_license(license)
    add_shape(writer, model.config, family)
    writer.add_file_type(getattr(gguf.LlamaFileType, _FILE_TYPES[precision]))
    add_tokenizer(writer, tokenizer, vocabulary, answer_ends(model, tokenizer))
    add_tensors(writer, model, family, precision, rounded)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
