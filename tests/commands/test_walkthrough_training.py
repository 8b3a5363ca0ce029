"""The walkthrough's command lines about training (sections 7, 9 and 10), run as typed but for names and numbers."""

import json
from pathlib import Path

import pytest

from graft.cli.main import main
from graft.methods import METHODS
from graft.training.checkpoints import whole_checkpoints
from loss_files import write_losses


@pytest.fixture
def typed(tiny_llama, tone, tmp_path):
    """Model, data and folder, as on the command line."""
    named = ["--model_name_or_path", str(tiny_llama), "--data_files", str(tone)]
    return ["finetune", *named, "--output_path", str(tmp_path / "run"), "--evaluate", "false"]


def manifest(folder):
    return json.loads((folder / "run" / "manifest.json").read_text(encoding="utf-8"))


def test_section_9_watching(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = "--logging_steps 10 --eval_steps 50 --save_steps 100 --logging_dir ./logs --report_to tensorboard"
    assert main([*typed, *line.split(), "--max_steps", "100", "--early_stopping_patience", "0"]) == 0
    lines = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(10, 101, 10))
    assert [line["step"] for line in lines if "eval_loss" in line] == [50, 100]
    watched = {"cpu_percent", "rss_mb", "tokens_per_second", "rows_per_second", "grad_norm", "learning_rate"}
    assert all(watched <= set(line) for line in lines if "loss" in line)
    assert whole_checkpoints(tmp_path / "run" / "checkpoints")[-1].name == "checkpoint-100"
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    assert {"train/loss", "eval/loss"} <= set(events.Tags()["scalars"])


def test_section_10_out_of_memory(typed, tmp_path):
    method = "qlora" if "qlora" in METHODS.names() else "lora"
    line = f"--method {method} --gradient_checkpointing true --per_device_train_batch_size 1"
    assert main([*typed, *line.split(), "--gradient_accumulation_steps", "16", "--max_steps", "2"]) == 0
    assert manifest(tmp_path)["training"]["steps"] == 2
    assert manifest(tmp_path)["settings"]["gradient_accumulation_steps"] == 16


def test_section_10_slow_training(typed, tmp_path):
    line = "--fp16 true --dataloader_num_workers 4 --optim adamw_torch --lr_scheduler_type cosine"
    assert main([*typed, *line.split(), "--max_steps", "2"]) == 0
    assert manifest(tmp_path)["status"] == "finished"


def test_section_10_overfitting(typed, tmp_path):
    line = "--r 16 --lora_alpha 16 --lora_dropout 0.1 --weight_decay 0.01"
    assert main([*typed, *line.split(), "--max_steps", "2"]) == 0
    adapter = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == (16, 16, 0.1)


def test_section_7_a_loss_of_ones_own(typed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(write_losses(tmp_path))
    assert main([*typed, "--loss", "own.py:plain", "--max_steps", "2"]) == 0
    assert manifest(tmp_path)["settings"]["loss"] == "own.py:plain"
    contrastive = ["--loss", "custom_loss.py:CustomContrastiveLoss", "--output_path", "other"]
    assert main([*typed[:-4], *contrastive]) == 2
    said = capsys.readouterr().err
    assert "CustomContrastiveLoss.forward(output1, output2, label) has the wrong signature" in said
    assert not Path("other").exists()
