"""The deployment benchmark, the real way, on a tiny run."""

import json

import pytest

import deploy
import environments
from small_runs import tune
from tiny_models import tiny_model_folder

pytest.importorskip("onnxruntime_genai")


@pytest.mark.slow
def test_each_answers_in_its_own_process_and_is_judged_alike(tmp_path):
    from graft.commands.export import export_model

    rows = [{"text": f"{'lovely' if i % 2 else 'awful'} day {i}", "label": "ny"[i % 2]} for i in range(40)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = tune(tiny_model_folder(tmp_path, width=64), data, tmp_path / "run")
    bundle = export_model({"model_name_or_path": str(run), "precision": "float32", "skip_parity": True})
    options = ["--precisions", "float32", "--bundles", f"float32={bundle}", "--bundles_folder", str(tmp_path / "made")]
    options += ["--rows", "12", "--turns", "1", "--write_tokens", "4", "--batch", "4", "--threads", "1"]
    options += ["--llama_cpp"] if environments.is_ready("llama_cpp") else []
    deploy.main([str(run), *options, "--output", str(tmp_path / "deploy.json")])
    document = json.loads((tmp_path / "deploy.json").read_text(encoding="utf-8"))
    torch, onnx, *llama = document["results"]
    assert document["rows"] == 12
    assert torch["answers_as_pytorch"] == onnx["answers_as_pytorch"] == 1.0
    assert torch["accuracy"] == onnx["accuracy"]
    for one in document["results"]:
        assert one["size_mb"] > 0 and one["tokens_per_second"] > 0 and one["peak_mb"] > 0
    assert onnx["batched_tokens_per_second"] > 0
    assert all(one["batched_tokens_per_second"] is None for one in llama)
    assert "| ONNX float32 |" in deploy.markdown(document)
