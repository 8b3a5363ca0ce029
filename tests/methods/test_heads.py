"""Methods over models with a head, encoders and encoder–decoders: trained, judged, judged again, used from the card."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from graft.commands.evaluate import evaluate_model
from graft.commands.finetune import finetune
from graft.report.usage import snippet
from graft.runs.view import RunView
from task_rows import ROWS
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder, tiny_t5_folder

MODELS: dict[str, Any] = {"bert": tiny_bert_folder, "t5": tiny_t5_folder, "llama": tiny_model_folder}


@pytest.mark.parametrize(
    ("model", "method", "rows", "task"),
    [
        ("bert", "qlora", "classes", "text-classification"),
        ("bert", "adapters", "tagged", "token-classification"),
        ("llama", "adapters", "classes", "text-classification"),
        ("t5", "qlora", "summaries", "summarization"),
        ("t5", "adapters", "summaries", "summarization"),
        ("bert", "loha", "classes", "text-classification"),
    ],
)
def test_a_head_is_trained_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, method: str, rows: str, task: str
) -> None:
    folder = MODELS[model](tmp_path)
    data = tmp_path / f"{rows}.jsonl"
    given = ROWS[rows]()
    data.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    run = finetune(
        {
            "model_name_or_path": str(folder),
            "data_files": str(data),
            "output_path": str(tmp_path / "run"),
            "method": method,
            "task": task,
            "max_steps": 10,
            "learning_rate": 1e-2,
            "bootstrap_samples": 100,
            "per_device_train_batch_size": 8,
            **({"adapter_placement": "houlsby"} if method == "adapters" else {"lora_r": 4}),
        }
    )
    first = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert first["predictors"]["base"] != first["predictors"]["tuned"]
    again = evaluate_model(run, output_path=tmp_path / "again", bootstrap_samples=100)
    assert again["predictors"] == first["predictors"]
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet(RunView.read(run)), {})
    assert printed.getvalue().endswith("\n")
