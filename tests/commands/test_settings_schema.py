import json
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from docs.pages import PAGES, blocks
from graft.cli.main import main
from graft.commands.workflow_file import read_workflow
from graft.commands.workflow_schema import workflow_schema
from graft.config import interpolated
from graft.documents import parse_yaml
from graft.errors import InputError
from graft.planning.settings import settings_class
from walkthrough import FILES, OLIVE

SCHEMA = workflow_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
OF_DOCS = [
    block.text
    for page in PAGES
    for block in blocks(page)
    if block.language == "yaml"
    and not str(block.title).startswith("tasks/")  # of lm-eval
    and block.title not in ("mails.yaml", "criteria.yaml")  # mistakes on purpose; questions for raters
]
ACCEPTED = [
    *OF_DOCS,
    *FILES.values(),
    "lr: 1e-4\nlora-alpha: 3\nfp16: yes\nlabel_names: [yes, no]\nmax_steps: -1\n",
    'learning_rate: "1e-4"\nseed: "7"\nprecision: bf16\non_long: raise\ntarget_modules: q_proj,v_proj\n',
    "training_arguments: {adam_beta2: 0.9}\nreport_to: tensorboard\npush_to_hub: false\ndo_train: true\n",
    "loss: own.py:Loss\nloss_arguments: {gamma: 2}\nmethod: own.py:METHOD\n",
    "model: a/b\npasses: {lora: }\n",
    "model: {type: hfmodel, model_path: a, load_kwargs: {revision: main}}\npasses: {first: {type: QLORA, r: 8}}\n",
    "data_configs: {name: a, load_dataset_config: {params: {data_files: a.json}}}\npasses: {full: {}}\n",
    "passes: {clean: {type: prepare, steps: [html]}, dd: {type: near_duplicates, config: {seed: 3}}}\n",
    "passes: {size: {type: 'own.py:Size', config: {anything: 1}}}\n",
    "passes: {lora: {training_args: {max_grad_norm: 0.5}, train_data_config: a}}\ndata_configs: [{name: a}]\n",
]
UNKNOWN = [
    ("learning_rat: 1e-4\n", "learning_rat"),
    ("passes: {lora: {type: LoRA, config: {lora_alhpa: 3}}}\n", "lora_alhpa"),
    ("passes: {lora: {lora_alhpa: 3}}\n", "lora_alhpa"),
    ("passes: {lora: {type: LoRA}}\npases: {}\n", "pases"),
    ("passes: {x: {type: LoRAX}}\n", "LoRAX"),
    ("passes: {x: {config: {}}}\n", "x"),
    ("passes: {clean: {type: prepare, config: {stepps: [html]}}}\n", "stepps"),
    ("passes: {html: {learning_rate: 3}}\n", "learning_rate"),
    ("training_config: {fp17: true}\n", "fp17"),
    (OLIVE.replace("model_path", "model_pth"), "model_pth"),
    (OLIVE.replace("split:", "splt:"), "splt"),
    (OLIVE.replace("text_template", "text_templat"), "text_templat"),
    (OLIVE.replace('    type: "Hugging', '    typ: "Hugging'), "typ"),
    ("passes: {lora: {}}\nlearning_rate: fast\n", "learning_rate"),
    ("passes: {lora: {r: 0}}\n", "r must be"),
    ("precision: float8\n", "precision"),
]


def errors(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(parse_yaml(text, "w.yaml"))]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    text = json.dumps(SCHEMA)
    assert len(text) < 600_000 and "#/$defs/settings/properties/learning_rate" in text
    rate = SCHEMA["$defs"]["settings"]["properties"]["learning_rate"]
    assert (
        "peak learning rate" in rate["description"]
        and {"type": "number", "exclusiveMinimum": 0, "maximum": 10} in rate["anyOf"]
    )
    assert SCHEMA["$defs"]["settings"]["properties"]["lr"]["$ref"].endswith("/learning_rate")
    names = {name for name in settings_class().model_fields if name not in SCHEMA["properties"]}
    assert not names


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_graft_accepts_is_valid(text):
    assert errors(text) == []


@pytest.mark.parametrize("text", [text for text in ACCEPTED if ".py:" not in text and "search_space" not in text])
def test_and_it_is_accepted(text):
    document = interpolated(parse_yaml(text, "w.yaml"), "w.yaml")
    passes = {} if "passes" in document or "training_config" not in document else {"passes": {"lora": {}}}
    assert read_workflow({**document, **passes}, "w.yaml").steps


@pytest.mark.parametrize(("text", "named"), UNKNOWN)
def test_what_graft_refuses_is_not_valid(text, named):
    with pytest.raises(InputError) as caught:
        read_workflow(parse_yaml(text, "w.yaml"), "w.yaml")
    assert named in str(caught.value)
    assert errors(text)


@pytest.mark.parametrize("text", ["passes: {ia3: {r: 8}}", "passes: {x: {type: LoHa, config: {quantize_base: int4}}}"])
def test_an_option_of_another_method_is_not_valid(text):
    assert errors(text)


def test_a_pass_says_which_settings_it_takes():
    assert errors("passes: {lora: {type: LoRA, config: {steps: [html]}}}")
    assert errors("passes: {clean: {type: prepare, config: {lora_r: 3}}}")
    assert not errors("passes: {clean: {type: LoRA, config: {lora_r: 3}}}")


@pytest.mark.parametrize("name", ["prepare", "evaluate", "auto-opt", "doctor", "chat", "generate_adapter", "run"])
def test_every_command_has_a_schema(name, capsys, tmp_path):
    assert main(["config", "schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema") and schema["properties"]
    unknown = list(Draft202012Validator(schema).iter_errors({"no_such_setting": 1}))
    assert len(unknown) == 1 and "no_such_setting" in unknown[0].message
    assert main(["config", "schema", name, "-o", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8")) == schema


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["config", "schema", "prepar"]) == 2
    assert "did you mean prepare?" in capsys.readouterr().err
    assert main(["config", "shema"]) == 2 and main(["config"]) == 2


def test_neither_imports_torch(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text(OLIVE.replace("path/to/your/dataset.json", str(path)), encoding="utf-8")
    words = (["config", "schema", "-o", str(tmp_path / "s.json")], ["config", "check", str(path)])
    code = (
        "import sys; from graft.cli.main import main\n"
        f"print(*map(main, {words!r}))\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 0\nFalse False\n"), done.stdout + done.stderr
