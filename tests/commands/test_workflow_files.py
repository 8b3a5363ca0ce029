import json
from pathlib import Path

import pytest
import yaml

from graft.cli.arguments import parse
from graft.cli.finetune import read_settings
from graft.cli.main import main
from graft.commands.passes import missing
from graft.commands.run import requirements, run_workflow
from graft.commands.workflow_file import read_workflow
from graft.config import FinetuneSettings
from graft.documents import read_yaml
from graft.errors import InputError
from graft.planning.settings import finetune_settings
from graft.progress import Silent
from tiny_models import tiny_model_folder
from walkthrough import OLIVE, OVERFITTING, SLOW

OWN_PASS = '''
from pathlib import Path
from graft.config import Settings, setting

class Count(object):
    """How large the adapter is."""

    class Config(Settings):
        unit: int = setting(1, "bytes a unit", gt=0)

    needs = ()

    def __init__(self, settings):
        self.settings = settings

    def run(self, artifact, context):
        size = sum(file.stat().st_size for file in (artifact / "adapter").iterdir())
        context.output.mkdir(parents=True)
        (context.output / "size.txt").write_text(str(size // self.settings.unit), encoding="utf-8")
        return context.output

class Needy(Count):
    needs = (("auto-opt", "no_such_module_for_graft"),)

def function(artifact, context):
    return artifact
'''


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "gpt2")


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "dataset.json"
    rows = [{"input": f"How are you, {name}?", "output": f"{name} is fine"} for name in map(chr, range(97, 121))]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.fixture
def walkthrough(gpt2, dataset, tmp_path):
    path = tmp_path / "olive-config.yaml"
    text = OLIVE.replace("microsoft/DialoGPT-medium", str(gpt2)).replace("path/to/your/dataset.json", str(dataset))
    path.write_text(text, encoding="utf-8")
    return path


def settings_of(path, **over) -> FinetuneSettings:
    (step,) = read_workflow(read_yaml(path), str(path), over).steps
    return step.settings


def test_the_walkthroughs_file_is_read_as_it_stands(walkthrough, gpt2, dataset):
    settings = settings_of(walkthrough)
    assert settings.model_name_or_path == str(gpt2)
    assert settings.data_files == (str(dataset),) and settings.train_split == "train"
    assert settings.text_template == "User: {input}\nAssistant: {output}"
    assert (settings.method, settings.lora_r, settings.lora_alpha) == ("lora", 16, 32)
    assert settings.target_modules == ("c_attn", "c_proj") and settings.modules_to_save == ("ln_f", "lm_head")


