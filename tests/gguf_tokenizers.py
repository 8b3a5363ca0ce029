"""Tiny tokenizers with the structure of well-known ones: their splitting, normalizing, and added tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graft.export.gguf import splitters
from graft.export.gguf.probe import PROBES

TRAINING = [*PROBES, "the quick brown fox jumps over the lazy dog", "What's the tone of this tweet? It's 2024."] * 3
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TURNS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<start_of_turn>' + m['role'] + '\n' + m['content'] + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def _split(expression: str, behavior: str = "isolated", invert: bool = False) -> Any:
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(expression), behavior, invert)


def byte_level(*steps: Any, use_regex: bool = False, ignore_merges: bool = False, normalizer: Any = None) -> Any:
    """Byte-level BPE: ``steps`` split, and the alphabet is bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, last]) if steps else last
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TRAINING,
        trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    fast.add_tokens(["<think>", "</think>"])
    fast.chat_template = CHATML
    return fast


def sentencepiece_parts() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary with bytes, and every pair that makes one of its tokens as a merge, in the order of the tokens."""
    from tokenizers import Tokenizer, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    lines = [line for text in TRAINING[:2] + TRAINING[9:] for line in text.splitlines()]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    learned = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    for token, _ in learned:
        vocabulary.setdefault(token, len(vocabulary))
    merges = [
        (token[:cut], token[cut:])
        for token, _ in learned
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    return vocabulary, merges


def sentencepiece(
    normalizer: Any = None, pre_tokenizer: Any = None, template: str | None = TURNS, added: dict[str, Any] | None = None
) -> Any:
    """BPE that falls back to bytes, with a begin token before each text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary, merges = sentencepiece_parts()
    model = models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    for text, how in (added or {}).items():
        tokenizer.add_tokens([AddedToken(text, normalized=False, **how)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    fast.chat_template = template
    return fast


def _legacy() -> Any:
    from tokenizers import normalizers

    return normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def _replaced() -> Any:
    from tokenizers import normalizers

    return normalizers.Replace(" ", "▁")


def _metaspace(scheme: str) -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Metaspace("▁", scheme, split=False)


def _digits() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Digits(individual_digits=True)


def _nfc() -> Any:
    from tokenizers import normalizers

    return normalizers.NFC()


_CONTROL = {"special": True}
_PHI3 = {"<|endoftext|>": {"special": True}} | {
    token: {"special": True, "rstrip": True} for token in ("<|assistant|>", "<|system|>", "<|end|>", "<|user|>")
}

BYTE_LEVEL: dict[str, Callable[[], Any]] = {
    "gpt-2": lambda: byte_level(use_regex=True),
    "smollm": lambda: byte_level(_digits(), use_regex=True),
    "llama-bpe": lambda: byte_level(_split(splitters.LLAMA3), ignore_merges=True),
    "dbrx": lambda: byte_level(_split(splitters.LLAMA3)),
    "qwen2": lambda: byte_level(_split(splitters.QWEN2), normalizer=_nfc()),
    "qwen35": lambda: byte_level(_split(splitters.QWEN35), normalizer=_nfc()),
    "granite-embed-multi-97m": lambda: byte_level(_split(splitters.GPT4O, "removed", True)),
    "tekken": lambda: byte_level(_split(splitters.TEKKEN), ignore_merges=True),
    "deepseek-v3": lambda: byte_level(*(_split(one) for one in _of("deepseek-v3"))),
    "deepseek-coder": lambda: byte_level(*(_split(one) for one in _of("deepseek-coder"))),
    "bloom": lambda: byte_level(*(_split(one) for one in _of("bloom"))),
}
"""By the name that llama.cpp has for the splitting."""


def _of(name: str) -> tuple[str, ...]:
    return next(key for key, known in splitters.SPLITTERS.items() if known[0].name == name)


SENTENCEPIECE: dict[str, Callable[[], Any]] = {
    "Llama 2, a blank before every text": lambda: sentencepiece(_legacy()),
    "Mistral, a blank before the first text": lambda: sentencepiece(pre_tokenizer=_metaspace("first")),
    "Mistral v3, instructions are tokens": lambda: sentencepiece(
        pre_tokenizer=_metaspace("first"), added={"[INST]": _CONTROL, "[/INST]": _CONTROL}
    ),
    "TinyLlama, no special token before the text": lambda: sentencepiece(
        pre_tokenizer=_metaspace("first"), template=ZEPHYR
    ),
    "TinyLlama, legacy": lambda: sentencepiece(_legacy(), template=ZEPHYR),
    "Gemma, no blank": lambda: sentencepiece(
        _replaced(),
        template=GEMMA,
        added={"<start_of_turn>": _CONTROL, "<end_of_turn>": _CONTROL, "▁▁": {}, "<unused0>": {}},
    ),
}
PHI3: Callable[[], Any] = lambda: sentencepiece(  # noqa: E731
    _legacy(),
    template="{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    added={**_PHI3, "</s>": {"special": False, "rstrip": True}},
)
