import json

import pytest

from graft.cli.main import main
from graft.commands.workflow_convert import converted
from graft.commands.workflow_file import read_workflow
from graft.config import interpolated
from graft.documents import parse_yaml
from walkthrough import OLIVE, OVERFITTING, SLOW

SEVERAL = """\
input_model: {type: HfModel, model_path: a/b, load_kwargs: {revision: main, trust: null}}
workflow_id: mails
seed: 5
training_config: {fp16: true, lr: 1e-3}
data_configs:
  - {name: one, type: X, load_dataset_config: {type: t, params: {data_files: [a.jsonl], split: train}}}
  - {name: two, load_dataset_config: {data_files: b.jsonl}, pre_process_data_config: {max_seq_len: 64}}
passes:
  clean: {type: prepare, train_data_config: one, config: {steps: [html]}}
  first: {type: LoRA, config: {r: 8, train_data_config: one, eval_data_config: two}}
  second: {type: full, training_args: {max_grad_norm: 0.5}, config: {train_data_config: two}}
  third: {type: QLoRA, learning-rate: 3e-4}
output_path: runs/x
"""
DEFAULT_DATA = """\
model: a/b
data_configs: {load_dataset_config: {data_files: a.jsonl}, dataloader_config: {batch_size: 4}}
passes: {dd: {type: near_duplicates}, lora: , ia3: {config: {seed: 3}}}
"""
FLAT = 'lr: 1e-4\nbatch_size: 4\ntext_template: "a {x}\\nb {y}: $${z}"\nfp16: true\nmodel: a/b\n'


@pytest.mark.parametrize(
    "text", [OLIVE, OLIVE + SLOW, OVERFITTING, SEVERAL.replace(", trust: null", ""), DEFAULT_DATA, FLAT]
)
def test_the_converted_file_means_the_same(text):
    document = parse_yaml(text, "w.yaml")
    before = read_workflow(interpolated(document, "w.yaml"), "w.yaml")
    made = converted(document, "w.yaml").text
    short = parse_yaml(made, "s.yaml")
    after = read_workflow(interpolated(short, "s.yaml"), "s.yaml")
    assert not {"data_configs", "training_config", "model", "input_model", "config"} & set(short)
    assert [step.settings for step in after.steps] == [step.settings for step in before.steps]
    assert [step.settings.model_fields_set for step in after.steps] == [
        s.settings.model_fields_set for s in before.steps
    ]
    assert [step.cls for step in after.steps] == [step.cls for step in before.steps]
    assert after.output == before.output
    again = converted(short, "s.yaml")
    assert parse_yaml(again.text, "t.yaml") == short and not again.notes


def test_no_key_is_lost():
    text = SEVERAL + "systems: {local: {type: LocalSystem}}\nevaluators: [{metrics: [accuracy]}]\nlaerning_rate: 3\n"
    made = converted(parse_yaml(text.replace("{r: 8,", "{r: 8, lora_alhpa: 3,"), "w.yaml"), "w.yaml")
    notes = "\n".join(made.notes)
    for said in (
        *("systems: {'local'", "evaluators: [{'metrics'", "laerning_rate: 3  (did you mean learning_rate?)"),
        *(
            "passes.first.config.lora_alhpa: 3  (did you mean lora_alpha?)",
            "data_configs.0.type: X",
            "input_model.type",
        ),
        *("data_configs.0.load_dataset_config.type: t", "data_configs.1.name: two", "trust"),
    ):
        assert said in notes, said
        assert said in made.text
    comments = [line for line in made.text.splitlines() if line.startswith("#")]
    assert "#   input_model.model_path → model_name_or_path" in comments
    assert "#   passes.first.config.r → passes.first.lora_r" in comments
    keys = parse_yaml(made.text, "s.yaml")
    assert keys["passes"]["first"]["type"] == "LoRA" and keys["passes"]["first"]["lora_r"] == 8


def test_names_of_other_tools():
    text = "base_model: a/b\nadapter: lora\nnum_epochs: 2\noptimizer: adamw_torch\nsample_packing: true\n"
    text += "lora_target: [q_proj]\n"
    made = converted(parse_yaml(text + "val_set_size: 0.1\nadapter_x: 1\n", "axolotl.yaml"), "axolotl.yaml")
    assert parse_yaml(made.text, "s.yaml") == {
        "model_name_or_path": "a/b",
        "method": "lora",
        "num_train_epochs": 2,
        "optim": "adamw_torch",
        "target_modules": ["q_proj"],
        "eval_share": 0.1,
    }
    assert [note.partition(":")[0] for note in made.notes] == ["sample_packing", "adapter_x"]
    kept = converted(parse_yaml("adapter: nothing\noptimizer: adamw_torch_8x\n", "a.yaml"), "a.yaml")
    assert len(kept.notes) == 2 and parse_yaml(kept.text, "s.yaml") in ({}, None)


def test_references_become_values_and_secrets_stay_references(monkeypatch):
    monkeypatch.setenv("GRAFT_TEST_KEY", "sesame-sesame")
    text = "passes: {lora: {r: 8, lora_alpha: '${passes.lora.r}', task_name: 'x ${env:GRAFT_TEST_KEY}'}}\n"
    text += "systems: ${env:GRAFT_TEST_KEY}\n"
    made = converted(parse_yaml(text, "w.yaml"), "w.yaml")
    assert "sesame" not in made.text
    short = parse_yaml(made.text, "s.yaml")
    assert short["lora_alpha"] == 8 and short["task_name"] == "x ${env:GRAFT_TEST_KEY}"


def test_the_command_prints_or_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "olive.yaml").write_text(OLIVE, encoding="utf-8")
    assert main(["config", "convert", "olive.yaml"]) == 0
    said = capsys.readouterr()
    assert parse_yaml(said.out, "x")["lora_alpha"] == 32 and "not converted: model.type: PyTorchModel" in said.err
    assert main(["config", "convert", "olive.yaml", "-o", "short.yaml"]) == 0
    assert capsys.readouterr().out == "short.yaml\n"
    assert (tmp_path / "short.yaml").read_text(encoding="utf-8") == said.out
    assert main(["config", "convert", "olive.yaml", "-o", "short.yaml"]) == 2
    assert main(["config", "convert", "olive.yaml", "--json"]) == 0
    capsys.readouterr()
    assert main(["config", "convert", "olive.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == said.out
    (tmp_path / "bad.yaml").write_text("passes: [lora]\n", encoding="utf-8")
    assert main(["config", "convert", "bad.yaml"]) == 2
    assert "bad.yaml:1:9: passes must be a mapping" in capsys.readouterr().err
    assert main(["config", "convert"]) == 2
