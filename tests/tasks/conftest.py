from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder, tiny_t5_folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "bert": tiny_bert_folder(folder),
        "t5": tiny_t5_folder(folder),
        "llama": tiny_model_folder(folder, "llama"),
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def written(name: str, rows: list[dict[str, Any]]) -> str:
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(file)

    return written


def classes(count: int = 64) -> list[dict[str, Any]]:
    return [
        {"text": f"{'good cake' if i % 2 else 'bad rain'} {i}", "label": "yes" if i % 2 else "no"} for i in range(count)
    ]


def several(count: int = 64) -> list[dict[str, Any]]:
    draw = random.Random(0)
    rows = []
    for i in range(count):
        good, rain = draw.random() < 0.5, draw.random() < 0.5
        labels = ["good"] * good + ["rain"] * rain
        rows.append({"text": f"{'good' if good else 'bad'} {'rain' if rain else 'cake'} {i}", "labels": labels})
    return rows


def tagged(count: int = 48) -> list[dict[str, Any]]:
    """Plain tags; the words fall into several tokens each."""
    draw = random.Random(1)
    streets, cities = ["Oakfield", "Mainfields", "Springs"], ["Rome", "Paris"]
    return [
        {
            "tokens": [str(draw.randrange(100)), draw.choice(streets), "Street", "in", draw.choice(cities)],
            "tags": ["number", "street", "street", "O", "city"],
        }
        for _ in range(count)
    ]


def spans(count: int = 48) -> list[dict[str, Any]]:
    rows = []
    for i in range(count):
        name = f"{'Ann' if i % 2 else 'Bob'} {i}"
        start = len(f"{name} lives in ")
        city = "Rome" if i % 3 else "Paris"
        marks = [
            {"start": 0, "end": len(name), "label": "person"},
            {"start": start, "end": start + len(city), "label": "city"},
        ]
        rows.append({"text": f"{name} lives in {city}.", "spans": marks})
    return rows


def pairs(count: int = 48) -> list[dict[str, Any]]:
    return [
        {"sentence1": f"good cake {i}", "sentence2": f"{'love it' if i % 2 else 'bad rain'} {i}", "label": i % 2}
        for i in range(count)
    ]


def summaries(count: int = 40) -> list[dict[str, Any]]:
    return [{"text": f"the good day number {i} is a fine day in rome", "summary": f"day {i % 7}"} for i in range(count)]


ROWS = {
    "classes": classes,
    "several": several,
    "tagged": tagged,
    "spans": spans,
    "pairs": pairs,
    "summaries": summaries,
}


@pytest.fixture
def given(models: dict[str, Path], write: Callable[..., str], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Settings of a short run of a model on rows of a kind."""

    def settings(model: str, kind: str, **more: Any) -> dict[str, Any]:
        return {
            "model_name_or_path": str(models[model]),
            "data_files": write(kind, ROWS[kind]()),
            "output_path": str(tmp_path / "run"),
            "max_steps": 12,
            "eval_steps": 6,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-2,
            "early_stopping_patience": 0,
            "bootstrap_samples": 100,
            **more,
        }

    return settings
