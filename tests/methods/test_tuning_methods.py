"""LoRA and full fine-tuning on tiny models: what is tuned, saved and loaded again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from graft.config import ModelSettings
from graft.errors import GraftError, InputError
from graft.methods import METHODS
from graft.methods.adapter_folder import load_adapter
from graft.methods.base import trainable_parameters
from graft.models.base import link, load_model, load_tokenizer, open_run_or_model, resolve, untuned
from graft.models.weights import file_sha256
from prepared import prepared
from tiny_models import FAMILIES, tiny_gguf, tiny_model_folder

LORA, FULL = METHODS.get("lora"), METHODS.get("full")
IDS = torch.arange(4, 24)[None]


def base_of(folder: Path) -> Any:
    return resolve(ModelSettings(model_name_or_path=str(folder)))


def train_a_little(model: Any) -> None:
    """Two steps, so that no tuned weight is what it was."""
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


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_round_trip(tmp_path: Path, family: str) -> None:
    base = base_of(tiny_model_folder(tmp_path, family))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tuned = prepared(LORA, load_model(base), lora_r=4)
    assert torch.equal(logits(tuned), logits(load_model(base)))  # B is zero to start with
    trained, total = trainable_parameters(tuned)
    assert 0 < trained < total / 3
    assert all("lora_" in name for name, p in tuned.named_parameters() if p.requires_grad)
    train_a_little(tuned)
    LORA.save(tuned, tmp_path / "run")
    adapter = tmp_path / "run" / "adapter"
    assert sorted(file.name for file in adapter.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    saved = load_file(adapter / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in saved.values()) == trained  # and no copy of the embeddings
    again = load_adapter(load_model(base), adapter)
    assert torch.equal(logits(again), logits(tuned))
    assert not torch.allclose(logits(again), logits(load_model(base)), atol=1e-4)


def test_configuration(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path, "gpt2"))
    names = {"target_modules": ("c_attn", "c_proj"), "modules_to_save": ("ln_f", "lm_head")}
    tuned = prepared(LORA, load_model(base), lora_r=16, lora_alpha=32, **names)
    train_a_little(tuned)
    LORA.save(tuned, tmp_path)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == base.name
    assert config["fan_in_fan_out"] and config["lora_alpha"] == 32 and config["task_type"] == "CAUSAL_LM"
    assert config["target_modules"] == ["c_attn", "c_proj"] and config["modules_to_save"] == ["lm_head", "ln_f"]
    assert torch.equal(logits(load_adapter(load_model(base), tmp_path / "adapter")), logits(tuned))


@pytest.mark.parametrize("extra", [{"use_dora": True}, {"use_rslora": True}, {"lora_alpha": 0.5}])
def test_variants(tmp_path: Path, extra: dict[str, Any]) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    tuned = prepared(LORA, load_model(base), lora_r=4, **extra)
    train_a_little(tuned)
    LORA.save(tuned, tmp_path)
    assert torch.equal(logits(load_adapter(load_model(base), tmp_path / "adapter")), logits(tuned))


def test_alpha_is_twice_r_and_targets_may_be_whole_names(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    targets = ("model.layers.1.self_attn.q_proj", "mlp.up_proj")
    tuned = prepared(LORA, load_model(base), lora_r=8, target_modules=targets)
    assert tuned.peft_config["default"].lora_alpha == 16
    names = {name.split(".lora_")[0] for name, _ in tuned.named_parameters() if "lora_" in name}
    assert {name.split("layers.")[1] for name in names} == {"1.self_attn.q_proj", "0.mlp.up_proj", "1.mlp.up_proj"}


def test_names_that_are_no_layers(tmp_path: Path) -> None:
    model = load_model(base_of(tiny_model_folder(tmp_path, "phi3")))
    with pytest.raises(InputError) as caught:
        prepared(LORA, model, target_modules=("q_proj", "qkv_prj", "mlp"), modules_to_save=("head",))
    assert len(caught.value.problems) == 4
    said = str(caught.value)
    assert "did you mean qkv_proj?" in said and "The layers are: down_proj, embed_tokens, gate_up_proj" in said
    assert "modules_to_save" in said


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Also in another process, whose sets are in another order."""
    folder = tiny_model_folder(tmp_path)
    code = (
        "import sys; from pathlib import Path; from graft.methods import METHODS\n"
        "from graft.models.base import load_model, resolve; from graft.config import *\n"
        "model = load_model(resolve(ModelSettings(model_name_or_path=sys.argv[1])))\n"
        "lora = METHODS.get('lora'); run = Path(sys.argv[2])\n"
        "lora.save(lora.prepare(model, lora.Config(), 7, ()), run)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path / "a")], env=environment, check=True)
    torch.manual_seed(1)  # what was drawn before does not matter, and what is drawn after is not disturbed
    expected = torch.rand(1, generator=torch.Generator().manual_seed(1))
    for name, seed in (("b", 7), ("c", 8)):
        LORA.save(prepared(LORA, load_model(base_of(folder)), seed=seed), tmp_path / name)
    assert torch.rand(1) == expected
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert file_sha256(tmp_path / "a" / "adapter" / file) == file_sha256(tmp_path / "b" / "adapter" / file)
    weights = [tmp_path / name / "adapter" / "adapter_model.safetensors" for name in "bc"]
    assert file_sha256(weights[0]) != file_sha256(weights[1])


def test_full_disk_keeps_the_last_adapter(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    base = base_of(tiny_model_folder(tmp_path))
    model = prepared(LORA, load_model(base))
    LORA.save(model, tmp_path)
    before = file_sha256(tmp_path / "adapter" / "adapter_model.safetensors")
    train_a_little(model)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))  # no file may grow beyond: as a disk that is full
    try:
        with pytest.raises(GraftError, match="cannot write the folder"):
            LORA.save(model, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file_sha256(tmp_path / "adapter" / "adapter_model.safetensors") == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["adapter", "tiny-llama"]


def test_full_round_trip(tmp_path: Path) -> None:
    """The run's model/ was linked to the base: saving must not write through the link."""
    base = base_of(tiny_model_folder(tmp_path))
    run = tmp_path / "run"
    link(base, run / "model")
    tuned = prepared(FULL, load_model(base))
    assert len(set(trainable_parameters(tuned))) == 1
    train_a_little(tuned)
    FULL.save(tuned, run)
    assert file_sha256(base.path / "model.safetensors") == base.sha256
    saved = base_of(run / "model")
    assert torch.equal(logits(load_model(saved)), logits(tuned))
    assert load_tokenizer(saved).chat_template


def test_full_over_a_base_in_parts(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path, shards=True))
    link(base, tmp_path / "run" / "model")
    model = load_model(base)
    train_a_little(prepared(FULL, model))
    FULL.save(model, tmp_path / "run")
    assert [file.name for file in (tmp_path / "run" / "model").glob("*.safetensors*")] == ["model.safetensors"]
    assert torch.equal(logits(load_model(base_of(tmp_path / "run" / "model"))), logits(model))


