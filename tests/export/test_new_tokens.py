"""Runs with new tokens in the formats that graft ships: merged, or refused by name."""

import json

import pytest

from graft.cli.main import main
from small_runs import bundle_document, tune
from tiny_models import tiny_model_folder

ROWS = [{"prompt": f"What is {n} + {n}?", "completion": f"<tool> {n} {n} </tool> {2 * n}"} for n in range(24)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new-tokens")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    base = tiny_model_folder(folder, "llama", width=64)
    return tune(base, folder / "rows.jsonl", folder / "run", new_tokens="<tool>,</tool>")


@pytest.mark.parametrize(("format", "precision"), [("onnx", "float32"), ("onnx", "int4"), ("gguf", "float32")])
def test_the_merged_model_has_the_rows_and_answers_as_pytorch_does(run, tmp_path, format, precision):
    words = ["auto-opt", str(run), "--format", format, "--precision", precision, "-o", str(tmp_path / "out")]
    assert main(words) == 0
    document = bundle_document(tmp_path / "out")
    assert document["status"] == "finished"
    if format == "onnx":
        tokenizer = json.loads((tmp_path / "out" / "tokenizer.json").read_text(encoding="utf-8"))
        assert {"<tool>", "</tool>"} <= {token["content"] for token in tokenizer["added_tokens"]}


def test_an_adapter_that_changes_the_embeddings_is_not_hot_swappable(run, tmp_path, capsys):
    words = ["auto-opt", str(run), "--precision", "float32", "--adapter", "hot-swappable", "-o", str(tmp_path / "a")]
    assert main(words) != 0
    assert "an adapter with new tokens cannot be hot-swappable" in capsys.readouterr().err
    base = run.parent / "tiny-llama"
    words = ["generate-adapter", "--base_model_path", str(base), "--adapter_paths", f"a={run}"]
    assert main([*words, "-o", str(tmp_path / "b")]) != 0
    assert "an adapter with new tokens cannot be hot-swappable" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
