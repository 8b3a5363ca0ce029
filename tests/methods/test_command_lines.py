"""The walkthrough's command lines for the methods, as written but for the model, the data and the number of steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graft.cli.main import main
from graft.commands.chat import Conversation
from graft.commands.evaluate import evaluate_model
from graft.config import ModelSettings
from graft.methods.adapter_folder import load_adapter
from graft.models.base import load_model, open_run_or_model
from graft.progress import SILENT
from graft.report.usage import snippet
from graft.runs.view import RunView
from tiny_models import tiny_model_folder

IDS = torch.arange(4, 24)[None]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for family in ("llama", "gpt2"):
        tiny_model_folder(folder, family)
    return folder


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    rows = [
        {"programming_language": language, "prompt": f"print the number {n}", "response": f"{say} {n}"}
        for n in range(12)
        for language, say in (("Python", "print"), ("Shell", "echo"))
    ]
    file = tmp_path / "tiny-codes.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def run_of(*words: str) -> None:
    assert main(["finetune", *words]) == 0


def manifest(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_section_3_gpt2_and_its_layers(models: Path, tmp_path: Path) -> None:
    data = tmp_path / "dataset.json"
    data.write_text(json.dumps([{"input": f"say {n}", "output": f"it is {n}"} for n in range(24)]), encoding="utf-8")
    run = tmp_path / "run"
    run_of(
        *("--model_name_or_path", str(models / "tiny-gpt2"), "--data_files", str(data), "--train_split", "train"),
        *("--text_template", r"User: {input}\nAssistant: {output}", "--method", "lora"),
        *("--lora_r", "16", "--lora_alpha", "32", "--target_modules", "c_attn,c_proj"),
        *("--modules_to_save", "ln_f,lm_head", "--max_steps", "4", "--output_path", str(run)),
    )
    config = json.loads((run / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["modules_to_save"] == ["lm_head", "ln_f"] and config["target_modules"] == ["c_attn", "c_proj"]
    opened = open_run_or_model(run)
    tuned = load_adapter(load_model(opened.base), opened.adapter)
    with torch.no_grad():
        expected = tuned(input_ids=IDS).logits
        merged = tuned.merge_and_unload()
        merged.save_pretrained(tmp_path / "merged")
        assert not merged.config.tie_word_embeddings  # its head is no longer the embeddings
        again = type(merged).from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(again.eval()(input_ids=IDS).logits, expected, rtol=0, atol=1e-4)


def test_section_4_qlora_and_slices(models: Path, codes: Path, tmp_path: Path) -> None:
    run = tmp_path / "adapters" / "tiny-codes"
    run_of(
        *("--method", "qlora", "--model_name_or_path", str(models / "tiny-llama"), "--data_name", str(codes)),
        *("--train_split", "train[:16]", "--eval_split", "train[16:24]"),
        *("--text_template", r"### Language: {programming_language} \n### Question: {prompt} \n### Answer: {response}"),
        *("--per_device_train_batch_size", "16", "--per_device_eval_batch_size", "16"),
        *("--max_steps", "3", "--logging_steps", "1", "--output_path", str(run)),
    )
    said = manifest(run)
    assert said["status"] == "finished" and (said["data"]["train_rows"], said["data"]["held_out_rows"]) == (16, 8)
    assert (run / "adapter" / "quantization.json").is_file()


def test_section_10_out_of_memory(models: Path, codes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_of(
        *("--model_name_or_path", str(models / "tiny-llama"), "--data_files", str(codes), "--max_steps", "2"),
        *("--prompt_template", "{prompt}", "--completion_template", "{response}", "--evaluate", "false"),
        *("--method", "qlora", "--gradient_checkpointing", "true", "--per_device_train_batch_size", "1"),
        *("--gradient_accumulation_steps", "16", "--output_path", str(run)),
    )
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(line["grad_norm"] > 0 for line in lines if "grad_norm" in line)
    opened = open_run_or_model(run)
    tuned = load_adapter(load_model(opened.base), opened.adapter)
    assert any(p.abs().sum() > 0 for name, p in tuned.named_parameters() if "lora_B" in name)


def test_section_10_overfitting(models: Path, codes: Path, tmp_path: Path) -> None:
    run_of(
        *("--model_name_or_path", str(models / "tiny-llama"), "--data_files", str(codes), "--max_steps", "2"),
        *("--prompt_template", "{prompt}", "--completion_template", "{response}", "--evaluate", "false"),
        *("--r", "16", "--lora_alpha", "16", "--lora_dropout", "0.1", "--weight_decay", "0.01"),
        *("--output_path", str(tmp_path / "run")),
    )
    config = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["lora_alpha"], config["r"], config["lora_dropout"]) == (16, 16, 0.1)


@pytest.mark.parametrize("method", ["adapters", "qlora"])
def test_best_checkpoint_and_resume(models: Path, codes: Path, tmp_path: Path, method: str) -> None:
    """Checkpoints hold what is tuned and nothing of the base; the best is loaded at the end; a run goes on alike."""
    words = [
        *("--model_name_or_path", str(models / "tiny-llama"), "--data_files", str(codes), "--method", method),
        *("--prompt_template", "{prompt}", "--completion_template", "{response}", "--evaluate", "false"),
        *("--eval_steps", "2", "--save_steps", "2", "--max_steps", "6", "--early_stopping_patience", "0"),
        *("--learning_rate", "0.01", *(("--lora_r", "4") if method == "qlora" else ())),
    ]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_of(*words, "--output_path", str(whole))
    base = (models / "tiny-llama" / "model.safetensors").stat().st_size
    for file in whole.glob("checkpoints/checkpoint-*/*model.safetensors"):
        assert file.stat().st_size < base / 3
    run_of(*words, "--output_path", str(parts))
    (parts / "checkpoints" / "checkpoint-6" / "complete.json").unlink()  # as if it had been killed while it wrote it
    run_of("--resume", "--output_path", str(parts))
    assert manifest(parts)["status"] == "finished" and manifest(parts)["training"]["steps"] == 6
    one, other = ((run / "adapter" / "adapter_model.safetensors").read_bytes() for run in (whole, parts))
    assert one == other


@pytest.mark.parametrize("method", ["adapters", "qlora"])
def test_evaluated_talked_to_and_used_as_the_card_says(
    models: Path,
    codes: Path,
    tmp_path: Path,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    run_of(
        *("--model_name_or_path", str(models / "tiny-llama"), "--data_files", str(codes), "--max_steps", "4"),
        *("--prompt_template", "{prompt}", "--completion_template", "{response}", "--method", method),
        *("--learning_rate", "0.01", "--output_path", str(run)),
    )
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    later = evaluate_model(run)  # loaded again, and the same answers
    values = [[d["predictors"][name]["perplexity"]["value"] for name in ("base", "tuned")] for d in (document, later)]
    assert values[0] == pytest.approx(values[1], rel=1e-5) and values[0][0] != pytest.approx(values[0][1], rel=1e-3)
    talk = Conversation.open(str(run), ModelSettings(), 4, SILENT)
    assert set(talk.predictors) == {"base", "tuned"} and talk.say("print the number 3")
    monkeypatch.chdir(tmp_path)
    code = snippet(RunView.read(run))
    assert f'METHODS.get("{method}").load(' in code and "peft import" not in code
    capsys.readouterr()
    exec(code, {})
    assert capsys.readouterr().out
