"""Going on: from a run or an adapter with new rows, and with more steps of the same run."""

import json
import shutil

import pytest

from graft.cli.main import main
from graft.cli.results import print_evaluation
from graft.commands.finetune import finetune, plan
from graft.errors import InputError, Interrupted
from graft.progress import Silent
from graft.training.checkpoints import whole_checkpoints

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)

    @property
    def text(self):
        return "\n".join(self.said)


def weights(run):
    return (run / "adapter" / "adapter_model.safetensors").read_bytes()


def manifest(run):
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture
def first(given):
    return finetune(given | {"evaluate": False, "lora_r": 4, "target_modules": "q_proj,v_proj"})


@pytest.fixture
def again(given, first, tmp_path):
    """Settings that continue from ``first``."""
    return {
        "model_name_or_path": str(first),
        "data_files": given["data_files"],
        "output_path": str(tmp_path / "second"),
        "max_steps": 3,
        "eval_steps": 3,
        "per_device_train_batch_size": 8,
        "bootstrap_samples": 100,
        "early_stopping_patience": 0,
    }


def test_a_run_as_model_continues_from_its_adapter(again, first):
    from safetensors.torch import load

    second = finetune(again | {"learning_rate": 1e-12})
    before, after = load(weights(first)), load(weights(second))
    assert before.keys() == after.keys()
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)
    assert any(tensor.abs().max() > 0 for name, tensor in after.items() if "lora_B" in name)
    said = manifest(second)
    assert said["continued_from"]["path"] == "../run"
    assert said["continued_from"]["sha256"] == manifest(first)["adapter"]["sha256"]
    assert said["base"]["sha256"] == manifest(first)["base"]["sha256"]
    assert said["settings"]["lora_r"] == 4 and said["settings"]["target_modules"] == ["q_proj", "v_proj"]


def test_the_comparison_names_base_previous_and_tuned(again, capsys):
    second = finetune(again)
    document = json.loads((second / "evaluation.json").read_text(encoding="utf-8"))
    assert list(document["predictors"]) == ["base", "previous", "tuned"]
    pairs = [(d["from"], d["to"]) for d in document["differences"] if d["metric"] == "accuracy"]
    assert pairs == [("previous", "tuned"), ("base", "tuned")]
    print_evaluation(document)
    assert "previous → tuned" in capsys.readouterr().out
    assert "previous" in (second / "report.html").read_text(encoding="utf-8")
    assert "the run that it continues" in (second / "README.md").read_text(encoding="utf-8")


def test_positional_words_continue_a_run(first, tone, tmp_path, capsys):
    line = ["finetune", str(first), str(tone), "-o", str(tmp_path / "second"), "--max_steps", "2", "--no_evaluate"]
    assert main(line) == 0, capsys.readouterr().err
    assert manifest(tmp_path / "second")["continued_from"]["name"] == "run"


@pytest.mark.parametrize(
    ("option", "value", "both"),
    [
        ("lora_r", 8, ("8", "4")),
        ("target_modules", "k_proj", ("k_proj", "q_proj,v_proj")),
        ("use_dora", True, ("True",)),
    ],
)
def test_an_option_other_than_the_adapters_is_refused_with_both_values(again, option, value, both):
    with pytest.raises(InputError, match=option) as caught:
        plan(again | {option: value})
    assert all(text in str(caught.value) for text in both)


def test_another_method_is_refused_and_the_same_options_are_not(again):
    with pytest.raises(InputError, match="--method ia3"):
        plan(again | {"method": "ia3"})
    assert plan(again | {"method": "lora", "lora_r": 4}).settings.lora_r == 4


def test_what_else_is_wrong_is_said_together(again, tmp_path):
    with pytest.raises(InputError) as caught:
        plan(again | {"lora_r": 8, "data_files": str(tmp_path / "none.jsonl")})
    assert "lora_r" in str(caught.value) and "none.jsonl" in str(caught.value)


def test_the_shape_of_the_prompts_is_the_runs_and_another_one_is_said(given, tmp_path):
    first = finetune(given | {"evaluate": False, "instruction": "Which tone?", "system_prompt": "Be brief."})
    again = {"model_name_or_path": str(first), "data_files": given["data_files"], "output_path": str(tmp_path / "b")}
    planned = plan(again)
    prompt = planned.tokenizer.decode(planned.rows[0].input_ids)
    assert "Which tone?" in prompt and "Be brief." in prompt
    other = plan(again | {"instruction": "Good or bad?"})
    assert "Good or bad?" in other.tokenizer.decode(other.rows[0].input_ids)
    why = {said.name: said.why for said in other.inferred}
    assert "Which tone?" in why["instruction"]


