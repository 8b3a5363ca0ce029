import json

import pytest

from tiny_models import tiny_model_folder, wide_model_folder

GOOD = ["fine day", "lovely cake", "what a joy", "great work", "so happy", "nice and warm", "love it", "well done"]
BAD = ["awful rain", "burnt toast", "what a mess", "poor work", "so sad", "cold and grey", "hate it", "badly made"]


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "llama")


@pytest.fixture(scope="session")
def wide_llama(tmp_path_factory):
    """It reads 4,096 tokens."""
    return str(wide_model_folder(tmp_path_factory.mktemp("wide")))


@pytest.fixture
def tone(tmp_path):
    """48 rows of two classes."""
    path = tmp_path / "tone.jsonl"
    rows = [
        {"text": f"{text} number {n}", "label": label}
        for n in range(3)
        for texts, label in ((GOOD, "good"), (BAD, "bad"))
        for text in texts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def given(tiny_llama, tone, tmp_path):
    """Settings of a run of a few steps."""
    return {
        "model_name_or_path": str(tiny_llama),
        "data_files": str(tone),
        "output_path": str(tmp_path / "run"),
        "max_steps": 6,
        "eval_steps": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "lora_dropout": 0.1,
        "early_stopping_patience": 0,
        "bootstrap_samples": 100,
    }
