"""GGUF bundles and files in the real llama.cpp."""

import json

import pytest

pytest.importorskip("xllamacpp")

from graft.cli.main import main
from graft.commands import open_predictors


def answers(path):
    lines = (path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [next(iter(json.loads(line)["answers"].values())) for line in lines]


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "gguf"
    assert main(["auto-opt", str(run), "--format", "gguf", "--precision", "float32", "-o", str(out)]) == 0
    return out


def test_a_bundle_is_evaluated_and_answers_in_llama_cpp(bundle, run, tone, tmp_path, capsys):
    rows = ["--data_files", str(tone), "--max_eval_samples", "24"]
    assert main(["evaluate", str(bundle), *rows, "-o", str(tmp_path / "gguf")]) == 0
    assert main(["evaluate", str(run), *rows, "-o", str(tmp_path / "torch")]) == 0
    own, theirs = (json.loads((tmp_path / n / "evaluation.json").read_text("utf-8")) for n in ("gguf", "torch"))
    (mine,), tuned = own["predictors"].values(), theirs["predictors"]["tuned"]
    assert mine["accuracy"] == tuned["accuracy"]
    capsys.readouterr()
    assert main(["chat", str(bundle), "--prompt", "what a joy number 3"]) == 0
    assert capsys.readouterr().out.strip() == "good"


def test_a_file_is_evaluated_in_llama_cpp_or_on_demand_in_pytorch(bundle, tone, tmp_path, capsys):
    (file,) = bundle.glob("*.gguf")
    line = ["evaluate", str(file), "--data_files", str(tone), "--max_eval_samples", "16"]
    assert main([*line, "-o", str(tmp_path / "llama")]) == 0
    assert "is run by llama.cpp" in capsys.readouterr().err
    assert main([*line, "-o", str(tmp_path / "torch"), "--backend", "pytorch"]) == 0
    assert "PyTorch, converted to float32" in capsys.readouterr().err
    assert answers(tmp_path / "llama") == answers(tmp_path / "torch")
    assert main(["chat", str(file), "--prompt", "what a joy number 3", "--backend", "llama.cpp", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "model"


def test_llama_cpp_is_refused_for_what_it_cannot_do(bundle, run, capsys, monkeypatch):
    (file,) = bundle.glob("*.gguf")
    assert main(["chat", str(run), "--backend", "llama.cpp", "--prompt", "x"]) == 2
    assert ".gguf files only" in capsys.readouterr().err
    line = ["chat", str(file), "--backend", "llama.cpp", "--prompt", "x"]
    assert main([*line, "--adapter_path", str(run)]) == 2
    assert "--adapter_path cannot be used with llama.cpp" in capsys.readouterr().err
    monkeypatch.setattr("graft.inference.llama_cpp.is_installed", lambda: False)
    assert main(line) == 2
    assert "graft-slm[gguf]" in capsys.readouterr().err


def test_without_llama_cpp_a_file_is_run_by_pytorch_and_it_is_said(bundle, capsys, monkeypatch):
    monkeypatch.setattr(open_predictors, "is_installed", lambda: False)
    (file,) = bundle.glob("*.gguf")
    assert main(["chat", str(file), "--prompt", "what a joy number 3"]) == 0
    assert 'for llama.cpp: pip install "graft-slm[gguf]"' in " ".join(capsys.readouterr().err.split())


def test_a_file_outside_the_bundle_is_refused(bundle, tmp_path, capsys):
    (tmp_path / "b").mkdir()
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    (tmp_path / "b" / "manifest.json").write_text(json.dumps({**document, "file": "../x.gguf"}), "utf-8")
    (tmp_path / "x.gguf").write_bytes((bundle / document["file"]).read_bytes())
    assert main(["chat", str(tmp_path / "b"), "--prompt", "x"]) == 2
    assert "not in the bundle" in capsys.readouterr().err
