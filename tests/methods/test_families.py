"""Every family by every method: tuned a few steps, saved, loaded, merged, and the same logits; its tokens right."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from graft.config import ModelSettings
from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Origin
from graft.data.tokenize import TokenizedExample, encode
from graft.engine import pack, packed_loss, plain_collate, plain_loss, supports
from graft.errors import InputError
from graft.methods import METHODS
from graft.methods.adapter_folder import load_adapter
from graft.models.base import link, load_model, load_tokenizer, resolve
from prepared import prepared
from tiny_models import tiny_model_folder, tiny_model_tokenizer

FAMILIES = (
    "llama",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3",
    "mistral",
    "gpt2",
    "smollm3",
)
"""Model types; phi is Phi 2, phi3 is 3, 3.5 and 4, qwen2 is 2 and 2.5."""
ALL_METHODS = ("full", "lora", "qlora", "adapters")
IDS = torch.arange(4, 24)[None]
HERE = Origin("here", 1)


def base_of(folder: Path) -> Any:
    return resolve(ModelSettings(model_name_or_path=str(folder)))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def some_rows() -> list[TokenizedExample]:
    chance = random.Random(3)
    rows = []
    for _ in range(4):
        prompt = [*range(20, 32), *(chance.randrange(10, 300) for _ in range(chance.randrange(1, 9)))]
        answer = [chance.randrange(10, 300) for _ in range(chance.randrange(1, 5))]
        rows.append(TokenizedExample(prompt + answer, len(prompt), HERE))
    return rows


def tune(model: Any, rate: float) -> None:
    """Three steps on padded rows."""
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)
    for _ in range(3):
        plain_loss(model, plain_collate(some_rows(), 3)).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ALL_METHODS)
def test_tuned_saved_loaded_merged(tmp_path: Path, family: str, name: str) -> None:
    base, method = base_of(tiny_model_folder(tmp_path, family)), METHODS.get(name)
    run = tmp_path / "run"
    link(base, run / "model")
    small = {option: 4 for option in ("lora_r", "reduction_factor") if option in method.Config.model_fields}
    tuned = prepared(method, load_model(base), **small)
    tune(tuned, 1e-2)
    expected = logits(tuned)
    assert not torch.allclose(expected, logits(load_model(base)), atol=1e-3)
    _the_engine_computes_the_same(tuned)
    method.save(tuned, run)
    if method.writes == "model":
        torch.testing.assert_close(logits(load_model(base_of(run / "model"))), expected, rtol=0, atol=1e-4)
        return
    again = load_adapter(load_model(base_of(run / "model")), run / "adapter")
    torch.testing.assert_close(logits(again), expected, rtol=0, atol=1e-4)
    if name == "adapters":
        with pytest.raises(InputError, match="cannot be merged"):
            again.merge_and_unload()
        return
    again.merge_and_unload().save_pretrained(tmp_path / "merged")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "merged" / file).write_bytes((base.path / file).read_bytes())
    merged = load_model(base_of(tmp_path / "merged"))
    assert type(merged) is type(load_model(base))
    torch.testing.assert_close(logits(merged), expected, rtol=0, atol=1e-4)


def _the_engine_computes_the_same(model: Any) -> None:
    """Loss and gradients of the packed path, where the family has it."""
    rows = some_rows()
    if supports(model) is not None:
        return
    found = []
    for loss in (packed_loss(model, pack(rows)), plain_loss(model, plain_collate(rows, 3))):
        model.zero_grad()
        loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.requires_grad and p.grad is not None]
        found.append((loss.detach(), gradients))
    model.zero_grad()
    (packed, packed_gradients), (plain, plain_gradients) = found
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-5)
    assert len(packed_gradients) == len(plain_gradients) > 0
    for one, other in zip(packed_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


TURN = "{% for m in messages %}"
SPECIAL = {
    # family: end, padding, beginning, end of a turn, chat template, as the families' instruct models have them
    "llama": ("<|eot_id|>", None, "<|begin_of_text|>", "<|eot_id|>", TURN
        + "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"),
    "phi3": ("<|endoftext|>", "<|endoftext|>", None, "<|end|>", TURN
        + "<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}<|endoftext|>{% endif %}"),
    "qwen": ("<|im_end|>", "<|endoftext|>", None, "<|im_end|>", TURN
        + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"),
    "gemma": ("<eos>", "<pad>", "<bos>", "<end_of_turn>", "{{ bos_token }}" + TURN
        + "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
        "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"),
    "mistral": ("</s>", None, "<s>", "</s>", "{{ bos_token }}" + TURN
        + "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}</s>{% endif %}"
        "{% endfor %}"),
    "smollm3": ("<|im_end|>", "<|im_end|>", None, "<|im_end|>", TURN
        + "<|im_start|>{{ m.role }}\n{{ '<think>\n\n</think>\n' if m.role == 'assistant' }}{{ m.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n{% endif %}"),
    "gpt2, phi2": ("<|endoftext|>", None, "<|endoftext|>", "<|endoftext|>", None),
}  # fmt: skip


def tokenizer_of(kind: str, folder: Path) -> Any:
    """Saved and loaded as a user's is."""
    end, padding, beginning, turn, template = SPECIAL[kind]
    tokenizer = tiny_model_tokenizer(template)
    extra = {token for token in (end, padding, beginning, turn, "<pad>", "<unk>") if token}
    tokenizer.add_special_tokens({"additional_special_tokens": sorted(extra)})
    tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token = end, padding, beginning
    path = tiny_model_folder(folder, "llama", chat_template=template)
    tokenizer.save_pretrained(path)
    return load_tokenizer(base_of(path))


@pytest.mark.parametrize("kind", SPECIAL)
def test_template_end_and_padding(tmp_path: Path, kind: str) -> None:
    end, _, _, turn, template = SPECIAL[kind]
    tokenizer = tokenizer_of(kind, tmp_path)
    renderer = Renderer(tokenizer)
    assert tokenizer.eos_token == end and renderer.turn_end == turn
    assert tokenizer.pad_token not in {end, turn, None}  # there is another in the vocabulary
    example = AnswerExample(({"role": "user", "content": "What tone?"},), "positive", HERE)
    row = encode(example, renderer, 512)
    prompt = tokenizer.decode(row.input_ids[: row.prompt_length])
    answer = tokenizer.decode(row.input_ids[row.prompt_length :])
    assert answer.strip() == f"positive{turn}"
    if template:
        asked = tokenizer.apply_chat_template([example.prompt[0]], add_generation_prompt=True, tokenize=False)
        assert prompt == asked
    longer = encode(
        AnswerExample(({"role": "user", "content": "What tone has this one?"},), "negative", HERE), renderer, 512
    )
    labels = plain_collate([row, longer], tokenizer.pad_token_id)["labels"]
    turn_id = tokenizer.convert_tokens_to_ids(turn)
    assert (labels == turn_id).sum(1).tolist() == [1, 1]
    assert pack([row, longer])["labels"].tolist().count(turn_id) == 2


def test_padding_with_the_end_token_keeps_the_end_token_in_the_loss() -> None:
    """Where a model has no other: what is masked is what was padded, whatever the token."""
    rows = [TokenizedExample([5, 6, 7, 2], 2, HERE), TokenizedExample([5, 6, 7, 8, 9, 2], 2, HERE)]
    batch = plain_collate(rows, pad_token_id=2)
    assert batch["labels"].tolist() == [[-100, -100, 7, 2, -100, -100], [-100, -100, 7, 8, 9, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
