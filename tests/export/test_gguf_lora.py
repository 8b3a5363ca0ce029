"""LoRA adapters as GGUF files of their own, active in the real llama.cpp."""

import json

import pytest

pytest.importorskip("xllamacpp")

from graft.cli.main import main
from graft.commands.export import export_model
from graft.errors import InputError
from graft.runs.evaluation_document import read_evaluation
from small_runs import bundle_document, tune
from tiny_models import tiny_model_folder


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    made = [{"prompt": f"{word} {n}", "completion": f"{word[::-1]} {n}"} for n in range(8) for word in ("one", "ಭಾಷೆ")]
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path


def exported(run, out, **settings):
    given = {"model_name_or_path": str(run), "format": "gguf", "adapter": "switch", "output_path": str(out)}
    return bundle_document(export_model({"precision": "float32", **given, **settings}))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("scaling", [{}, {"use_rslora": True, "lora_alpha": 24}])
def test_the_adapter_apart_answers_as_the_judged_model(family, scaling, rows, tmp_path):
    model = tiny_model_folder(tmp_path, family, width=64)
    run = tune(model, rows, tmp_path / "run", max_steps=25, **scaling)
    document = exported(run, tmp_path / "out")
    parity = document["parity"]
    assert parity["greatest_logit_difference"] < 1e-4
    assert parity["answers_equal"] == parity["ends_identical"] == [8, 8]
    (name,) = document["adapters"]
    entry = document["adapters"][name]
    assert (tmp_path / "out" / entry["file"]).is_file() and entry["ranks"] == [8]
    lines = (tmp_path / "out" / "Modelfile").read_text(encoding="utf-8").splitlines()
    assert f"ADAPTER ./{entry['file']}" in lines and f"FROM ./{document['file']}" in lines


def test_base_and_adapter_are_asked_by_name(run, tone, tmp_path, capsys):
    exported(run, tmp_path / "out")
    line = ["evaluate", str(tmp_path / "out"), "--data_files", str(tone), "--max_eval_samples", "16"]
    assert main([*line, "-o", str(tmp_path / "e")]) == 0
    assert set(json.loads((tmp_path / "e" / "evaluation.json").read_text("utf-8"))["predictors"]) == {"base", run.name}
    assert "gguf float32" in read_evaluation(run).predictors
    capsys.readouterr()
    assert main(["chat", str(tmp_path / "out"), "--prompt", "what a joy number 3", "--adapter", run.name]) == 0
    assert capsys.readouterr().out.strip() == "good"
    assert main(["chat", str(tmp_path / "out"), "--prompt", "x", "--adapter", "other"]) == 2
    assert "no adapter 'other'" in capsys.readouterr().err


def test_adapters_that_are_more_than_two_matrices_are_refused(rows, learned, tmp_path):
    run = tune(learned, rows, tmp_path / "dora", max_steps=2, use_dora=True)
    with pytest.raises(InputError, match="DoRA"):
        exported(run, tmp_path / "out")
    with pytest.raises(InputError, match="the model has no adapter"):
        exported(learned, tmp_path / "out")
    assert not (tmp_path / "out").exists()
