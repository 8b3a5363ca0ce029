"""Adapter folders that somebody else made: what PEFT would build or run for years is refused before."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from graft.config import ModelSettings
from graft.errors import InputError
from graft.methods.adapter_folder import load_adapter
from graft.models import adapter_config
from graft.models.base import load_model, open_run_or_model
from tiny_models import tiny_model, tiny_model_folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    tiny_model_folder(tmp_path)
    with torch.random.fork_rng():
        tuned = get_peft_model(tiny_model(), LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    tuned.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def opened(adapter: Path, **changes: object) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    settings = ModelSettings(
        base_model_name_or_path=str(adapter.parent / "tiny-llama"), allow_base_mismatch=True, model_name_or_path=None
    )
    found = open_run_or_model(adapter, hub=settings)
    assert found.adapter is not None
    load_adapter(load_model(found.base), found.adapter)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r": 10**9}, "r is 1,000,000,000, but no tensor of the adapter is larger than 32"),
        ({"r": -1}, "'r' is -1"),
        ({"r": 0}, "does not fit the model"),
        ({"r": "x"}, "'r' is 'x'; expected a whole number"),
        ({"r": 5}, "does not fit the model"),
        ({"rank_pattern": {"q_proj": 10**8}}, "rank_pattern['q_proj'] is 100,000,000"),
        ({"lora_dropout": 7.0}, "'lora_dropout' is 7.0"),
        ({"target_modules": "("}, "'(' is not a regular expression"),
        ({"target_modules": 7}, "'target_modules"),
        ({"modules_to_save": ["["]}, "'[' is not a regular expression"),
        ({"rank_pattern": {"*": 2}}, "'*' is not a regular expression"),
        ({"target_modules": "(" * 5000 + ")" * 5000}, "regular expression"),
        ({"trainable_token_indices": [10**6]}, "does not fit the model"),
        ({"trainable_token_indices": [-1]}, "trainable_token_indices has -1"),
        ({"layer_replication": [[0, 10**9]]}, "layer_replication is [[0, 1000000000]]"),
        ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "megatron_config is set"),
        ({"peft_type": "NOTHING"}, "does not fit the model"),
        ({"peft_type": 7}, "'peft_type' is 7"),
    ],
)
def test_a_configuration_is_checked_before_it_is_built(adapter: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(adapter, **changes)
    assert said in str(caught.value) and str(adapter) in str(caught.value)


def test_expressions_that_come_to_an_end_are_used(adapter: Path) -> None:
    opened(adapter, target_modules=r".*\.(q|v)_proj", rank_pattern={r"layers\.0\..*": 4})


@pytest.mark.parametrize("changes", [{"target_modules": "(.*.*)*x"}, {"modules_to_save": [r"(\w+\.?)+!"]}])
def test_an_expression_without_an_end_is_refused(
    adapter: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_config, "SECONDS", 2.0)
    with pytest.raises(InputError, match="take more than 2 s on the names"):
        opened(adapter, **changes)


@pytest.mark.parametrize("number", [10**6, 2**40, -1])
def test_a_new_token_beyond_the_embeddings(adapter: Path, number: int) -> None:
    record = [{"text": "<new>", "id": number, "pieces": [1], "special": True}]
    (adapter / "new_tokens.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=rf"has the ID {number:,}|'id' is {number}"):
        opened(adapter)
