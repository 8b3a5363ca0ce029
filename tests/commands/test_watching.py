import json
import random
from pathlib import Path

import pytest
import yaml

from graft.cli.arguments import parse
from graft.cli.finetune import read_settings
from graft.commands.finetune import finetune
from graft.errors import GraftError
from graft.progress import Silent
from graft.report.doctor import diagnose
from graft.runs.view import RunView
from graft.training.checkpoints import whole_checkpoints


class Listener(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def manifest(run):
    return json.loads((Path(run) / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture
def by_heart(given, tmp_path):
    """Random answers, which can only be memorized."""
    chance = random.Random(0)
    files = {}
    for name, letters in (("data_files", "abcdefghijklmnop"), ("eval_data_files", "qrstuvwxyz")):
        rows = [{"prompt": 3 * a, "completion": "".join(chance.choices("uvwxyz", k=3))} for a in letters]
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    schedule = {"max_steps": 160, "eval_steps": 20, "warmup_ratio": 0.0, "lr_scheduler_type": "constant"}
    del given["lora_dropout"]
    return (
        given | {name: str(file) for name, file in files.items()} | schedule | {"method": "full", "learning_rate": 3e-3}
    )


def test_overfitting_is_told_as_it_happens_and_leaves_a_patch(by_heart):
    heard = Listener()
    run = finetune(by_heart | {"evaluate": False}, heard)
    told = [note for note in heard.notes if note.startswith("Overfitting: since step")]
    assert len(told) == 1 and "weight_decay" in told[0]
    assert any(f"{run}/overfitting.yaml --output_path" in note for note in heard.notes)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    (step,) = [line["step"] for line in lines if line.get("warning") == "overfitting"]
    assert step < 160  # while it happened
    assert "overfitting" in {finding.kind for finding in diagnose(RunView.read(run))}
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Overfitting: since step" in page and "overfitting-span" in page
    settings = read_settings(
        parse(["--config", str(run / "config.yaml"), str(run / "overfitting.yaml"), "--output_path", "again"])
    )
    assert (settings.learning_rate, settings.weight_decay) == (1.5e-3, 0.01)
    assert settings.data_files == (by_heart["data_files"],) and settings.output_path == Path("again")


NAN_LATER = '''
from torch.nn.functional import cross_entropy

calls = 0

def loss(logits, labels):
    """NaN from the seventh batch on, evaluations counted."""
    global calls
    calls += 1
    return cross_entropy(logits, labels) * (float("nan") if calls > 7 else 1.0)
'''


def test_nan_stops_the_run_with_the_last_good_checkpoint(given, tmp_path):
    (tmp_path / "nan.py").write_text(NAN_LATER, encoding="utf-8")
    with pytest.raises(GraftError, match="became nan at step") as caught:
        finetune(given | {"loss": f"{tmp_path / 'nan.py'}:loss"})
    run = Path(given["output_path"])
    kept = manifest(run)["training"]["kept_step"]
    assert kept in {2, 4} and f"weights of step {kept}" in str(caught.value)
    assert manifest(run)["status"] == "failed" and "nan" in manifest(run)["error"]
    saved = (run / "checkpoints" / f"checkpoint-{kept}" / "adapter_model.safetensors").read_bytes()
    assert (run / "adapter" / "adapter_model.safetensors").read_bytes() == saved
    again = yaml.safe_load((run / "divergence.yaml").read_text(encoding="utf-8"))
    assert float(again["learning_rate"]) == pytest.approx(0.0025)
    finding = diagnose(RunView.read(run))[0]
    assert finding.kind == "divergence" and any("divergence.yaml" in remedy for remedy in finding.remedies)
    assert "nan at step" in (run / "report.html").read_text(encoding="utf-8")


def test_nan_at_once_leaves_no_model(given, tmp_path):
    source = NAN_LATER.replace("calls > 7", "calls > 1")
    (tmp_path / "soon.py").write_text(source, encoding="utf-8")
    with pytest.raises(GraftError, match="no checkpoint was written"):
        finetune(given | {"loss": f"{tmp_path / 'soon.py'}:loss"})
    run = Path(given["output_path"])
    assert manifest(run)["status"] == "failed" and not (run / "adapter").exists()


def test_a_learning_rate_out_of_all_proportion_diverges_and_is_told_before(given):
    heard = Listener()
    wild = {
        "method": "full",
        "learning_rate": 8.0,
        "max_steps": 60,
        "evaluate": False,
        "eval_steps": 2,
        "warmup_ratio": 0.3,
        "training_arguments": {"max_grad_norm": 0},
    }
    with pytest.raises(GraftError, match=r"diverged|became"):
        finetune(
            {k: v for k, v in given.items() if "lora" not in k} | wild | {"evaluate": False, "eval_steps": 2}, heard
        )
    assert any("learning rate of 8 is high for full" in note for note in heard.notes)
    run = Path(given["output_path"])
    steps = [int(path.name.rpartition("-")[2]) for path in whole_checkpoints(run / "checkpoints")]
    assert manifest(run)["training"]["kept_step"] in steps
    assert manifest(run)["training"]["steps"] < 60


def test_a_loss_that_does_not_move_is_told(given):
    heard = Listener()
    finetune(given | {"evaluate": False, "learning_rate": 1e-9, "max_steps": 36, "eval_steps": 10}, heard)
    assert any(note.startswith("The loss does not fall") and "raise the learning rate" in note for note in heard.notes)
    assert any("learning rate of 1e-09 is low for lora" in note for note in heard.notes)


def test_checkpoints_come_every_save_steps_and_only_so_many_stay(given):
    run = finetune(
        given
        | {"max_steps": 9, "eval_steps": 9, "save_steps": 2, "save_total_limit": 2, "evaluate": False}
        | {"load_best_model_at_end": False}
    )
    assert [path.name for path in whole_checkpoints(run / "checkpoints")] == ["checkpoint-8", "checkpoint-9"]
