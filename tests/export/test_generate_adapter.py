import json
import shutil

import numpy as np
import pytest

from graft.cli.main import main
from graft.commands.export import generate_adapter
from graft.errors import InputError
from graft.export.onnx.genai import GenaiModel
from graft.export.onnx.genai_folder import adapter_file
from graft.export.onnx.session import OnnxSession
from small_runs import bundle_document, tune
from tiny_models import tiny_model_folder


@pytest.fixture(scope="session")
def runs(learned, tone, run, tmp_path_factory):
    """Three adapters over one base, of different ranks, alphas and layers."""
    folder = tmp_path_factory.mktemp("three")
    small = tune(learned, tone, folder / "small", lora_r=2, lora_alpha=8, target_modules="q_proj,v_proj", seed=1)
    other = tune(learned, tone, folder / "rslora", lora_r=4, use_rslora=True, target_modules="down_proj,k_proj", seed=2)
    return {"tone": run, "small": small, "rslora": other}


@pytest.fixture(scope="session")
def multi(learned, runs, tmp_path_factory):
    output = tmp_path_factory.mktemp("multi") / "multi"
    paths = ",".join(f"{name}={path}" for name, path in runs.items())
    return generate_adapter(
        {"base_model_path": str(learned), "adapter_paths": paths, "output_path": str(output), "precision": "float32"}
    )


def test_each_adapter_answers_as_its_pytorch_twin(multi):
    said = bundle_document(multi)
    assert said["status"] == "finished" and list(said["adapters"]) == ["tone", "small", "rslora"]
    for entry in said["adapters"].values():
        parity = entry["parity"]
        assert parity["greatest_logit_difference"] < 1e-3
        assert parity["answers_equal"][0] == parity["answers_equal"][1] >= 50
    assert {tuple(entry["ranks"]) for entry in said["adapters"].values()} == {(8,), (2,), (4,)}


def test_adapters_differ_and_the_bare_base_is_there(multi):
    prompt = list(range(5, 25))
    found = {
        name: OnnxSession(multi, adapter_file(multi, name)).last_logits([prompt])[0]
        for name in ("base", "tone", "small")
    }
    assert np.abs(found["tone"] - found["small"]).max() > 1e-3
    assert np.abs(found["tone"] - found["base"]).max() > 1e-3


def test_one_process_switches(multi):
    genai = GenaiModel(multi)
    prompt = list(range(5, 25))
    seen = {}
    for name in ("tone", "small", None, "tone"):
        genai.use(name, adapter_file(multi, name))
        logits = genai.last_logits(prompt)
        if name in seen:
            assert logits == seen[name]
        seen[name] = logits
    assert len({tuple(logits) for logits in seen.values()}) == 3


def test_chat_answers_with_the_adapter_that_is_named(multi, capsys):
    assert (
        main(["chat", str(multi), "--adapter", "tone", "--prompt", "fine day number 3", "--max_new_tokens", "8"]) == 0
    )
    assert capsys.readouterr().out.strip()
    assert main(["chat", str(multi), "--adapter", "tune", "--prompt", "x"]) == 2
    assert "did you mean tone" in capsys.readouterr().err


def test_an_adapter_is_added_without_rebuilding(multi, learned, tone, runs, tmp_path):
    copy = shutil.copytree(multi, tmp_path / "multi")
    before = (copy / "model.onnx.data").stat().st_mtime_ns
    assert main(["generate-adapter", "--add", f"late={runs['small']}", str(copy)]) == 0
    said = bundle_document(copy)
    assert list(said["adapters"])[-1] == "late" and said["status"] == "finished"
    assert (copy / "model.onnx.data").stat().st_mtime_ns == before
    wide = tune(learned, tone, tmp_path / "wide", max_steps=1, target_modules="q_proj")
    config = wide / "adapter" / "adapter_config.json"
    assert config.is_file()
    head = _renamed(wide / "adapter", tmp_path / "head", "q_proj", "lm_head")
    with pytest.raises(InputError, match="no slot"):
        generate_adapter({"add": f"head={head}", "output_path": str(copy)})
    assert list(bundle_document(copy)["adapters"])[-1] == "late"


def _renamed(adapter, folder, old, new):
    from safetensors.numpy import load_file, save_file

    shutil.copytree(adapter, folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name.replace(old, new): value for name, value in tensors.items()}, folder / "adapter_model.safetensors")
    return folder


def _changed(run, folder, **config):
    shutil.copytree(run / "adapter", folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | config), encoding="utf-8")
    return folder


def test_misfits_are_refused_with_the_reason_all_at_once(learned, run, tone, tmp_path, capsys):
    other = tiny_model_folder(tmp_path, "llama", width=128, seed=3)
    strange = tune(other, tone, tmp_path / "strange", max_steps=1)
    narrow = shutil.copytree(strange / "adapter", tmp_path / "narrow")
    dora = _changed(run, tmp_path / "dora", use_dora=True)
    bottleneck = _changed(run, tmp_path / "bottleneck", peft_type="BOTTLENECK")
    cut = _changed(run, tmp_path / "cut")
    weights = (cut / "adapter_model.safetensors").read_bytes()
    (cut / "adapter_model.safetensors").write_bytes(weights[: len(weights) // 2])
    (tmp_path / "bare").mkdir()
    paths = f"{strange},{dora},{bottleneck},{cut},bare={tmp_path / 'bare'},nowhere={tmp_path / 'nowhere'}"
    line = ["generate-adapter", "--base_model_path", str(learned), "--output_path", str(tmp_path / "out")]
    assert main([*line, "--adapter_paths", paths]) == 2
    said = capsys.readouterr().err
    for what in ("was trained on", "DoRA", "BOTTLENECK", "adapter_model.safetensors", "no adapter_config.json"):
        assert what in said, what
    assert "nowhere: no such folder" in said
    assert main([*line, "--adapter_paths", str(narrow)]) == 2
    assert "128 ×" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_int4_base_is_rounded_and_keeps_its_adapters_in_float32(learned, runs, tmp_path):
    folder = generate_adapter(
        {
            "base_model_path": str(learned),
            "adapter_paths": f"tone={runs['tone']},small={runs['small']}",
            "output_path": str(tmp_path / "multi"),
            "precision": "int4",
            "max_accuracy_drop": 0.9,
        }
    )
    said = bundle_document(folder)
    assert said["rounding"] == "gptq"
    assert all(entry["parity"]["answers_equal"][0] > 0 for entry in said["adapters"].values())
