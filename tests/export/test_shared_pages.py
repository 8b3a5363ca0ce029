"""What is read by whoever gets a bundle: it names no place on the machine that made it."""

import json
from pathlib import Path

import pytest

from graft.commands.export import export_model
from small_runs import tune
from task_rows import ROWS
from tiny_models import tiny_model_folder

PAGES = {"README.md", "Modelfile"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("owner")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS["classes"]()), encoding="utf-8")
    return tune(tiny_model_folder(folder, "llama", width=64), rows, folder / "run", task="text-generation")


@pytest.mark.parametrize("format", ["hf", "gguf", "onnx"])
def test_the_pages_of_a_bundle_name_no_place(run, tmp_path, format):
    if format == "onnx":
        pytest.importorskip("onnxruntime_genai")
    bundle = tmp_path / "bundle"
    export_model({"model_name_or_path": str(run), "format": format, "precision": "float32", "output_path": str(bundle)})
    pages = {path.name: path.read_text(encoding="utf-8") for path in bundle.rglob("*") if path.name in PAGES}
    assert "README.md" in pages
    for name, text in pages.items():
        for place in {str(run.parent), str(tmp_path), str(Path.home()), str(Path.cwd())} - {"/"}:
            assert place not in text, f"{name} names {place}"
