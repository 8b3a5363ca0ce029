import json
import subprocess
import sys

import pytest

from graft.cli.main import main
from graft.commands.export import export_model
from graft.errors import InputError
from graft.runs.manifest import read_bundle, read_run
from small_runs import bundle_document, tune
from tiny_task_models import tiny_bert_folder

pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def classifier(tone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    model = tiny_bert_folder(folder)
    return tune(model, tone, folder / "run", task="text-classification", max_steps=30, max_eval_samples=64)


def test_a_classifier_becomes_plain_onnx_that_judges_the_same(classifier, tmp_path, capsys):
    assert main(["auto-opt", str(classifier), "--precision", "float32", "-o", str(tmp_path / "out")]) == 0
    said = bundle_document(tmp_path / "out")
    assert said["parity"]["answers_equal"] == [64, 64]
    assert said["parity"]["greatest_logit_difference"] < 1e-4
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    lines = text.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path / "out", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and ("good" in done.stdout or "bad" in done.stdout), done.stderr


def test_its_bundle_answers_as_the_run_does(classifier, tmp_path, capsys):
    assert main(["auto-opt", str(classifier), "--skip_parity", "-o", str(tmp_path / "out")]) == 0
    assert "graft chat" in capsys.readouterr().out
    answers = []
    for place in (classifier, tmp_path / "out"):
        assert main(["chat", str(place), "--prompt", "lovely cake number 3"]) == 0
        answers.append(capsys.readouterr().out)
    assert main(["evaluate", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictors"]["onnx"]
    assert set(found) == {"accuracy", "macro_f1"} and found["accuracy"]["n"] == 64
    assert answers[0] == answers[1] and answers[0].strip() in {"good", "bad"}


def test_its_weights_in_int8_take_less(classifier, tmp_path):
    sizes = {}
    for precision in ("float32", "int8"):
        folder = export_model(
            {
                "model_name_or_path": str(classifier),
                "precision": precision,
                "output_path": str(tmp_path / precision),
                "max_accuracy_drop": 0.2,
            }
        )
        sizes[precision] = sum(file.stat().st_size for file in folder.glob("model.onnx*"))
    assert sizes["int8"] < sizes["float32"]


def test_int4_is_refused_for_encoders(classifier, tmp_path):
    with pytest.raises(InputError, match="does not support int4"):
        export_model({"model_name_or_path": str(classifier), "precision": "int4", "output_path": str(tmp_path / "x")})


def test_its_bundle_records_its_labels_and_its_limit(classifier, tmp_path):
    folder = export_model(
        {"model_name_or_path": str(classifier), "skip_parity": True, "output_path": str(tmp_path / "out")}
    )
    found, task = read_bundle(folder).prompt, read_run(classifier).task
    assert found.labels == task.label_space.names and sorted(found.labels) == ["bad", "good"]
    assert found.max_length == task.max_length and found.stop == []
    first = (classifier / "data" / "eval.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert found.kind == "text/label" and found.example == json.loads(first)["text"]
