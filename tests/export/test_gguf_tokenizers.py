"""Tokens, added tokens and chat templates of a GGUF file, by llama.cpp itself."""

import gguf
import pytest

import graft.inference.llama_cpp
from gguf_models import gguf_model
from gguf_tokenizers import BYTE_LEVEL, PHI3, SENTENCEPIECE, ZEPHYR, _split, byte_level, sentencepiece
from graft.data.tokenize import prompt_ids
from graft.errors import InputError
from graft.export.gguf import splitters
from graft.export.gguf.probe import PROBES
from graft.export.gguf.writer import write_gguf
from graft.inference.llama_cpp import LlamaCpp

UNLIKE = {"tekken": "ಕನ್ನಡ"}
"""A text that llama.cpp splits differently: its expression has no marks that combine with letters."""
QUESTION = {"role": "user", "content": "What's the tone, 'fine' or not? 12345"}
CONVERSATION = [QUESTION, {"role": "assistant", "content": "It is fine."}, QUESTION]


def _written(tokenizer, file, name="tiny"):
    model = gguf_model("llama", rows=len(tokenizer) + 5, num_hidden_layers=1)
    write_gguf(model, tokenizer, file, "float32", {}, name=name, license=None)
    return file


def _field(file, name):
    return gguf.GGUFReader(file).get_field(name).contents()


def _rendered(tokenizer, messages):
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("name", BYTE_LEVEL)
def test_byte_level_tokenizers(name, tmp_path):
    tokenizer = BYTE_LEVEL[name]()
    file = _written(tokenizer, tmp_path / "m.gguf")
    assert _field(file, "tokenizer.ggml.pre") == name
    probes = [text for text in PROBES if not text.startswith(UNLIKE.get(name, "-"))]
    texts = [*probes, "<think>\nSo 2+2.\n</think> yes", _rendered(tokenizer, CONVERSATION)]
    wanted = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert all(tokenizer.decode(ids) == text for ids, text in zip(wanted, texts, strict=True))
    with LlamaCpp(file, threads=1) as runtime:
        assert runtime.tokenize(texts, begin=False) == wanted
        assert runtime.detokenize(wanted[: len(probes)]) == probes
        assert runtime.apply_template([CONVERSATION]) == [_rendered(tokenizer, CONVERSATION)]


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_conversations_of_sentencepiece_tokenizers(name, tmp_path):
    tokenizer = SENTENCEPIECE[name]()
    file = _written(tokenizer, tmp_path / "m.gguf")
    conversations = [[QUESTION], CONVERSATION]
    with LlamaCpp(file, threads=1) as runtime:
        found = runtime.tokenize(runtime.apply_template(conversations))
    assert found == [prompt_ids(tokenizer, _rendered(tokenizer, messages)) for messages in conversations]


@pytest.mark.parametrize("name", ["Llama 2, a blank before every text", "Gemma, no blank"])
def test_sentencepiece_splits_any_script(name, tmp_path):
    tokenizer = SENTENCEPIECE[name]()
    texts = [*PROBES, "a<unused0>b", "x  y   z"]
    with LlamaCpp(_written(tokenizer, tmp_path / "m.gguf"), threads=1) as runtime:
        assert runtime.tokenize(texts, begin=False) == [
            tokenizer(t, add_special_tokens=False)["input_ids"] for t in texts
        ]
        assert runtime.tokenize(texts) == [tokenizer(text)["input_ids"] for text in texts]


def test_blanks_after_the_special_tokens_of_phi_3(tmp_path):
    tokenizer = PHI3()
    file = _written(tokenizer, tmp_path / "m.gguf", name="my model")
    assert _field(file, "general.name") == "my model (phi-3)"
    text = _rendered(tokenizer, CONVERSATION)
    with LlamaCpp(file, threads=1) as runtime:
        assert runtime.tokenize([text], begin=False) == [tokenizer(text, add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("name", ["phi-3-tone", "PHI3", "a phi3 phi-3"])
def test_a_name_alone_makes_no_phi_3(name, tmp_path):
    tokenizer = BYTE_LEVEL["gpt-2"]()
    file = _written(tokenizer, tmp_path / "m.gguf", name=name)
    with LlamaCpp(file, threads=1) as runtime:
        assert runtime.tokenize(PROBES[:1], begin=False) == [tokenizer(PROBES[0])["input_ids"]]
    assert "phi" in _field(file, "general.name").lower()


def test_types_of_added_tokens(tmp_path):
    tokenizer = BYTE_LEVEL["qwen2"]()
    types = _field(_written(tokenizer, tmp_path / "m.gguf"), "tokenizer.ggml.token_type")
    of = {token: types[tokenizer.convert_tokens_to_ids(token)] for token in ("<|im_end|>", "<think>", "a")}
    assert of == {"<|im_end|>": 3, "<think>": 4, "a": 1}
    assert types[len(tokenizer) :] == [5] * 5


def test_named_templates(tmp_path):
    tokenizer = byte_level(use_regex=True)
    tokenizer.chat_template = {"default": tokenizer.chat_template, "tool_use": ZEPHYR}
    file = _written(tokenizer, tmp_path / "m.gguf")
    assert _field(file, "tokenizer.chat_template") == tokenizer.chat_template["default"]
    assert _field(file, "tokenizer.chat_template.tool_use") == ZEPHYR


def test_an_unknown_splitter_is_looked_for_with_llama_cpp(tmp_path):
    spelled = byte_level(_split(splitters.QWEN2.replace(r"\p{N}|", r"\p{N}{1}|")))
    file = _written(spelled, tmp_path / "m.gguf")
    assert _field(file, "tokenizer.ggml.pre") in {"llama-bpe", "dbrx", "qwen2"}  # it knows no two digits as a token
    with LlamaCpp(file, threads=1) as runtime:
        assert runtime.tokenize(PROBES, begin=False) == spelled(list(PROBES), add_special_tokens=False)["input_ids"]


def test_a_splitter_that_llama_cpp_has_not_is_refused(tmp_path, monkeypatch):
    letters = byte_level(_split(r"\p{L}"))
    with pytest.raises(InputError, match=r"none of llama.cpp's pre-tokenizers"):
        _written(letters, tmp_path / "m.gguf")
    monkeypatch.setattr(graft.inference.llama_cpp, "is_installed", lambda: False)
    with pytest.raises(InputError, match=r"graft-slm\[gguf\]"):
        _written(letters, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_merges_that_are_not_those_of_sentencepiece_are_refused(tmp_path):
    import json

    from tokenizers import Tokenizer

    tokenizer = sentencepiece()
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    del state["model"]["merges"][-1]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
    with pytest.raises(InputError, match="merges by token"):
        _written(tokenizer, tmp_path / "m.gguf")


def test_normalizing_that_llama_cpp_does_not_do_is_refused(tmp_path):
    from tokenizers import normalizers

    with pytest.raises(InputError, match="Lowercase"):
        _written(byte_level(use_regex=True, normalizer=normalizers.Lowercase()), tmp_path / "m.gguf")
