"""Passes of a workflow that prepare data."""

import json

import pytest
import yaml

from graft.cli.main import main
from graft.commands.workflow_file import read_workflow
from graft.data.steps import STEPS
from graft.errors import InputError
from graft.runs.manifest import read_data, read_run
from tiny_models import tiny_model_folder

OWN_STEP = """
from dataclasses import replace
from graft.config import Settings, setting
from graft.data.steps import each_row

class Config(Settings):
    louder: bool = setting(False, "write inputs in capitals")

class Loud:
    name, title, safe, Config = "loud", "write inputs in capitals", False, Config

    def apply(self, sides, context):
        def change(row, side):
            return replace(row, columns={**row.columns, "input": row.columns["input"].upper()})
        return each_row(sides, change)
"""


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [{"input": f" How are you, {name}? ", "output": f"{name} is fine"} for name in map(chr, range(97, 121))]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"input": "no answer"}]), encoding="utf-8")
    return path


def run(folder, document, code=0):
    path = folder / "flow.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert main(["run", "--config", str(path)]) == code
    return folder / "flow"


def test_training_goes_on_with_what_data_passes_left(rows, tmp_path):
    data = [{"name": "rows", "load_dataset_config": {"data_files": str(rows)}}]
    quick = {"type": "LoRA", "config": {"max_steps": 1, "evaluate": False, "data_files": str(rows)}}
    passes = {"clean": {"type": "prepare", "steps": "unreadable"}, "trim": {"type": "blanks"}, "tune": quick}
    model = str(tiny_model_folder(tmp_path, "gpt2"))
    common = {"model": model, "data_configs": data, "output_path": str(tmp_path / "flow"), "seed": 7}
    flow = run(tmp_path, {**common, "passes": passes})
    first, second = read_data(flow / "clean"), read_data(flow / "trim")
    assert {step.name: step.counts for step in first.steps}["unreadable"] == {"dropped": 1}
    assert [step.name for step in second.steps] == ["blanks"] and second.seed == 7
    assert second.sources["train"].path == str(flow / "clean")
    trained = read_run(flow / "tune")
    assert trained.data.train is not None and trained.data.train.path == str(flow / "trim")
    assert trained.base is not None and trained.base.name == model


def test_every_step_is_a_pass_and_unknown_ones_are_named(rows):
    common = {"data_files": str(rows)}
    for name in STEPS.names():
        (step,) = read_workflow({**common, "passes": {name: {}}}, "x").steps
        assert step.settings.data_files == (str(rows),)
    with pytest.raises(InputError, match=r"the types are: .*prepare.*blanks"):
        read_workflow({**common, "passes": {"x": {"type": "unknowable"}}}, "x")
    with pytest.raises(InputError, match="unknown setting learning_rate"):
        read_workflow({**common, "passes": {"x": {"type": "blanks", "learning_rate": 1}}}, "x")


def test_a_data_pass_without_data_is_refused(tmp_path, capsys):
    run(tmp_path, {"output_path": str(tmp_path / "flow"), "passes": {"blanks": {}}}, code=2)
    assert "there is no data to prepare" in capsys.readouterr().err


def test_a_step_of_a_file_runs_with_its_option_once_it_is_typed(rows, tmp_path, capsys):
    own = tmp_path / "own.py"
    own.write_text(OWN_STEP, encoding="utf-8")
    words = ["prepare", str(rows), "-o", str(tmp_path / "out"), "--steps", f"{own}:Loud,unreadable"]
    assert main([*words, "--louder"]) == 0
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["input"] == "HOW ARE YOU, A?"
    config = tmp_path / "out" / "config.yaml"
    assert main(["prepare", "--config", str(config), "-o", str(tmp_path / "again")]) == 2
    assert "--trust_remote_code" in capsys.readouterr().err
    assert main(["prepare", "--config", str(config), "-o", str(tmp_path / "again"), "--trust_remote_code"]) == 0
    assert (tmp_path / "again" / "train.jsonl").read_bytes() == (tmp_path / "out" / "train.jsonl").read_bytes()
