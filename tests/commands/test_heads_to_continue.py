"""A classification head goes on with its classes, in their order."""

import json

import pytest

from graft.commands.finetune import finetune, plan
from graft.errors import InputError
from small_runs import tune
from tiny_task_models import tiny_bert_folder

TEXTS = {"good": "a fine day number", "bad": "an awful day number", "so-so": "a plain day number"}


def rows(path, *labels):
    lines = [{"text": f"{TEXTS.get(label, label)} {n}", "label": label} for n in range(8) for label in labels]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def first(tmp_path):
    model = tiny_bert_folder(tmp_path / "bert")
    data = rows(tmp_path / "first.jsonl", *TEXTS)
    return tune(model, data, tmp_path / "run", max_steps=2, task="text-classification")


def onward(first, data, tmp_path):
    given = {"model_name_or_path": str(first), "data_files": str(data), "output_path": str(tmp_path / "second")}
    return given | {"max_steps": 2, "learning_rate": 1e-12, "bootstrap_samples": 100}


def test_the_head_continues(first, tmp_path):
    from safetensors.torch import load_file

    second = finetune(onward(first, tmp_path / "first.jsonl", tmp_path))
    before, after = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (first, second))
    assert any("classifier" in name for name in before) and before.keys() == after.keys()
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)
    scores = json.loads((second / "evaluation.json").read_text(encoding="utf-8"))["predictors"]
    assert scores["previous"]["accuracy"] == scores["tuned"]["accuracy"]


def test_a_class_that_the_head_lacks_is_named(first, tmp_path):
    data = rows(tmp_path / "second.jsonl", "good", "great")
    with pytest.raises(InputError, match="no class 'great'") as caught:
        plan(onward(first, data, tmp_path))
    assert "bad, good, so-so" in str(caught.value)


def test_rows_without_one_of_the_classes_keep_the_head_and_say_so(first, tmp_path):
    planned = plan(onward(first, rows(tmp_path / "second.jsonl", "so-so", "good"), tmp_path))
    assert planned.encoding.label_space.names == ("bad", "good", "so-so")
    assert any("the rows have no bad" in said.why for said in planned.inferred)
