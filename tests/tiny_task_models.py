"""Tiny random encoders and encoder–decoders, saved as their makers' folders are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_models import tiny_model_tokenizer

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORDS = "good bad fine day rain cake love hate it the rome paris in ann bob lives street main oak 12"
_PIECES = "##s ##ing ##ly ##field"


def tiny_bert_tokenizer() -> Any:
    """WordPiece with [CLS] and [SEP]; single letters make a token of every part of any word."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries = [*marks, *_WORDS.split(), *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *_PIECES.split(), ",", "."]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(entries))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", model_max_length=64, **names)


def tiny_bert_folder(folder: Path, seed: int = 0) -> Path:
    """A BERT without a head: 2 layers, hidden size 32, 64 places; its weights are large enough to tell words apart."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = tiny_bert_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    path = folder / "tiny-bert"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def tiny_t5_folder(folder: Path, seed: int = 0) -> Path:
    """A T5 of the 1.1 kind: 2 layers on each side, hidden size 32."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = tiny_model_tokenizer(chat_template=None)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    path = folder / "tiny-t5"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        T5ForConditionalGeneration(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
