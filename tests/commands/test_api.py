"""The public Python API, the whole way on a tiny model."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import graft
from tiny_models import tiny_model_folder

SCRIPT = Path(__file__).with_name("user_script.py")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "row {n}", "label": "{"ab"[n % 2]}"}}\n' for n in range(40)), encoding="utf-8")
    return graft.finetune(
        {"model_name_or_path": str(tiny_model_folder(folder, width=64)), "max_steps": 1000},
        data_files=rows,
        output_path=folder / "run",
        max_steps=4,
        bootstrap_samples=100,
        max_grad_norm=0.5,
    )


def test_a_run_is_a_path_with_scores_and_a_manifest(run):
    assert run.status == "finished" and Path(run) == run.path and (run / "report.html").is_file()
    assert set(run.scores) == {"base", "tuned"}
    accuracy = run.scores["tuned"]["accuracy"]
    assert 0 <= accuracy.value <= 1 and accuracy.n and accuracy.n > 0
    settings = graft.load(run.path)
    assert isinstance(settings, graft.Run) and settings.scores == run.scores and run.manifest.seed == 42


def test_options_win_over_settings_and_trainer_fields_pass(run):
    written = (run / "config.yaml").read_text(encoding="utf-8")
    assert "max_steps: 4" in written and "max_grad_norm: 0.5" in written


def test_predictors_answer_as_evaluation_recorded(run):
    tuned = run.predictor()
    assert tuned.name == "tuned" and tuned.answers(["row 1", "row 1"]) == [tuned.answer("row 1")] * 2
    with pytest.raises(graft.InputError, match="there is: tuned, base"):
        run.predictor("other")


def test_evaluation_of_other_rows_by_the_same_names(run, tmp_path):
    rows = tmp_path / "other.jsonl"
    rows.write_text('{"text": "row 7", "label": "b"}\n{"text": "row 8", "label": "a"}\n', encoding="utf-8")
    scores = run.evaluate(rows, metrics="accuracy", output_path=tmp_path / "scores", bootstrap_samples=100)
    assert {name: set(values) for name, values in scores.items()} == {"base": {"accuracy"}, "tuned": {"accuracy"}}
    document = graft.evaluate_model(run, rows, "accuracy", tmp_path / "again", bootstrap_samples=100)
    assert document["predictors"]["tuned"]["accuracy"]["value"] == scores["tuned"]["accuracy"].value


def test_a_model_folder_and_what_is_none(tiny_llama, tmp_path):
    model = graft.load(tiny_llama)
    assert isinstance(model, graft.Model) and isinstance(model.predictor(max_new_tokens=2).answer("day"), str)
    with pytest.raises(graft.InputError, match="this is an empty folder, not a run folder"):
        graft.load(tmp_path)


def test_a_run_is_exported_and_its_bundle_answers(run, tmp_path):
    pytest.importorskip("onnxruntime_genai")
    bundle = run.export(tmp_path / "bundle", precision="float32", skip_parity=True)
    assert isinstance(graft.load(bundle), graft.Bundle)
    assert bundle.predictor().answer("row 1") == run.predictor().answer("row 1")


def test_a_typed_script_passes_mypy_and_runs(tiny_llama, tone, tmp_path):
    pytest.importorskip("mypy")
    root = Path(__file__).parents[2]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(SCRIPT)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    spec = importlib.util.spec_from_file_location("user_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    *answers, metric = module.main(str(tiny_llama), tone, tmp_path / "run")
    assert all(isinstance(answer, str) for answer in answers) and metric == "exact_match"


def test_importing_graft_and_its_names_imports_no_torch():
    code = "import sys, graft; graft.finetune, graft.load, graft.Run; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
