"""Merging: each layer gets its own adapter, also where layers share a weight; what cannot be merged is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from graft.config import ExportSettings
from graft.errors import GraftError, InputError
from graft.export.merge import check_mergeable, load_judged, merge_judged
from graft.export.source import ExportSource, open_source
from graft.progress import SILENT
from tiny_models import tiny_model_folder

IDS = torch.arange(4, 40)[None]
LAYERS = ["q_proj", "down_proj"]


def adapter(base: Path, config: Any) -> Path:
    """An adapter beside ``base`` with random weights: one that does nothing would prove nothing."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(base.parent / "adapter", save_embedding_layers=False)
    return base.parent / "adapter"


def source(base: Path, config: Any) -> ExportSource:
    path = adapter(base, config)
    return open_source(ExportSettings(model_name_or_path=str(base), adapter_path=str(path)), SILENT)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.mark.parametrize(
    ("tied", "given"),
    [
        (False, {"target_modules": [*LAYERS, "lm_head"]}),
        (False, {"target_modules": ["embed_tokens"]}),
        (False, {"target_modules": ["embed_tokens", "lm_head"], "use_dora": True}),
        (False, {"target_modules": LAYERS, "modules_to_save": ["embed_tokens"]}),
        (False, {"target_modules": LAYERS, "trainable_token_indices": {"lm_head": [5, 9]}}),
        (True, {"target_modules": LAYERS, "trainable_token_indices": {"embed_tokens": [5, 9]}}),
        (True, {"target_modules": LAYERS, "use_rslora": True, "rank_pattern": {"q_proj": 2}}),
    ],
    ids=["head", "embeddings", "both, DoRA", "saved embeddings", "tokens of the head", "tokens of both", "neither"],
)
def test_tied_layers(tmp_path: Path, tied: bool, given: dict[str, Any]) -> None:
    base = tiny_model_folder(tmp_path)
    plain = logits(AutoModelForCausalLM.from_pretrained(base))
    given_source = source(base, LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **given))
    judged = load_judged(given_source)
    wanted = logits(judged)
    assert (wanted - plain).abs().max() > 0.1
    model = merge_judged(judged, given_source, tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    for one in (model, again):
        torch.testing.assert_close(logits(one), wanted, rtol=0, atol=1e-5)
        assert (one.lm_head.weight is one.model.embed_tokens.weight) is tied
        assert one.config.tie_word_embeddings is tied
    assert model.merge_difference < 1e-5


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), "PREFIX_TUNING .*: it adds to the prompt"),
        (LoraConfig(r=4, target_modules=LAYERS, alora_invocation_tokens=[5]), "LORA .* invocation tokens"),
        (LoraConfig(r=4, target_modules=LAYERS, layer_replication=[[0, 2], [1, 2]]), "LORA .*: it repeats layers"),
    ],
    ids=["prefix tuning", "aLoRA", "layers repeated"],
)
def test_what_is_no_change_of_weights(tmp_path: Path, config: Any, reason: str) -> None:
    config.task_type = "CAUSAL_LM"
    with pytest.raises(InputError, match=f"an adapter of type {reason}"):
        check_mergeable(source(tiny_model_folder(tmp_path), config).opened)


def test_a_bias_that_the_base_has_no_place_for(tmp_path: Path) -> None:
    config = LoraConfig(r=4, target_modules=LAYERS, lora_bias=True, task_type="CAUSAL_LM")
    given = source(tiny_model_folder(tmp_path), config)
    with pytest.raises(InputError, match=r"this LORA adapter cannot be merged: .* the base layer has no bias"):
        merge_judged(load_judged(given), given, None)


def test_a_merge_that_peft_gets_wrong_is_noticed(tmp_path: Path) -> None:
    """An adapter of the head over trained tokens that a tied head follows: PEFT computes one thing, merges another."""
    targets = [*LAYERS, "lm_head"]
    tokens = {"embed_tokens": [5, 9]}
    config = LoraConfig(r=4, target_modules=targets, trainable_token_indices=tokens, task_type="CAUSAL_LM")
    given = source(tiny_model_folder(tmp_path), config)
    with pytest.raises(GraftError, match="the merged model differs from the model that was evaluated: logits by up to"):
        merge_judged(load_judged(given), given, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
