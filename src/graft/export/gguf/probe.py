"""Which of llama.cpp's pre-tokenizers splits texts as a tokenizer does: found by asking llama.cpp."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graft.errors import InputError
from graft.export.gguf.vocabulary import Vocabulary

PROBES = (
    "The way to the sea is long, isn't it? They've said we'll see; I'd've thought HE'S right, 'TIS so.",
    "1 12 123 1234 12345 1234567890 3.14 1,000,000 0x1F ½ ² ٣٤ 第12回",
    "  two blanks,\ttabs\t\tand\n\nlines \n  \r\n end   ",
    'def f(x: int) -> str:\n    return f"{x!r}"  # a_b += c->d && !e;\n\t\tif (a<=b) { i++; }\n',
    "Straße, ñandú, Ångström, naïve café, ČŠŽ, İstanbul, CamelCaseWords and ALLCAPS",
    "Привет, как дела? Ελληνικά, עברית, العربية مرحبا",
    "東京都に行きました。你好，世界！안녕하세요 세계",
    "ಕನ್ನಡ ಭಾಷೆ, हिन्दी में, தமிழ் மொழி, ภาษาไทย",
    "🙂🙃 👩‍👩‍👧‍👦 🇩🇪 … “quotes” – dash—dash №7 €5 ±2 <|tag|> @user #tag https://a.example/b?c=d",
)
"""Texts of several scripts, with digits, blanks, code, emoji and contractions. All are in normal form NFC."""

_WIDTH = 32


def matching_splitter(tokenizer: Any, vocabulary: Vocabulary) -> str:
    """The first of the vocabulary's splitters with which llama.cpp gives the tokens of ``tokenizer`` for ``PROBES``.

    Raises:
        InputError: If llama.cpp is not installed, or none of them does.
    """
    from graft.inference.llama_cpp import LlamaCpp, is_installed

    if not is_installed():
        raise InputError(
            "llama.cpp has no pre-tokenizer with these regular expressions; one that splits alike can be looked for",
            remedy='pip install "graft-slm[gguf]"',
        )
    wanted = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROBES]
    with tempfile.TemporaryDirectory() as folder:
        for name in vocabulary.splitters:
            file = _vocabulary_file(tokenizer, vocabulary, name, Path(folder) / f"{name}.gguf")
            with LlamaCpp(file, threads=1) as runtime:
                found = runtime.tokenize(PROBES, begin=False)
            if found == wanted:
                return name
    raise InputError("none of llama.cpp's pre-tokenizers splits texts as this tokenizer does")


def _vocabulary_file(tokenizer: Any, vocabulary: Vocabulary, splitter: str, file: Path) -> Path:
    """A file with the vocabulary and the smallest model that llama.cpp opens."""
    import gguf

    from graft.export.gguf.tokenizer import add_tokenizer

    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(_WIDTH)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    add_tokenizer(writer, tokenizer, replace(vocabulary, splitters=[splitter]))
    square, line = np.zeros((_WIDTH, _WIDTH), np.float32), np.zeros(_WIDTH, np.float32)
    writer.add_tensor("token_embd.weight", np.zeros((len(vocabulary.tokens), _WIDTH), np.float32))
    writer.add_tensor("output_norm.weight", line)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", square)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", line)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return file
