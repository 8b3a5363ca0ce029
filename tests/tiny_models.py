"""Tiny random models of the real architectures, saved as their makers' folders are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_TEXT = [
    "the quick brown fox jumps over the lazy dog",
    "What is the tone of this tweet? positive, negative or neutral",
    "The answer is one word. I love it, I hate it, it is fine.",
    "Straße, ñandú, 東京, привет, 12 + 30 = 42",
]

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def tiny_model_tokenizer(chat_template: str | None = CHATML) -> Any:
    """Byte-level BPE that knows all bytes, so that any text has tokens; the end and the padding token differ."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|pad|>",
        model_max_length=512,
    )
    fast.chat_template = chat_template
    return fast


def _config(family: str, width: int, **common: Any) -> Any:
    import transformers as t

    shape = {**_SHAPE, "hidden_size": width, "intermediate_size": 2 * width}
    grouped = {**shape, "num_key_value_heads": 2, "max_position_embeddings": 512}
    heads = {"head_dim": width // 4, "sliding_window": 16}
    makers: dict[str, Callable[[], Any]] = {
        "llama": lambda: t.LlamaConfig(**grouped, tie_word_embeddings=True, **common),
        "mistral": lambda: t.MistralConfig(**grouped, sliding_window=None, **common),
        "qwen2": lambda: t.Qwen2Config(**grouped, tie_word_embeddings=True, **common),
        "qwen3": lambda: t.Qwen3Config(**grouped, head_dim=width // 4, tie_word_embeddings=True, **common),
        "gemma": lambda: t.GemmaConfig(**grouped, head_dim=width // 4, **common),
        "gemma2": lambda: t.Gemma2Config(**grouped, **heads, query_pre_attn_scalar=8, **common),
        "gemma3": lambda: t.Gemma3TextConfig(**grouped, **heads, query_pre_attn_scalar=8, **common),
        "phi3": lambda: t.Phi3Config(**grouped, original_max_position_embeddings=512, **common),
        "phi": lambda: t.PhiConfig(**grouped, **common),
        "smollm3": lambda: t.SmolLM3Config(**grouped, tie_word_embeddings=True, **common),
        "gpt2": lambda: t.GPT2Config(n_embd=width, n_layer=2, n_head=4, n_positions=512, **common),
    }
    return makers[family]()


FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "mistral", "gpt2")


def tiny_model(family: str = "llama", tokenizer: Any = None, seed: int = 0, width: int = 32) -> Any:
    """A random model: 2 layers of 4 heads, hidden size ``width``, the tiny tokenizer's vocabulary."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tokenizer or tiny_model_tokenizer()
    config = _config(
        family,
        width,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).eval()


def tiny_model_folder(
    folder: Path,
    family: str = "llama",
    *,
    seed: int = 0,
    chat_template: str | None = CHATML,
    shards: bool = False,
    width: int = 32,
) -> Path:
    """``folder``/tiny-FAMILY with the model in safetensors and its tokenizer."""
    tokenizer = tiny_model_tokenizer(chat_template)
    path = folder / f"tiny-{family}"
    options: dict[str, Any] = {"max_shard_size": "40KB"} if shards else {}
    tiny_model(family, tokenizer, seed, width).save_pretrained(path, **options)
    tokenizer.save_pretrained(path)
    return path


def wide_model_folder(folder: Path, length: int = 4096) -> Path:
    """A tiny llama that reads ``length`` tokens."""
    import json

    path = tiny_model_folder(folder)
    for name, key in (("config", "max_position_embeddings"), ("tokenizer_config", "model_max_length")):
        file = path / f"{name}.json"
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), key: length}), encoding="utf-8")
    return path


def tiny_gguf(file: Path, architecture: str = "llama", seed: int = 0) -> Path:
    """The tiny llama as a float32 GGUF, tensors named and laid out as llama.cpp's converter does."""
    import gguf

    tokenizer = tiny_model_tokenizer()
    model = tiny_model("llama", tokenizer, seed)
    config = model.config
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("tiny")
    writer.add_string("general.license", "apache-2.0")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, tokenizer)
    for name, tensor in _gguf_tensors(model):
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_tokenizer(writer: Any, tokenizer: Any) -> None:
    import json

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])  # 3: control, 1: normal
    writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_pad_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)


def _gguf_tensors(model: Any) -> Iterator[tuple[str, Any]]:
    import gguf

    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        tensor = weight
        if name == "lm_head.weight":  # tied
            continue
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        count = next((heads[part] for part in name.split(".") if part in heads), None)
        if count is not None:  # llama.cpp rotates neighboring pairs, transformers the two halves
            rows = tensor.shape[0] // count // 2
            tensor = tensor.reshape(count, 2, rows, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        yield names.get_name(name, (".weight",)), tensor.contiguous().numpy()
