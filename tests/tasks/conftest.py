from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from task_rows import ROWS
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
