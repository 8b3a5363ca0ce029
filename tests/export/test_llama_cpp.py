"""GGUF bundles and files in the real llama.cpp."""

import json
import re
import subprocess
import sys

import pytest
import torch

pytest.importorskip("xllamacpp")

from graft.cli.main import main
from graft.commands import open_predictors
from graft.commands.export import export_model
from graft.errors import GateError, GraftError
from graft.export.llama_cpp import gguf_export
from graft.runs.evaluation_document import read_evaluation
from small_runs import bundle_document, tune
from tiny_models import tiny_model_folder


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
    assert "'../x.gguf', is not a file in this folder" in capsys.readouterr().err


def exported(model, out, **settings):
    given = {"model_name_or_path": str(model), "format": "gguf", "output_path": str(out)}
    return bundle_document(export_model({**given, **settings}))


def test_the_gate_compares_with_the_judged_model_in_llama_cpp_and_adds_to_the_report(bundle, run):
    parity = bundle_document(bundle)["parity"]
    rows = parity["rows"]
    assert parity["process"] == "fresh, llama.cpp" and parity["passed"] is True
    for name in ("template_identical", "token_ids_identical", "ends_identical", "answers_equal"):
        assert parity[name] == [rows, rows], name
    assert 0 < parity["greatest_logit_difference"] < 1e-4
    assert parity["pytorch"]["value"] == parity["bundle"]["value"]
    assert set(read_evaluation(run).predictors) == {"base", "tuned", "gguf float32"}


def test_a_model_without_rows_is_compared_on_sample_texts(tmp_path):
    parity = exported(tiny_model_folder(tmp_path, "qwen2", width=64), tmp_path / "out", precision="float32")["parity"]
    assert parity["token_ids_identical"] == parity["answers_equal"] == [8, 8]
    assert parity["template_identical"] == [4, 4]


def test_a_file_that_llama_cpp_refuses_fails_the_export_with_its_message(run, tmp_path, monkeypatch):
    real = gguf_export.write_gguf

    def cut(model, tokenizer, file, *given, **named):
        real(model, tokenizer, file, *given, **named)
        file.write_bytes(file.read_bytes()[:-20_000])

    monkeypatch.setattr(gguf_export, "write_gguf", cut)
    with pytest.raises(GraftError, match=r"file that was written is refused: .*error loading model"):
        exported(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_wrong_conversion_fails_the_gate_although_the_metric_holds(run, tmp_path, monkeypatch):
    real = gguf_export.write_gguf

    def bent(model, *given, **named):
        model.model.norm.weight.data *= 1.02
        real(model, *given, **named)

    monkeypatch.setattr(gguf_export, "write_gguf", bent)
    with pytest.raises(GateError, match="wrong conversion"):
        exported(run, tmp_path / "out", precision="float32")
    document = bundle_document(tmp_path / "out")
    assert document["status"] == "failed" and document["parity"]["pytorch"] == document["parity"]["bundle"]


def test_a_worse_file_fails_unless_the_drop_is_allowed(run, tmp_path, monkeypatch):
    real = gguf_export.write_gguf

    def spoilt(model, *given, **named):
        model.lm_head.weight.data.normal_(generator=torch.Generator().manual_seed(0))
        real(model, *given, **named)

    monkeypatch.setattr(gguf_export, "write_gguf", spoilt)
    with pytest.raises(GateError, match=r"accuracy 0\.625 in PyTorch"):
        exported(run, tmp_path / "out", precision="int8")
    allowed = exported(run, tmp_path / "two", precision="int8", max_accuracy_drop=0.99, parity_rows=16)
    assert allowed["status"] == "finished" and allowed["parity"]["rows"] == 16


def test_rows_can_be_given_and_the_comparison_skipped(run, tone, tmp_path):
    before = read_evaluation(run).document()
    parity = exported(run, tmp_path / "rows", data_files=str(tone), parity_rows=20)["parity"]
    assert parity["rows"] == 20 and parity["rows_answered"] == 20
    assert exported(run, tmp_path / "skipped", skip_parity=True)["parity"] == "skipped (--skip_parity)"
    assert read_evaluation(run).document() == before


def test_without_llama_cpp_the_file_is_read_back_and_it_is_said(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gguf_export, "is_installed", lambda: False)
    line = ["auto-opt", str(run), "--format", "gguf", "--precision", "float32", "-o", str(tmp_path / "out")]
    assert main(line) == 0
    parity = bundle_document(tmp_path / "out")["parity"]
    assert parity["read_back_by"] == "transformers" and parity["next_token_equal"] == [8, 8]
    assert parity["reason"].startswith('not run in llama.cpp: pip install "graft-slm[gguf]"')
    assert "not run in llama.cpp" in " ".join(capsys.readouterr().out.split())


def test_answers_in_any_script_and_of_several_tokens_are_equal(tmp_path):
    rows = [
        {"prompt": f"{word} {n}", "completion": f"{word[::-1]} ಕನ್ನಡ {n}, 東京!\n- é"}
        for n in range(6)
        for word in ("नमस्ते", "ಭಾಷೆ", "привет", "x\ty")
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = tiny_model_folder(tmp_path, "llama", width=64)
    tuned = tune(model, data, tmp_path / "run", max_steps=30, system_prompt="Réponds\nbrièvement.")
    parity = exported(tuned, tmp_path / "out", precision="float32")["parity"]
    for name in ("template_identical", "token_ids_identical", "ends_identical", "answers_equal"):
        assert parity[name][0] == parity[name][1] == 12, (name, parity)


def python_of_the_readme(folder):
    """What the Python of README.md prints, run in the bundle's folder without graft."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_the_readme_asks_the_runs_own_prompt_and_the_modelfile_stands_beside(bundle, run, capsys):
    first = json.loads((run / "data" / "eval.jsonl").read_text(encoding="utf-8").splitlines()[0])
    page = (bundle / "README.md").read_text(encoding="utf-8")
    asked = first["prompt"][-1]["content"]
    assert json.dumps(asked) in page and "Hello" not in page
    assert python_of_the_readme(bundle) == first["completion"]
    lines = (bundle / "Modelfile").read_text(encoding="utf-8").splitlines()
    instruction = asked.removesuffix("\n\nfine day number 0").splitlines()[0]
    assert instruction != asked and any(instruction in line for line in lines)  # so that Ollama takes the bare text
    assert "FROM ./tone-f32.gguf" in lines and 'PARAMETER stop "<|im_end|>"' in lines