def test_the_chat_template_of_the_run_is_used_on(given, tmp_path):
    first = finetune(given | {"evaluate": False, "chat_template": TEMPLATE})
    assert (first / "model" / "chat_template.jinja").read_text(encoding="utf-8") == TEMPLATE
    again = {"model_name_or_path": str(first), "data_files": given["data_files"], "output_path": str(tmp_path / "b")}
    assert plan(again).tokenizer.chat_template == TEMPLATE


def test_the_model_folder_of_a_run_is_refused_with_the_run_as_remedy(again, first):
    with pytest.raises(InputError, match="untuned base of a run") as caught:
        plan(again | {"model_name_or_path": str(first / "model")})
    assert f"graft finetune {first} DATA" in str(caught.value)


def test_evaluating_the_model_folder_of_a_run_says_that_it_is_untuned(first, tone):
    from graft.commands.evaluate import evaluate_model

    notes = Notes()
    evaluate_model(first / "model", tone, reporter=notes, max_eval_samples=4, bootstrap_samples=100, output_path=None)
    assert "untuned base of a run" in notes.text


def test_the_output_may_not_be_the_run_that_is_continued(again, first):
    before = weights(first)
    with pytest.raises(InputError, match="has to stay"):
        finetune(again | {"output_path": str(first), "overwrite": True})
    assert weights(first) == before


def test_a_full_run_continues_from_its_tuned_weights(given, tmp_path):
    from safetensors.torch import load_file

    full = {"method": "full", "lora_dropout": None, "evaluate": False, "learning_rate": 1e-3}
    first = finetune({k: v for k, v in (given | full).items() if v is not None})
    again = {"model_name_or_path": str(first), "data_files": given["data_files"], "output_path": str(tmp_path / "b")}
    second = finetune(again | {"max_steps": 2, "learning_rate": 1e-12, "bootstrap_samples": 100})
    before, after = (load_file(run / "model" / "model.safetensors") for run in (first, second))
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before)
    assert manifest(second)["method"]["name"] == "full"
    assert manifest(second)["base"]["sha256"] == manifest(first)["base"]["sha256"]
    document = json.loads((second / "evaluation.json").read_text(encoding="utf-8"))
    assert list(document["predictors"]) == ["base", "previous", "tuned"]


def test_a_full_run_is_a_base_for_lora(given, tmp_path):
    from safetensors.torch import load_file

    full = {"method": "full", "evaluate": False, "learning_rate": 1e-3}
    first = finetune({k: v for k, v in (given | full).items() if k != "lora_dropout"})
    over = {"model_name_or_path": str(first), "method": "lora", "output_path": str(tmp_path / "b"), "lora_r": 2}
    second = finetune({k: v for k, v in (given | over).items() if k != "lora_dropout"})
    one, other = (load_file(run / "model" / "model.safetensors") for run in (first, second))
    assert all(one[name].equal(other[name]) for name in one)
    document = json.loads((second / "evaluation.json").read_text(encoding="utf-8"))
    assert list(document["predictors"]) == ["base", "tuned"]


def test_a_finished_run_is_said_to_be_finished(first, capsys):
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert main(["finetune", "--resume", "--output_path", str(first)]) == 0
    assert "is finished" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before


def test_resuming_after_the_last_step_trains_nothing(given, tmp_path):
    """A process killed in the final evaluation leaves a run that is "running", with its last checkpoint."""
    whole = finetune(given)
    expected = weights(whole)
    document = manifest(whole)
    (whole / "manifest.json").write_text(json.dumps(document | {"status": "running"}), encoding="utf-8")
    shutil.rmtree(whole / "adapter")
    (whole / "evaluation.json").unlink()
    metrics = (whole / "metrics.jsonl").read_text(encoding="utf-8")
    finetune({"resume": True, "output_path": str(whole)})
    assert weights(whole) == expected
    assert (whole / "metrics.jsonl").read_text(encoding="utf-8") == metrics
    now = manifest(whole)
    assert now["status"] == "finished" and now["training"]["steps"] == 6
    assert now["training"]["best_step"] == document["training"]["best_step"]
    assert now["training"]["rows_per_second"] == document["training"]["rows_per_second"]
    assert (whole / "evaluation.json").is_file()


