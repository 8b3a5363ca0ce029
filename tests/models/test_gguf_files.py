"""GGUF: the converted model is the very model, and files that can't be converted are refused in words."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch

from graft.config import ModelSettings
from graft.errors import InputError
from graft.models.base import load_model, load_tokenizer, resolve
from notes import Notes
from tiny_models import CHATML, tiny_gguf, tiny_model


def named(name: Path) -> ModelSettings:
    return ModelSettings(model_name_or_path=str(name))


def test_conversion_is_exact_and_made_once(tmp_path: Path, own_cache: Path) -> None:
    file = tiny_gguf(tmp_path / "tiny.gguf")
    said = Notes()
    base = resolve(named(file), said)
    assert base.kind == "gguf" and base.name == str(file) and base.license == "apache-2.0"
    assert base.path.is_relative_to(own_cache)
    ids = torch.arange(30)[None]
    assert torch.equal(load_model(base)(ids).logits, tiny_model()(ids).logits)
    assert len(said.texts) == 1
    assert resolve(named(file), said) == base and len(said.texts) == 1
    (base.path / "model.safetensors").write_bytes(b"damaged")
    assert resolve(named(file), said).sha256 == base.sha256 and len(said.texts) == 2


def test_tokenizer_of_a_gguf(tmp_path: Path) -> None:
    base = resolve(named(tiny_gguf(tmp_path / "tiny.gguf")))
    tokenizer, model = load_tokenizer(base), load_model(base)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|pad|>")
    assert tokenizer.chat_template == CHATML and tokenizer.model_max_length == 512
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.decode(tokenizer("Straße  42\n東京")["input_ids"]) == "Straße  42\n東京"
    assert tokenizer.tokenize("x  12")[-2:] == ["1", "2"]  # smollm's pre-tokenizer takes each digit alone


def test_folder_with_one_gguf(tmp_path: Path) -> None:
    tiny_gguf(tmp_path / "one.gguf")
    assert resolve(named(tmp_path)).kind == "gguf"
    tiny_gguf(tmp_path / "two.gguf", seed=1)
    with pytest.raises(InputError, match=r"several GGUF files.*one\.gguf, two\.gguf"):
        resolve(named(tmp_path))


def test_unsupported_architecture(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "rwkv7")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match=r"'rwkv7' cannot be converted\s+supported architectures: .*llama.*qwen2"):
        resolve(named(tmp_path / "x.gguf"))


def test_truncated_and_false_files(tmp_path: Path, own_cache: Path) -> None:
    file = tiny_gguf(tmp_path / "tiny.gguf")
    whole = file.read_bytes()
    for length in (len(whole) - 100, len(whole) // 2, 5000, 40, 10):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match="truncated or damaged"):
            resolve(named(file))
    for false in (b"", b"PK not a model"):
        file.write_bytes(false)
        with pytest.raises(InputError, match="not a GGUF file"):
            resolve(named(file))
    assert not list(own_cache.glob("models/*"))
