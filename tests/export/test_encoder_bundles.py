"""Encoder bundles of every task: evaluated on raw rows, asked in a chat, and run by their README as graft runs them."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from graft.cli.main import main
from graft.commands.evaluate import evaluate_model
from graft.commands.export import export_model
from graft.errors import InputError
from small_runs import bundle_document, tune
from task_rows import ROWS
from tiny_task_models import tiny_bert_folder, tiny_t5_folder

pytest.importorskip("onnxscript")

GOOD = ("good", "cake")

CASES = {
    "classes": {"task": "text-classification", "max_length": 12},
    "several": {"max_length": 12},
    "tagged": {"max_length": 12},
    "spans": {"method": "full"},
    "pairs": {"max_length": 12},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs by the kind of their rows, each trained when it is first asked for; some texts are longer than the limit."""
    folder, found = tmp_path_factory.mktemp("encoders"), {}

    def run(kind):
        if kind not in found:
            rows = ROWS[kind]()
            more = [{**row, "text": row["text"] + " love" * 20} for row in rows[:3]] if "text" in rows[0] else []
            (folder / f"{kind}.jsonl").write_text(
                "".join(json.dumps(row) + "\n" for row in [*rows, *(more if kind != "spans" else [])]), "utf-8"
            )
            model = tiny_bert_folder(folder)
            found[kind] = tune(model, folder / f"{kind}.jsonl", folder / kind, max_steps=30, **CASES[kind])
        return found[kind]

    return run


@pytest.fixture(scope="module")
def bundles(runs, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("bundles"), {}

    def bundle(kind):
        if kind not in found:
            given = {"model_name_or_path": str(runs(kind)), "precision": "float32", "output_path": str(folder / kind)}
            found[kind] = export_model(given)
        return found[kind]

    return bundle


def values(document):
    *_, last = document["predictors"].values()
    return {name: one["value"] for name, one in last.items()}


@pytest.mark.parametrize("kind", list(CASES))
def test_it_computes_what_the_judged_model_computed_of_the_runs_rows(bundles, kind):
    parity = bundle_document(bundles(kind))["parity"]
    assert parity["passed"] and parity["greatest_logit_difference"] < 1e-4
    for pair in ("answers_equal", "token_ids_identical"):
        assert parity[pair][0] == parity[pair][1] > 0, pair


@pytest.mark.parametrize("kind", list(CASES))
def test_raw_rows_are_scored_as_by_the_run(runs, bundles, tmp_path, kind):
    rows = runs(kind).parent / f"{kind}.jsonl"
    wanted = evaluate_model(runs(kind), rows, output_path=tmp_path / "run", bootstrap_samples=100)
    found = evaluate_model(bundles(kind), rows, output_path=tmp_path / "bundle", bootstrap_samples=100)
    assert values(found) == pytest.approx(values(wanted), abs=1e-5)
    assert found["data"]["rows"] == wanted["data"]["rows"]


@pytest.mark.parametrize("kind", ["classes", "several", "tagged"])
def test_a_chat_says_what_the_run_says(runs, bundles, capsys, kind):
    said = []
    for place in (runs(kind), bundles(kind)):
        assert main(["chat", str(place), "--prompt", "12 Oakfield Street in Rome good cake", "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out)["answer"])
    assert said[0] == said[1]
    if kind == "tagged":
        assert [part.split("/")[0] for part in said[0].split()] == [
            "12",
            "Oakfield",
            "Street",
            "in",
            "Rome",
            "good",
            "cake",
        ]
        assert all(part.split("/")[1] in {"number", "street", "O", "city"} for part in said[0].split())


def test_a_model_of_pairs_cannot_chat_as_a_bundle_either(runs, bundles, capsys):
    for place in (runs("pairs"), bundles("pairs")):
        assert main(["chat", str(place), "--prompt", "good cake"]) == 2
        assert "a feature-extraction model cannot chat" in capsys.readouterr().err


def test_int8_is_measured_and_evaluated(runs, tmp_path):
    given = {"model_name_or_path": str(runs("several")), "precision": "int8", "output_path": str(tmp_path / "out")}
    folder = export_model({**given, "max_accuracy_drop": 0.5})
    parity = bundle_document(folder)["parity"]
    rows = runs("several") / "data" / "eval.jsonl"
    found = evaluate_model(folder, bootstrap_samples=100)
    assert rows.is_file() and values(found)["label_f1"] == pytest.approx(parity["bundle"]["value"], abs=1e-6)


@pytest.mark.parametrize("kind", list(CASES))
def test_the_readmes_python_gives_grafts_answer(bundles, kind):
    from graft.commands.open_predictors import open_bundle
    from graft.data.example import AnswerExample, Origin, PairExample
    from graft.tasks.feature_extraction import OTHER

    folder = bundles(kind)
    code = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    lines = f"{code}\nimport sys; assert not {{'graft', 'torch', 'transformers'}} & set(sys.modules)"
    command = [sys.executable, "-c", lines]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    text = bundle_document(folder)["prompt"]["example"]
    predictor = open_bundle(folder, [None])["model"]
    origin = Origin("README", 1)
    example = PairExample(text, OTHER, 0.0, origin) if kind == "pairs" else AnswerExample(text, "", origin)
    (answer,) = predictor.generate([example], 1)
    if kind == "pairs":
        assert float(done.stdout) == pytest.approx(float(answer), abs=1e-5)
    elif kind in {"tagged", "spans"}:
        assert done.stdout == f"{list(zip(text.split(), answer.split(), strict=True))!r}\n"
    else:
        assert done.stdout == (f"{json.loads(answer)!r}\n" if kind == "several" else f"{answer}\n")


def test_a_task_without_an_onnx_export_names_the_format_that_has_one(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS["summaries"]()), encoding="utf-8")
    run = tune(tiny_t5_folder(tmp_path), rows, tmp_path / "run", max_steps=1)
    for named in ("onnx", "gguf"):
        with pytest.raises(InputError, match=f"the export to {named} does not support summarization models") as caught:
            export_model({"model_name_or_path": str(run), "format": named, "output_path": str(tmp_path / "x")})
        assert caught.value.problems[0].remedy == "--format hf"


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_another_tokenizer_in_the_folder_does_not_pass(runs, bundles, tmp_path, precision):
    from graft.config import ExportSettings
    from graft.export.judged import judged
    from graft.export.merge import load_judged
    from graft.export.parity_rows import load_parity_rows
    from graft.export.source import open_source
    from graft.export.targets.onnx_encoder import compare
    from graft.progress import Silent

    source = open_source(ExportSettings(model_name_or_path=str(runs("classes"))), Silent())
    reference = judged(source, load_judged(source), load_parity_rows(source, None, 32), Silent())
    folder = shutil.copytree(bundles("classes"), tmp_path / "damaged")
    assert compare(reference, source, folder, precision, 1.0, Silent())["passed"]
    file = folder / "tokenizer.json"
    read = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = read["model"]["vocab"]
    vocabulary["good"], vocabulary["bad"] = vocabulary["bad"], vocabulary["good"]
    file.write_text(json.dumps(read), encoding="utf-8")
    found = compare(reference, source, folder, precision, 1.0, Silent())
    assert not found["passed"] and "the folder's tokenizer reads" in found["reason"]
