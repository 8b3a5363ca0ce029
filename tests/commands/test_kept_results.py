"""Results of a workflow's passes are kept while nothing that goes into them changes."""

import hashlib
import os
import shutil

import pytest
import yaml
from filelock import FileLock

from graft.cli.main import main
from graft.commands.content import content_of
from graft.runs.manifest import read_run, read_workflow_manifest
from small_runs import question_file
from tiny_models import tiny_model_folder

QUICK = {"max_steps": 3, "eval_steps": 1, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "evaluate": False}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "gpt2")


class Flow:
    """A workflow file of a few passes, run in this process."""

    def __init__(self, folder, model, capsys):
        self.folder, self.capsys, self.output = folder, capsys, folder / "flow"
        self.rows = question_file(folder)
        self.passes = {
            "clean": {"type": "prepare"},
            "lora": {"type": "LoRA", **QUICK},
            "judge": {"type": "evaluate", "bootstrap_samples": 100},
        }
        self.common = {"model_name_or_path": str(model), "data_files": str(self.rows), "output_path": str(self.output)}

    def run(self, *words, code=0):
        path = self.folder / "flow.yaml"
        path.write_text(yaml.safe_dump({**self.common, "passes": self.passes}, sort_keys=False), encoding="utf-8")
        self.capsys.readouterr()
        assert main(["run", "--config", str(path), *words]) == code
        return self.capsys.readouterr().err

    def adapter(self):
        return self.adapter_of(self.output / "lora")

    @staticmethod
    def adapter_of(run):
        return hashlib.sha256((run / "adapter/adapter_model.safetensors").read_bytes()).hexdigest()


@pytest.fixture
def flow(tmp_path, gpt2, capsys):
    return Flow(tmp_path, gpt2, capsys)


def kept(said):
    return [line.split()[1].rstrip(":") for line in said.splitlines() if line.endswith("kept (nothing changed)")]


def test_only_what_changed_runs_again(flow):
    assert kept(flow.run()) == []
    first = flow.adapter()
    assert kept(flow.run()) == ["clean", "lora", "judge"]

    os.utime(flow.rows, (1, 1))  # touched, and not edited
    assert kept(flow.run()) == ["clean", "lora", "judge"]

    flow.passes["judge"]["bootstrap_samples"] = 200
    said = flow.run()
    assert kept(said) == ["clean", "lora"]
    assert "pass judge runs again: bootstrap_samples changed 100 → 200" in said

    flow.passes["lora"]["learning_rate"] = 2e-2
    said = flow.run()
    assert kept(said) == ["clean"]
    assert "pass lora runs again: learning_rate changed 0.01 → 0.02" in said
    assert "pass judge runs again: the pass before it ran again" in said
    assert flow.adapter() != first

    flow.rows.write_text(flow.rows.read_text(encoding="utf-8").replace("a is fine", "a is ill"), encoding="utf-8")
    said = flow.run()
    assert kept(said) == []
    assert f"pass clean runs again: the content of data_files changed ({flow.rows})"[:70] in said
    assert '"a is ill"' in (flow.output / "lora/data/train.jsonl").read_text(encoding="utf-8") + (
        flow.output / "lora/data/eval.jsonl"
    ).read_text(encoding="utf-8")


def test_what_is_forced_runs_again_and_an_equal_result_keeps_the_passes_after_it(flow):
    flow.run()
    before = flow.adapter()
    said = flow.run("--force", "lora")
    assert kept(said) == ["clean", "judge"] and "pass lora runs again: --force" in said
    assert flow.adapter() == before
    assert kept(flow.run("--force")) == []
    assert "there is no pass called 'lara'\n    did you mean lora?" in flow.run("--force", "lara", code=2)


def test_a_result_that_was_changed_or_removed_is_made_again(flow):
    flow.run()
    before = flow.adapter()
    weights = flow.output / "lora/adapter/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    said = flow.run()
    assert kept(said) == ["clean", "judge"] and "pass lora runs again: its result was changed" in said
    assert flow.adapter() == before
    shutil.rmtree(flow.output / "judge")
    assert "pass judge runs again: its result is no longer there" in flow.run()


def test_a_moved_workflow_keeps_its_results(flow, tmp_path):
    flow.run()
    shutil.move(flow.output, tmp_path / "elsewhere")
    shutil.move(flow.rows, tmp_path / "moved.jsonl")
    flow.common |= {"output_path": str(tmp_path / "elsewhere"), "data_files": str(tmp_path / "moved.jsonl")}
    assert kept(flow.run()) == ["clean", "lora", "judge"]