def test_the_walkthroughs_file_runs_with_setup(walkthrough, tmp_path, capsys):
    output = tmp_path / "out"
    quick = ["--max_steps", "2", "--evaluate", "false", "--output_path", str(output)]
    assert main(["run", "--config", str(walkthrough), "--setup", *quick]) == 0
    said = capsys.readouterr()
    assert "all required packages are installed" in said.err
    assert "report.html" in said.out
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "finished" and manifest["settings"]["target_modules"] == ["c_attn", "c_proj"]
    adapter = json.loads((output / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert set(adapter["modules_to_save"]) == {"ln_f", "lm_head"} and adapter["fan_in_fan_out"]


def test_a_runs_own_config_does_it_again(given, tmp_path):
    assert main(["finetune", "--config", _written(tmp_path, given | {"evaluate": False, "max_steps": 2})]) == 0
    first, again = Path(given["output_path"]), tmp_path / "again"
    assert main(["run", "--config", str(first / "config.yaml"), "--output_path", str(again)]) == 0
    name = "adapter/adapter_model.safetensors"
    assert (first / name).read_bytes() == (again / name).read_bytes()


def _written(folder, settings):
    path = folder / "given.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return str(path)


def test_the_walkthroughs_remedies_are_settings(walkthrough, tmp_path):
    document = read_yaml(walkthrough)
    for text in (SLOW, OVERFITTING):
        document |= yaml.safe_load(text)
    (step,) = read_workflow(document, "x").steps
    assert (step.settings.lora_alpha, step.settings.lora_dropout, step.settings.weight_decay) == (16, 0.1, 0.01)
    assert step.settings.lr_scheduler_type == "cosine"
    assert step.settings.training_arguments == {"fp16": True, "dataloader_num_workers": 4, "optim": "adamw_torch"}


def test_finetune_reads_the_same_files(walkthrough, tmp_path):
    """One over the other: the walkthrough's workflow, its two remedies, and what is typed."""
    slow, against = tmp_path / "slow.yaml", tmp_path / "overfitting.yaml"
    slow.write_text(SLOW + "max_grad_norm: 0.5\n", encoding="utf-8")
    against.write_text(OVERFITTING, encoding="utf-8")
    files = [str(walkthrough), str(slow), str(against)]
    settings = read_settings(parse(["--config", *files, "--max_steps", "7"]))
    assert settings.target_modules == ("c_attn", "c_proj") and settings.max_steps == 7
    assert (settings.method, settings.lora_alpha, settings.weight_decay) == ("lora", 16, 0.01)
    assert {"fp16": True, "max_grad_norm": 0.5}.items() <= settings.training_arguments.items()
    against.write_text("passes: {lora: {type: LoRA}, size: {type: Other}}", encoding="utf-8")
    with pytest.raises(InputError, match="this file has: lora, size"):
        read_settings(parse(["--config", str(against)]))


def test_the_command_line_wins(walkthrough):
    settings = settings_of(walkthrough, r="4", max_steps="3", max_grad_norm="0.5")
    assert (settings.lora_r, settings.max_steps, settings.training_arguments) == (4, 3, {"max_grad_norm": "0.5"})


def test_data_configurations_are_chosen_by_name(walkthrough):
    document = read_yaml(walkthrough)
    document["data_configs"].append(
        {"name": "other", "type": "HuggingfaceContainer", "load_dataset_config": {"data_files": "eval.json"}}
    )
    document["passes"]["lora"]["config"] |= {"train_data_config": "custom_dataset", "eval_data_config": "other"}
    (step,) = read_workflow(document, "x").steps
    assert step.settings.eval_data_files == ("eval.json",)
    assert step.settings.data_files[0].endswith("dataset.json")
    document["passes"]["lora"]["config"]["eval_data_config"] = "othr"
    with pytest.raises(InputError, match=r"unknown data configuration 'othr'(.|\n)*did you mean other"):
        read_workflow(document, "x")


def test_everything_unknown_is_said_at_once(walkthrough):
    document = read_yaml(walkthrough)
    document["pases"] = {}
    document["model"]["config"]["model_pth"] = "x"
    document["data_configs"][0]["load_dataset_config"]["data_file"] = "x"
    document["passes"]["lora"]["config"]["lora_alhpa"] = 3
    document["passes"]["second"] = {"type": "LoRAX"}
    with pytest.raises(InputError) as caught:
        read_workflow(document, "w.yaml")
    said = str(caught.value)
    for name, near in (
        ("pases", "passes"),
        ("model_pth", "model_path"),
        ("data_file", "data_files"),
        ("lora_alhpa", "lora_alpha"),
    ):
        assert name in said and f"did you mean {near}" in said, name
    assert "unknown pass type 'LoRAX'" in said
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("passes: {}\nmodel: {config: {model_path: x}}", "there are no passes"),
        ("passes: [lora]", "must be a mapping, not"),
        (
            "passes: {lora: {type: LoRA}}\nmodel: {type: ONNXModel, config: {model_path: x}}",
            "cannot tune a model of type",
        ),
        ("passes: {lora: {type: LoRA, config: {r: -1}}}", "r must be a whole number above 0, not -1"),
    ],
)
def test_what_is_out_of_place_is_said(text, said):
    with pytest.raises(InputError, match=said):
        read_workflow(yaml.safe_load(text), "w.yaml")


