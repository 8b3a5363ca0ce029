"""Writing a model as a GGUF file for llama.cpp, with the ``gguf`` package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.errors import InputError
from graft.export.quantize.gptq import QuantizedBlocks, quantize
from graft.models.families import gguf_families

ARCHITECTURES = gguf_families()
"""Model types of transformers, and gguf's names of the architectures that llama.cpp runs them as."""

TYPES = {"float32": "F32", "float16": "F16", "int8": "Q8_0", "int4": "Q4_1"}

# llama.cpp's names of pre-tokenizers, by a substring of tokenizer.json that tells each.
_SPLITS = (
    ('"individual_digits":true', "smollm"),
    ("\\\\p{N}{1,3}", "llama-bpe"),
    ("\\\\p{N}|", "qwen2"),
)
_CONTROL, _NORMAL = 3, 1
_BLOCK = 32


def check_architecture(config: dict[str, Any], tokenizer_file: Path) -> None:
    """Raises:
    InputError: If llama.cpp would not read a GGUF file of this model correctly.
    """
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise InputError(
            f"GGUF export supports {', '.join(ARCHITECTURES)}, not {kind!r}",
            remedy="convert_hf_to_gguf.py of llama.cpp supports more families; run it on the folder of a merged model",
        )
    if config.get("rope_parameters", {}).get("rope_type", "default") != "default":
        raise InputError("scaled rotary embeddings cannot be exported to GGUF", where=str(tokenizer_file.parent))
    if not tokenizer_file.is_file() or json.loads(tokenizer_file.read_text(encoding="utf-8"))["model"]["type"] != "BPE":
        raise InputError("only byte-pair tokenizers can be exported to GGUF", where=str(tokenizer_file))


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
    """Write ``model`` with its tokenizer, chat template and end token.

    Args:
        model: A causal model whose family ``check_architecture`` accepts.
        tokenizer: Its tokenizer.
        file: The file to write.
        precision: The number format of matrices: ``float32``, ``float16``, ``int8`` or ``int4``. Norms stay in float32.
        rounded: For int4, quantized weights by layer; the others get, in each block, the range that rounds best.
        name: The model's name.
        license: The license of the base.

    Raises:
        InputError: If llama.cpp has no name for a tensor.
    """
    import gguf

    architecture = ARCHITECTURES[model.config.model_type]
    writer = gguf.GGUFWriter(file, architecture.lower())
    writer.add_name(name)
    if license:
        writer.add_license(license)
    _add_shape(writer, model.config)
    writer.add_file_type(_file_type(precision))
    _add_tokenizer(writer, tokenizer)
    _add_tensors(writer, model, architecture, precision, rounded)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tensors(
    writer: Any, model: Any, architecture: str, precision: str, rounded: Mapping[str, QuantizedBlocks]
) -> None:
    import gguf

    config = model.config
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, architecture), config.num_hidden_layers)
    for key, tensor, order in _tensors(model, permuted=architecture == "LLAMA"):
        renamed = names.get_name(key, (".weight", ".bias"))
        if renamed is None:
            raise InputError(f"llama.cpp has no name for the tensor {key}")
        kind = _type_of(tensor, precision)
        tied = config.tie_word_embeddings and key == "model.embed_tokens.weight"
        if kind == gguf.GGMLQuantizationType.Q4_1:
            blocks = rounded.get("lm_head" if tied else key.removesuffix(".weight")) or quantize(tensor, None)
            data = _packed(blocks, order)
        else:
            data = gguf.quants.quantize(np.ascontiguousarray(tensor[order]), kind)
        writer.add_tensor(renamed, data, raw_dtype=kind)


def _file_type(precision: str) -> Any:
    import gguf

    names = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "int8": "MOSTLY_Q8_0", "int4": "MOSTLY_Q4_1"}
    return getattr(gguf.LlamaFileType, names[precision])


def _type_of(tensor: Any, precision: str) -> Any:
    import gguf

    kind = TYPES[precision] if tensor.ndim == 2 and tensor.shape[-1] % _BLOCK == 0 else "F32"
    return getattr(gguf.GGMLQuantizationType, kind)


def _add_shape(writer: Any, config: Any) -> None:
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_rope_dimension_count(size)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, tokenizer: Any) -> None:
    text = tokenizer.backend_tokenizer.to_str()
    state = json.loads(text)
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    special = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in state["model"]["merges"]]
    splits = json.dumps(state.get("pre_tokenizer"), separators=(",", ":"))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(next((name for part, name in _SPLITS if part in splits), "gpt-2"))
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL if token in special else _NORMAL for token in tokens])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    for value, add in (
        (tokenizer.bos_token_id, writer.add_bos_token_id),
        (tokenizer.unk_token_id, writer.add_unk_token_id),
    ):
        if value is not None:
            add(value)
    begins = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    writer.add_add_bos_token(bool(begins) and begins[0] == tokenizer.bos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _packed(blocks: QuantizedBlocks, order: Any) -> Any:
    """Blocks in llama.cpp's Q4_1 (rows, bytes): scale and minimum in float16, then levels i and i + 16 in one byte."""
    scales, zeros = blocks.scales[order], blocks.zeros[order]
    levels = blocks.levels[order].reshape(*scales.shape, 2, _BLOCK // 2)
    minimum = -(zeros.astype(np.float32) * scales)
    ends = np.stack([scales, minimum], axis=-1).astype(np.float16).view(np.uint8)
    whole = np.concatenate([ends, levels[..., 0, :] | (levels[..., 1, :] << 4)], axis=-1)
    return whole.reshape(len(whole), -1)


class _Tensor(NamedTuple):
    """A tensor's name, its float32 values, and the order that its rows have in the file."""

    name: str
    values: Any
    order: Any


def _tensors(model: Any, permuted: bool) -> Iterator[_Tensor]:
    """The tensors of ``model``; llama.cpp rotates adjacent pairs of a Llama's queries and keys, not the two halves."""
    config = model.config
    heads = {
        "q_proj": config.num_attention_heads,
        "k_proj": getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
    }
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        tensor = value.float().contiguous().numpy()
        count = next((heads[part] for part in name.split(".") if part in heads), None) if permuted else None
        order: Any = slice(None)
        if count is not None:
            order = np.arange(len(tensor)).reshape(count, 2, -1).swapaxes(1, 2).reshape(-1)
        yield _Tensor(name, tensor, order)