def test_files_of_others_in_the_folder_of_a_pass_are_not_removed(flow):
    flow.run()
    (flow.output / "clean" / "mine.txt").write_text("mine", encoding="utf-8")
    flow.passes["clean"]["seed"] = 5
    assert "the pass clean has files that it did not write: mine.txt" in flow.run(code=2)
    assert (flow.output / "clean" / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_a_pass_that_failed_removes_nothing_of_others_when_it_runs_again(flow):
    flow.passes = {"lora": {"type": "LoRA", **QUICK}}
    (flow.output / ".git").mkdir(parents=True)
    (flow.output / ".git" / "HEAD").write_text("mine", encoding="utf-8")
    for _ in range(2):  # the second time, the failure is on record
        assert "files that do not belong to a run: .git" in flow.run(code=2)
    (flow.output / "notes.txt").write_text("mine", encoding="utf-8")
    assert "has files that it did not write: notes.txt" in flow.run(code=2)
    flow.passes["lora"]["learning_rate"] = 3e-2
    assert "has files that it did not write: notes.txt" in flow.run(code=2)
    assert (flow.output / ".git" / "HEAD").is_file() and (flow.output / "notes.txt").is_file()


def test_a_pass_of_several_keeps_hidden_files_of_others(flow):
    flow.passes.pop("judge")
    flow.run()
    (flow.output / "lora" / ".git").mkdir()
    (flow.output / "lora" / ".git" / "HEAD").write_text("mine", encoding="utf-8")
    flow.passes["lora"]["learning_rate"] = 3e-2
    assert "files that do not belong to a run: .git" in flow.run(code=2)
    assert (flow.output / "lora" / ".git" / "HEAD").is_file()


def test_a_run_in_work_is_not_cleared_by_the_same_workflow_with_other_settings(flow):
    flow.passes = {"lora": {"type": "LoRA", **QUICK}}
    flow.run()
    before = flow.adapter_of(flow.output)
    flow.passes["lora"]["learning_rate"] = 3e-2
    with FileLock(flow.output / ".lock"):
        assert "another graft process is using this folder" in flow.run(code=2)
    assert flow.adapter_of(flow.output) == before


def test_a_workflow_of_one_pass_is_kept_too(flow):
    flow.passes = {"lora": {"type": "LoRA", **QUICK}}
    flow.run()
    weights = flow.output / "adapter/adapter_model.safetensors"
    before = weights.read_bytes()
    assert kept(flow.run()) == ["lora"]
    flow.passes["lora"]["learning_rate"] = 3e-2
    assert "learning_rate changed 0.01 → 0.03" in flow.run()
    assert weights.read_bytes() != before and read_run(flow.output).settings["learning_rate"] == 3e-2


def test_a_gate_ends_the_workflow_with_3_and_names_the_pass(flow):
    flow.passes["judge"] |= {"metrics": ["exact_match"], "at_least": {"exact_match": 1.5}}
    said = flow.run(code=3)
    assert "pass judge: exact_match of tuned is" in said and "expected at least 1.5" in said
    found = read_workflow_manifest(flow.output)
    assert found.status == "failed" and [one.status for one in found.passes] == ["finished", "finished", "failed"]
    flow.passes["judge"]["at_least"] = {"exact_match": 0}
    assert kept(flow.run()) == ["clean", "lora"]


def test_passes_in_a_wrong_order_are_refused_before_anything_runs(flow):
    flow.passes = {"export": {"format": "hf"}, "lora": {"type": "LoRA", **QUICK}, "judge": {"type": "generate-adapter"}}
    said = flow.run(code=2)
    assert "the pass export takes a run, a model folder" in said and "but it is the first pass" in said
    flow.passes = {"clean": {"type": "prepare"}, "merge": {}}
    assert "but the pass clean leaves a prepared data set" in flow.run(code=2)
    assert not flow.output.exists()
    flow.passes = {"convert": {"type": "OnnxConversion"}}
    assert "type: export builds and quantizes the ONNX model in one pass" in flow.run(code=2)


def test_content_is_that_of_bytes_and_names(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "a.bin").write_bytes(b"a")
        (folder / ".lock").touch()
    (two / ".cache").touch()
    assert content_of(one) == content_of(two)
    (two / "in" / "a.bin").rename(two / "in" / "b.bin")
    assert content_of(one) != content_of(two)
    assert content_of(tmp_path / "none") is None