def lora_run(folder: Path, base: Any) -> Path:
    run = folder / "run"
    link(base, run / "model")
    tuned = prepared(LORA, load_model(base), lora_r=4)
    train_a_little(tuned)
    LORA.save(tuned, run)
    recorded = {"name": base.name, "path": str(base.path), "sha256": base.sha256, "license": base.license}
    manifest = {"status": "finished", "task_name": "tone", "base": recorded}
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return run


def test_open_a_run_and_its_adapter(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    run = lora_run(tmp_path, base)
    for given in (run, run / "adapter"):
        opened = open_run_or_model(given)
        assert (opened.run, opened.adapter, opened.name) == (run, run / "adapter", "tone")
        assert (opened.base.name, opened.base.sha256) == (base.name, base.sha256)
        assert untuned(opened) is opened.base
        load_adapter(load_model(opened.base), opened.adapter)


def test_open_an_adapter_folder_alone(tmp_path: Path) -> None:
    base = base_of(tiny_gguf(tmp_path / "tiny.gguf"))
    adapter = lora_run(tmp_path, base).joinpath("adapter").rename(tmp_path / "alone")
    opened = open_run_or_model(adapter)
    assert (opened.run, opened.adapter, opened.name, opened.base.kind) == (None, adapter, "alone", "gguf")
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InputError, match="truncated"):
        open_run_or_model(adapter)
    weights.unlink()
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        open_run_or_model(adapter)


def test_run_whose_model_is_gone_finds_its_base(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    run = lora_run(tmp_path, base)
    (run / "model" / "model.safetensors").unlink()
    assert open_run_or_model(run).base.path == base.path
    tiny_model_folder(tmp_path, seed=5)  # another model in the base's place
    with pytest.raises(InputError, match="the SHA-256 of its weights differs"):
        open_run_or_model(run)


def test_full_run_knows_its_base(tmp_path: Path) -> None:
    base = base_of(tiny_model_folder(tmp_path))
    run = lora_run(tmp_path, base)
    (run / "adapter").rename(tmp_path / "elsewhere")
    FULL.save(prepared(FULL, load_model(base)), run)
    opened = open_run_or_model(run)
    assert opened.adapter is None and opened.base.path == run / "model"
    assert untuned(opened).path == base.path


def test_unfinished_run(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"status": "failed"}', encoding="utf-8")
    with pytest.raises(InputError, match="status is 'failed'"):
        open_run_or_model(tmp_path)


@pytest.mark.parametrize("family", ["gpt2", "phi3"])
def test_adapter_of_another_model(tmp_path: Path, family: str) -> None:
    run = lora_run(tmp_path, base_of(tiny_model_folder(tmp_path, "gemma2")))
    other = load_model(base_of(tiny_model_folder(tmp_path, family)))
    with pytest.raises(InputError, match="does not fit"):
        load_adapter(other, run / "adapter")


def test_method_names() -> None:
    with pytest.raises(InputError, match="did you mean lora"):
        METHODS.get("lorra")
    assert {"full", "lora"} <= set(METHODS.names())
