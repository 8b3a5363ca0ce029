"""PEFT's other types, each by its name: trained, saved, loaded, merged, and the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graft.config import ModelSettings
from graft.errors import InputError
from graft.methods import METHODS
from graft.methods.adapter_folder import load_adapter
from graft.methods.peft_types import TYPES
from graft.models.base import load_model, resolve
from prepared import prepared
from tiny_models import tiny_model_folder

IDS = torch.arange(4, 24)[None]


def base_of(folder: Path) -> Any:
    return resolve(ModelSettings(model_name_or_path=str(folder)))


@pytest.mark.parametrize("name", TYPES)
def test_round_trip_and_merge(tmp_path: Path, name: str) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    method = METHODS.get(name)
    rank = {"lora_r": 4} if "lora_r" in method.Config.model_fields else {}
    tuned = prepared(method, load_model(base), target_modules=("q_proj", "down_proj"), **rank)
    with torch.no_grad():
        plain = load_model(base)(input_ids=IDS).logits
        torch.testing.assert_close(tuned(input_ids=IDS).logits, plain, rtol=0, atol=1e-5)
    optimizer = torch.optim.Adam([p for p in tuned.parameters() if p.requires_grad], lr=0.05)
    for _ in range(3):
        tuned(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    method.save(tuned, tmp_path / "run")
    again = load_adapter(load_model(base), tmp_path / "run" / "adapter")
    with torch.no_grad():
        expected = tuned.eval()(input_ids=IDS).logits
        assert not torch.allclose(expected, plain, atol=1e-4)
        torch.testing.assert_close(again(input_ids=IDS).logits, expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(again.merge_and_unload()(input_ids=IDS).logits, expected, rtol=0, atol=1e-4)


def test_a_model_it_does_not_fit(tmp_path: Path) -> None:
    model = load_model(base_of(tiny_model_folder(tmp_path, "gpt2")))
    with pytest.raises(InputError, match=r"loha does not support this model: .*Conv1D"):
        prepared(METHODS.get("loha"), model)


def test_a_name_peft_has_and_cannot_merge() -> None:
    with pytest.raises(InputError, match="there is no method called 'prefix_tuning'"):
        METHODS.get("prefix_tuning")
