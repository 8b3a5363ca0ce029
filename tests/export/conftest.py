import json

import pytest

from small_runs import tune
from tiny_models import tiny_model_folder

pytest.importorskip("onnxruntime_genai")

GOOD = ["fine day", "lovely cake", "what a joy", "great work", "so happy", "nice and warm", "love it", "well done"]
BAD = ["awful rain", "burnt toast", "what a mess", "poor work", "so sad", "cold and grey", "hate it", "badly made"]


@pytest.fixture(scope="session")
def tone(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tone.jsonl"
    rows = [
        {"text": f"{text} number {n}", "label": label}
        for n in range(8)
        for texts, label in ((GOOD, "good"), (BAD, "bad"))
        for text in texts
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def learned(tone, tmp_path_factory):
    """A base that has learned the task, so that equal answers mean something and spoilt weights lose something."""
    model = tiny_model_folder(tmp_path_factory.mktemp("models"), "llama", width=64)
    settings = {"method": "full", "max_steps": 120, "max_train_samples": 64}
    return tune(model, tone, tmp_path_factory.mktemp("runs") / "learned", **settings) / "model"


@pytest.fixture(scope="session")
def run(learned, tone, tmp_path_factory):
    return tune(learned, tone, tmp_path_factory.mktemp("runs") / "tone", learning_rate=1e-3)