def test_resuming_after_early_stopping_trains_nothing(given):
    settings = given | {"max_steps": 40, "eval_steps": 1, "learning_rate": 0.5, "early_stopping_patience": 2}
    whole = finetune(settings | {"evaluate": False})
    document = manifest(whole)
    assert document["training"]["early_stopped"] and document["training"]["steps"] < 40
    expected = weights(whole)
    (whole / "manifest.json").write_text(json.dumps(document | {"status": "running"}), encoding="utf-8")
    finetune({"resume": True, "output_path": str(whole)})
    assert weights(whole) == expected
    assert manifest(whole)["training"]["early_stopped"]
    assert manifest(whole)["training"]["steps"] == document["training"]["steps"]


def test_a_finished_run_is_extended(first):
    before = weights(first)
    finetune({"resume": True, "output_path": str(first), "max_steps": 10})
    said = manifest(first)
    assert said["training"]["steps"] == 10 and said["status"] == "finished"
    assert said["extensions"] == [{"from_step": 6, "steps": 10}]
    assert [path.name for path in whole_checkpoints(first / "checkpoints")][-1] == "checkpoint-10"
    lines = [json.loads(line) for line in (first / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rates = {line["step"]: line["learning_rate"] for line in lines if "learning_rate" in line}
    assert rates[6] < rates[7] and rates[10] < rates[7]  # the schedule of ten steps from the seventh on
    assert weights(first) != before
    with pytest.raises(InputError, match="fewer"):
        finetune({"resume": True, "output_path": str(first), "max_steps": 8})


def test_an_extended_run_is_resumed_bit_for_bit(given, tmp_path):
    from commands.test_finetune import StopAt

    quiet = given | {"evaluate": False}
    one = finetune(quiet)
    shutil.copytree(one, tmp_path / "two")
    finetune({"resume": True, "output_path": str(one), "max_steps": 12})
    with pytest.raises(Interrupted):
        finetune({"resume": True, "output_path": str(tmp_path / "two"), "max_steps": 12}, StopAt(8))
    finetune({"resume": True, "output_path": str(tmp_path / "two")})
    assert weights(one) == weights(tmp_path / "two")


def test_epochs_extend_a_run_too(given):
    run = finetune({k: v for k, v in (given | {"num_train_epochs": 1, "evaluate": False}).items() if k != "max_steps"})
    steps = manifest(run)["training"]["steps"]
    finetune({"resume": True, "output_path": str(run), "num_train_epochs": 2})
    assert manifest(run)["training"]["steps"] == 2 * steps


def test_a_finished_run_without_checkpoints_is_not_trained_anew(first):
    shutil.rmtree(first / "checkpoints")
    before = weights(first)
    with pytest.raises(InputError, match="no complete checkpoint"):
        finetune({"resume": True, "output_path": str(first), "max_steps": 10})
    assert weights(first) == before


@pytest.mark.parametrize("changed", ["data", "template", "tokenizer"])
def test_resume_refuses_inputs_that_have_changed(given, tiny_llama, tmp_path, changed):
    from commands.test_finetune import StopAt

    model = shutil.copytree(tiny_llama, tmp_path / "model")
    template = tmp_path / "chat.jinja"
    text = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
    )
    template.write_text(text, encoding="utf-8")
    settings = given | {"model_name_or_path": str(model), "chat_template": str(template), "evaluate": False}
    with pytest.raises(Interrupted):
        finetune(settings, StopAt(3))
    file = {"data": tmp_path / "tone.jsonl", "template": template, "tokenizer": model / "tokenizer_config.json"}[
        changed
    ]
    content = file.read_text(encoding="utf-8")
    file.write_text(content.replace("fine day", "fine night") if changed == "data" else content + " ", encoding="utf-8")
    named = {"data": "tone.jsonl", "template": "chat template", "tokenizer": "tokenizer"}[changed]
    with pytest.raises(InputError, match="changed since") as caught:
        finetune({"resume": True, "output_path": given["output_path"]})
    assert named in str(caught.value) and "another --output_path" in str(caught.value)
