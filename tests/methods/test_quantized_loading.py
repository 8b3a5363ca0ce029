"""A base that is quantized is never whole in float32, and is the same to the bit as one that was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from graft.config import ModelSettings
from graft.methods import METHODS
from graft.methods.quantized import int4_weights
from graft.models.base import load_model, resolve
from graft.models.stored import load_to_quantize, stored_format
from prepared import prepared
from tiny_models import tiny_model_folder

QLORA = METHODS.get("qlora")
FAMILIES = ("llama", "qwen3", "gemma3", "gpt2")


def stored_as(folder: Path, formats: dict[str, torch.dtype]) -> Any:
    """The base in ``folder``, its tensors in the formats whose key their names contain; the last one that fits."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for part, dtype in formats.items():
        tensors |= {name: tensor.to(dtype) for name, tensor in tensors.items() if part in name}
    save_file(tensors, file, metadata={"format": "pt"})
    return resolve(ModelSettings(model_name_or_path=str(folder)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "formats",
    [{"": torch.bfloat16}, {"": torch.float16}, {"": torch.bfloat16, "norm": torch.float32}],
    ids=["bfloat16", "float16", "mixed"],
)
def test_every_bit_is_that_of_a_base_in_float32(tmp_path: Path, family: str, formats: dict[str, torch.dtype]) -> None:
    base = stored_as(tiny_model_folder(tmp_path, family), formats)
    expected = prepared(QLORA, load_model(base), lora_r=4)
    found = prepared(QLORA, load_to_quantize(base), lora_r=4)
    assert found.quantization == expected.quantization and int4_weights(found)
    there, here = expected.state_dict(), found.state_dict()
    assert {name: tensor.dtype for name, tensor in here.items()} == {name: there[name].dtype for name in there}
    assert [name for name in here if not torch.equal(here[name], there[name])] == []
    buffers = dict(expected.named_buffers())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in found.named_buffers())
    assert found.base_model.model.config.to_dict() == expected.base_model.model.config.to_dict()
    ids = torch.arange(4, 24)[None]
    with torch.no_grad():
        assert torch.equal(found(input_ids=ids).logits, expected(input_ids=ids).logits)


def test_weights_stay_as_they_are_stored_where_that_changes_nothing(tmp_path: Path) -> None:
    kinds = {}
    for family in FAMILIES:
        base = stored_as(tiny_model_folder(tmp_path / family, family), {"": torch.bfloat16})
        kinds[family] = {parameter.dtype for parameter in load_to_quantize(base).parameters()}
    short, whole = {torch.bfloat16}, {torch.float32}
    assert kinds == {"llama": short, "qwen3": short, "gpt2": short, "gemma3": whole}  # whose embed_scale is rounded


def test_the_format_of_all_weights(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    assert stored_format(folder) is None  # float32 is used in place
    stored_as(folder, {"": torch.bfloat16})
    assert stored_format(folder) == "bfloat16"
    stored_as(folder, {"norm": torch.float16})
    assert stored_format(folder) is None
    (folder / "model.safetensors").unlink()
    assert stored_format(folder) is None