def test_a_pass_of_ones_own_takes_what_the_one_before_left(walkthrough, tmp_path):
    (tmp_path / "own.py").write_text(OWN_PASS, encoding="utf-8")
    document = read_yaml(walkthrough)
    document["passes"]["size"] = {"type": f"{tmp_path / 'own.py'}:Count", "config": {"unit": 1}}
    over = {"max_steps": 1, "evaluate": False}
    workflow = read_workflow(document | {"output_path": str(tmp_path / "flow")}, "w.yaml", over)
    first, second = run_workflow(workflow, Silent())
    assert (first, second) == (tmp_path / "flow" / "lora", tmp_path / "flow" / "size")
    files = sum(file.stat().st_size for file in (first / "adapter").iterdir())
    assert (second / "size.txt").read_text(encoding="utf-8") == str(files)
    document["passes"]["size"]["config"] = {"unit": 0}
    with pytest.raises(InputError, match="unit"):
        read_workflow(document, "w.yaml")
    document["passes"]["size"] = {"type": f"{tmp_path / 'own.py'}:function"}
    with pytest.raises(InputError, match="is not a pass: expected a class, not a"):
        read_workflow(document, "w.yaml")


def test_what_a_pass_lacks_is_named_before_anything_is_done(walkthrough, tmp_path):
    (tmp_path / "own.py").write_text(OWN_PASS, encoding="utf-8")
    document = read_yaml(walkthrough) | {"output_path": str(tmp_path / "flow")}
    document["passes"]["size"] = {"type": f"{tmp_path / 'own.py'}:Needy"}
    workflow = read_workflow(document, "w.yaml")
    with pytest.raises(InputError, match=r"no_such_module_for_graft(.|\n)*graft-slm\[auto-opt\]"):
        run_workflow(workflow, Silent())
    assert not (tmp_path / "flow").exists()
    assert missing({step.name: step.cls for step in workflow.steps}) == {"auto-opt": "no_such_module_for_graft"}
    assert any(line.startswith("onnxruntime") for line in requirements({"auto-opt": "onnxruntime"}))


def test_dry_run_shows_the_settings_and_does_nothing(walkthrough, tmp_path, capsys):
    secret = ("--token", "hf_secret")
    assert main(["run", str(walkthrough), "--dry_run", "--output_path", str(tmp_path / "no"), *secret]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1. lora (LoRA)\n   ") and "\n   lora_alpha: 32.0\n" in out and "hf_secret" not in out
    assert main(["run", str(walkthrough), "--dry_run", "--json", "--output_path", str(tmp_path / "no"), *secret]) == 0
    out = capsys.readouterr().out
    (shown,) = json.loads(out)
    assert shown["pass"] == "lora" and shown["settings"]["lora_alpha"] == 32
    assert shown["settings"]["lora_r"] == 16 and shown["settings"]["method"] == "lora"  # given, though the defaults
    assert "hf_secret" not in out
    assert not (tmp_path / "no").exists()
    assert main(["run"]) == 2


def test_settings_and_training_arguments_in_one_mapping():
    settings = finetune_settings({"lr": 1e-4, "max-steps": 3, "adam_beta2": 0.9})
    assert (settings.learning_rate, settings.max_steps) == (1e-4, 3)
    assert settings.training_arguments == {"adam_beta2": 0.9}
    with pytest.raises(InputError, match="did you mean adam_beta2"):
        finetune_settings({"adam_beta3": 0.9, "learning_rat": 1})


def test_passes_that_contradict_themselves_are_refused_before_the_first_one():
    second = {"type": "LoRA", "config": {"save_strategy": "no", "load_best_model_at_end": True}}
    third = {"type": "LoRA", "config": {"max_steps": 5, "num_train_epochs": 2}}
    passes = {"a": {"type": "LoRA"}, "b": second, "c": third}
    with pytest.raises(InputError, match=r"(?s)--load_best_model_at_end would do nothing.*--num_train_epochs 2 would"):
        read_workflow({"passes": passes}, "w.yaml")
