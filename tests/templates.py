"""The chat templates of ``tests/data/chat_templates``, each with a tiny tokenizer that has its special tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_models import tiny_model_tokenizer

FOLDER = Path(__file__).parent / "data" / "chat_templates"
_CHATML = ["<|im_start|>", "<|im_end|>"]
_THINK = ["<think>", "</think>", "<tool_call>", "</tool_call>"]

FAMILIES: dict[str, tuple[str | None, str, list[str]]] = {
    "qwen2.5": (None, "<|im_end|>", _CHATML),
    "qwen3": (None, "<|im_end|>", [*_CHATML, *_THINK]),
    "qwen3-thinking": (None, "<|im_end|>", [*_CHATML, *_THINK]),
    "llama3": (
        "<|begin_of_text|>",
        "<|eot_id|>",
        ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
    ),
    "gemma3": ("<bos>", "<eos>", ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]),
    "mistral-v0.3": ("<s>", "</s>", ["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]"]),
    "phi-4": (None, "<|im_end|>", [*_CHATML, "<|im_sep|>"]),
    "phi-3": (None, "<|endoftext|>", ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]),
    "smollm3": (None, "<|im_end|>", [*_CHATML, *_THINK]),
    "deepseek-r1-distill": (
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"],
    ),
    "gpt-oss": (None, "<|return|>", ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>", "<|return|>"]),
}
"""The beginning token, the end token, and the tokens that the tokenizer is given, by family."""
PLAIN = {"<think>", "</think>", "<tool_call>", "</tool_call>"}
"""Added tokens that are not special: they stay in decoded text."""


def template_tokenizer(family: str) -> Any:
    """Return the tiny tokenizer with the template and the tokens of ``family``."""
    from tokenizers import AddedToken

    bos, eos, tokens = FAMILIES[family]
    tokenizer = tiny_model_tokenizer((FOLDER / f"{family}.jinja").read_text(encoding="utf-8"))
    tokenizer.add_tokens([AddedToken(token, special=token not in PLAIN, normalized=False) for token in tokens])
    tokenizer.bos_token, tokenizer.eos_token = bos, eos
    return tokenizer
