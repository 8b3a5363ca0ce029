"""Bottleneck adapters: where they stand, how wide they are, saved, loaded, switched, and not merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graft.config import ModelSettings
from graft.errors import InputError
from graft.methods import METHODS
from graft.methods.adapter_folder import is_bottleneck, load_adapter
from graft.methods.base import trainable_parameters
from graft.models.base import load_model, resolve
from graft.models.weights import file_sha256
from prepared import prepared
from tiny_models import tiny_model_folder

ADAPTERS = METHODS.get("adapters")
IDS = torch.arange(4, 24)[None]


def base_of(folder: Path) -> Any:
    return resolve(ModelSettings(model_name_or_path=str(folder)))


def train_a_little(model: Any) -> None:
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize(
    ("placement", "behind"), [("pfeiffer", ["mlp.down_proj"]), ("houlsby", ["self_attn.o_proj", "mlp.down_proj"])]
)
def test_where_and_how_wide(tmp_path: Path, placement: Any, behind: list[str]) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    tuned = prepared(ADAPTERS, load_model(base), reduction_factor=8, adapter_placement=placement, lora_dropout=0.2)
    assert torch.equal(logits(tuned), logits(load_model(base)))  # each begins as the identity
    assert tuned.bottlenecks.layers == [f"model.layers.{n}.{name}" for n in range(2) for name in behind]
    assert trainable_parameters(tuned)[0] == 2 * len(behind) * (2 * 32 * 4 + 4 + 32)  # 32 features, 32 / 8 between
    assert not any("base_layer" in name for name, p in tuned.named_parameters() if p.requires_grad)


def test_the_formula(tmp_path: Path) -> None:
    tuned = prepared(ADAPTERS, load_model(base_of(tiny_model_folder(tmp_path))), non_linearity="tanh")
    layer = tuned.get_submodule("base_model.model.layers.0.mlp.down_proj")
    torch.nn.init.normal_(layer.bottleneck.up.weight)
    x = torch.randn(2, 5, 64)
    h = layer.base_layer(x)
    down, up = layer.bottleneck.down, layer.bottleneck.up
    expected = h + torch.tanh(h @ down.weight.T + down.bias) @ up.weight.T + up.bias
    torch.testing.assert_close(layer(x), expected)


def test_saved_loaded_switched(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    tuned = prepared(ADAPTERS, load_model(base), reduction_factor=4)
    train_a_little(tuned)
    ADAPTERS.save(tuned, tmp_path / "run")
    adapter = tmp_path / "run" / "adapter"
    assert sorted(file.name for file in adapter.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["peft_type"], config["reduction_factor"]) == ("BOTTLENECK", 4)
    assert config["base_model_name_or_path"] == base.name and is_bottleneck(adapter)
    again = load_adapter(load_model(base), adapter)
    assert torch.equal(logits(again), logits(tuned))
    assert not any(p.requires_grad for p in again.parameters())
    plain = logits(load_model(base))
    assert not torch.allclose(logits(again), plain, atol=1e-3)
    with again.disable_adapter():
        assert torch.equal(logits(again), plain)
        with again.disable_adapter():
            pass
        assert torch.equal(logits(again), plain)
    assert torch.equal(logits(again), logits(tuned))
    trainable = load_adapter(load_model(base), adapter, trainable=True)
    assert trainable_parameters(trainable)[0] == trainable_parameters(tuned)[0] and trainable.training


def test_it_is_not_merged(tmp_path: Path) -> None:
    tuned = prepared(ADAPTERS, load_model(base_of(tiny_model_folder(tmp_path))))
    with pytest.raises(InputError, match="cannot be merged into the base model"):
        tuned.merge_and_unload()


def test_named_layers_and_wrong_names(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path, "phi3"))
    tuned = prepared(ADAPTERS, load_model(base), target_modules=("layers.1.self_attn.o_proj",))
    assert tuned.bottlenecks.layers == ["model.layers.1.self_attn.o_proj"]
    with pytest.raises(InputError) as caught:
        prepared(ADAPTERS, load_model(base), target_modules=("down_prj", "embed_tokens"))
    assert len(caught.value.problems) == 2 and "did you mean down_proj?" in str(caught.value)
    with pytest.raises(InputError, match="modules_to_save"):
        prepared(ADAPTERS, load_model(base), modules_to_save=("head",))


def test_layers_trained_whole_beside_the_networks(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    tuned = prepared(ADAPTERS, load_model(base), modules_to_save=("lm_head", "model.norm"))
    plain = logits(load_model(base))
    assert torch.equal(logits(tuned), plain)
    train_a_little(tuned)
    ADAPTERS.save(tuned, tmp_path)
    again = load_adapter(load_model(base), tmp_path / "adapter")
    assert again.bottlenecks.modules_to_save == ["model.norm", "lm_head"]
    head = again.get_submodule("base_model.lm_head")
    assert not torch.equal(head.trained.weight, head.base_layer.weight)
    assert torch.equal(logits(again), logits(tuned))
    with again.disable_adapter():
        assert torch.equal(logits(again), plain)


def test_another_model_is_refused(tmp_path: Path) -> None:
    tuned = prepared(ADAPTERS, load_model(base_of(tiny_model_folder(tmp_path))))
    ADAPTERS.save(tuned, tmp_path)
    other = base_of(tiny_model_folder(tmp_path, "gpt2"))
    with pytest.raises(InputError, match="does not fit"):
        load_adapter(load_model(other), tmp_path / "adapter")


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        ADAPTERS.save(prepared(ADAPTERS, load_model(base), seed=seed), tmp_path / name)
    a, b, c = (file_sha256(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in "abc")
    assert a == b != c
