"""``graft models``: the catalog, folders, GGUF files, runs and bundles side by side, without loading weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from graft.cli.main import main
from graft.commands.export import export_model
from graft.engine import modules
from graft.export.gguf.writer import write_gguf
from graft.models.base import load_model, load_tokenizer, open_run_or_model
from graft.models.catalog import read_catalog
from graft.models.families import FAMILIES
from graft.planning.model_needs import ROW_TOKENS, ROWS, model_needs
from small_runs import tone_file, tune
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder

CARD = "---\nlicense:\n- apache-2.0\n- cc-by-nc-4.0\nlanguage:\n  - en\n  - de\n---\n# A model\n"


def document(*words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["models", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def named(found: dict[str, Any]) -> set[str]:
    return {model["name"] for model in found["models"]}


def test_without_names_it_lists_the_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys=capsys)
    assert [model["id"] for model in found["models"]] == [model.id for model in read_catalog()]
    small = found["models"][0]
    assert (small["parameters"], small["license_name"], small["commercial_use"]) == (134_515_008, "Apache-2.0", "yes")
    assert small["engine"] == "whole layers" and {"onnx", "gguf", "hf"} <= set(small["exports"])
    assert found["training_batch"] == {"rows": ROWS, "tokens_per_row": ROW_TOKENS}


def test_the_catalog_is_listed_without_torch_and_without_a_network() -> None:
    code = (
        "import socket, sys\n"
        "socket.socket.connect = None\n"
        "from graft.cli.main import main\n"
        "code = main(['models'])\n"
        "sys.exit(code or 'torch' in sys.modules or 'transformers' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SmolLM2-135M-Instruct" in done.stdout


def test_a_line_has_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in ([], ["Qwen3-0.6B", "Llama-3.2-1B-Instruct", "gemma-4-E2B-it"]):
        assert main(["models", *words]) == 0
        printed = capsys.readouterr().out
        assert max(map(len, printed.splitlines())) <= 80
        assert "Llama-3.2-1B-Instruct" in printed and "gemma-4-E2B-it" in printed


def test_filters_and_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    small = document("--fits", "3GB", capsys=capsys)
    assert all(m["training_mb"]["lora"] <= 3000 for m in small["models"])
    assert "SmolLM2-135M-Instruct" in named(small) and "Qwen3-8B" not in named(small)
    assert small["left_out_because_unknown"] == 1  # Gemma 4's sizes
    commercial = document("--license", "commercial", capsys=capsys)
    assert "Llama-3.2-1B-Instruct" in named(commercial) and "Qwen2.5-3B-Instruct" not in named(commercial)
    assert {m["license"] for m in document("--license", "MIT", capsys=capsys)["models"]} == {"mit"}
    german = document("--language", "de", capsys=capsys)
    assert "Phi-4-mini-instruct" in named(german) and "gpt2" not in named(german)
    assert german["left_out_because_unknown"] > 0
    none = document("--language", "de", "--fits", "1MB", capsys=capsys)
    assert none["models"] == []


def test_mistakes_are_named_together(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["models", "Qwen3-06B", str(tmp_path), "--language", "german", "--license", "apache"]) == 2
    said = capsys.readouterr().err
    assert "did you mean qwen3-0.6b?" in said
    assert "this is an empty folder, not a model" in said
    assert "'german' is not a language code of two letters" in said
    assert "no model here has the license 'apache'" in said
    assert main(["models", "--fit", "8GB", "--fits", "much"]) == 2
    said = capsys.readouterr().err
    assert "did you mean fits?" in said and "'much' is not an amount" in said
    assert main(["models", "--fits", "8"]) == 2
    assert "'8' has no unit" in capsys.readouterr().err


def test_a_folder_is_described_from_its_own_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model_folder(tmp_path, "qwen3")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    from transformers import AutoModelForCausalLM

    parameters = AutoModelForCausalLM.from_pretrained(folder).num_parameters()
    monkeypatch.setattr(torch.nn.Module, "__init__", None)  # building any model would fail
    found = document(str(folder), capsys=capsys)["models"][0]
    assert found["parameters"] == parameters
    assert (found["architecture"], found["context_tokens"], found["languages"]) == ("qwen3", 512, ["en", "de"])
    assert (found["license"], found["commercial_use"]) == ("apache-2.0, cc-by-nc-4.0", "no")
    assert found["bytes_on_disk"] == (folder / "model.safetensors").stat().st_size
    assert found["number_format"] == "float32" and found["chat_template"] is True
    assert "gguf" in found["exports"]
    assert "8" in found["no_export_because"]["onnx"]  # heads of 8


def test_an_encoder_and_a_model_without_a_card(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = document(str(tiny_bert_folder(tmp_path)), capsys=capsys)["models"][0]
    assert (found["kind"], found["engine"], found["commercial_use"]) == ("encoder", "plain", "unknown")
    assert found["exports"] == ["onnx", "hf"] and found["training_mb"]["qlora"] is None


def test_damaged_folders_are_refused_with_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert main(["models", str(folder)]) == 2
    assert "truncated" in capsys.readouterr().err


def test_a_gguf_file_is_described_by_its_header_and_is_not_converted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = open_run_or_model(str(tiny_model_folder(tmp_path, "llama", width=64))).base
    model, file = load_model(base), tmp_path / "m.gguf"
    write_gguf(model, load_tokenizer(base), file, "int8", {}, name="m", license="apache-2.0")
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    found = document(str(file), capsys=capsys)["models"][0]
    assert not (tmp_path / "cache").exists()
    assert found["parameters"] == model.num_parameters()
    assert (found["license"], found["context_tokens"], found["architecture"]) == ("apache-2.0", 512, "llama")
    assert found["bytes_on_disk"] == file.stat().st_size and found["chat_template"] is True


def test_a_run_and_a_bundle_are_described_with_what_they_come_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tiny_model_folder(tmp_path, "llama")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    run = tune(folder, tone_file(tmp_path, 8), tmp_path / "run", max_steps=1)
    export_model(
        {"model_name_or_path": str(run), "output_path": str(tmp_path / "out"), "format": "hf", "skip_parity": True}
    )
    of_run, of_bundle = document(str(run), str(tmp_path / "out"), capsys=capsys)["models"]
    assert of_run["name"] == "run" and "tuned tiny-llama" in of_run["notes"][0].replace(str(folder.parent) + "/", "")
    assert of_bundle["notes"][0].startswith("a bundle: ")
    assert of_run["parameters"] == of_bundle["parameters"]
    assert of_run["commercial_use"] == of_bundle["commercial_use"] == "no"


def test_the_engine_path_is_what_the_engine_knows() -> None:
    names = {name.lower() for name in modules._FAMILIES}
    assert {name for name, family in FAMILIES.items() if family.whole_layers} == names


def test_needs_grow_with_size_and_with_what_is_trained() -> None:
    config = {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
    config |= {"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152}
    needs = model_needs(config, 134_515_008, "causal")
    assert needs.qlora_mb is not None and needs.lora_mb < needs.qlora_mb < needs.full_mb
    assert model_needs({**config, "model_type": "olmo2"}, 134_515_008, "causal").lora_mb > needs.lora_mb
    assert model_needs(config, 134_515_008, "causal", tokens=16).lora_mb < needs.lora_mb
