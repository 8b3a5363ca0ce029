import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from graft.commands.evaluate import evaluate_model
from graft.commands.finetune import finetune
from graft.errors import GraftError, InputError, Interrupted
from graft.progress import Silent
from graft.training.checkpoints import whole_checkpoints

FILES = {
    "manifest.json",
    "config.yaml",
    "metrics.jsonl",
    "evaluation.json",
    "predictions.jsonl",
    "report.html",
    "README.md",
}


def weights(run):
    return (Path(run) / "adapter" / "adapter_model.safetensors").read_bytes()


def manifest(run):
    return json.loads((Path(run) / "manifest.json").read_text(encoding="utf-8"))


def test_a_run_leaves_the_folder_of_the_contract(given):
    run = finetune(given)
    assert {path.name for path in run.iterdir()} >= FILES | {"data", "model", "adapter", "checkpoints"}
    said = manifest(run)
    assert said["status"] == "finished"
    assert said["training"]["steps"] == 6 and said["training"]["engine"] == "exact"
    assert said["data"]["labels"] == ["bad", "good"]
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert {"accuracy", "macro_f1", "perplexity"} <= set(document["predictors"]["tuned"])
    assert document["data"]["rows"] == said["data"]["held_out_rows"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any("eval_loss" in line for line in lines)
    assert any({"loss", "learning_rate", "grad_norm", "tokens_per_second", "rss_mb"} <= set(line) for line in lines)
    origin = json.loads((run / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])["origin"]
    assert origin.rpartition(":")[0].endswith("tone.jsonl")


def test_the_run_loads_with_plain_peft(given):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = finetune(given | {"evaluate": False})
    base = AutoModelForCausalLM.from_pretrained(run / "model")
    tokens = AutoTokenizer.from_pretrained(run / "model")("fine day", return_tensors="pt")
    before = base(**tokens).logits
    tuned = PeftModel.from_pretrained(base, run / "adapter")
    assert not torch.equal(before, tuned(**tokens).logits)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(given, tmp_path):
    quick = given | {"evaluate": False}
    first = finetune(quick)
    second = finetune(quick | {"output_path": str(tmp_path / "again")})
    other = finetune(quick | {"output_path": str(tmp_path / "other"), "seed": 7})
    assert weights(first) == weights(second) != weights(other)


@pytest.mark.parametrize("engine", ["int8", "bfloat16"])
def test_fewer_bits_train_alike_and_leave_a_plain_adapter(given, tmp_path, engine):
    from safetensors.torch import load

    exact = finetune(given | {"evaluate": False})
    lowered = given | {"evaluate": False, "engine": engine}
    first = finetune(lowered | {"output_path": str(tmp_path / "a")})
    assert manifest(first)["training"]["engine"] == engine
    assert weights(first) == weights(finetune(lowered | {"output_path": str(tmp_path / "b")})) != weights(exact)
    assert {name: (t.shape, t.dtype) for name, t in load(weights(first)).items()} == {
        name: (t.shape, t.dtype) for name, t in load(weights(exact)).items()
    }
    found, wanted = (manifest(run)["training"]["best_eval_loss"] for run in (first, exact))
    assert found == pytest.approx(wanted, rel=0.02)


def test_config_yaml_does_the_same_run_again(given, tmp_path):
    first = finetune(given | {"evaluate": False})
    recorded = yaml.safe_load((first / "config.yaml").read_text(encoding="utf-8"))
    again = finetune(recorded | {"output_path": str(tmp_path / "again")})
    assert weights(first) == weights(again)


class StopAt(Silent):
    """Presses Ctrl-C when training comes to a step."""

    def __init__(self, at):
        self.at = at

    def step(self, step, steps, figures):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("at", [1, 3, 4])
def test_ctrl_c_and_resume_give_the_same_weights(given, tmp_path, at):
    whole = finetune(given | {"evaluate": False, "output_path": str(tmp_path / "whole")})
    with pytest.raises(Interrupted):
        finetune(given | {"evaluate": False}, StopAt(at))
    assert manifest(given["output_path"])["status"] == "interrupted"
    resumed = finetune({"output_path": given["output_path"], "resume": True})
    assert weights(whole) == weights(resumed)
    assert _steps(whole) == _steps(resumed)


def _steps(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return sorted({line["step"] for line in lines if "eval_loss" in line})


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    "after", ["data/train.jsonl", "checkpoints/checkpoint-2", "checkpoints/checkpoint-4/optimizer.pt"]
)
def test_sigkill_and_resume_give_the_same_weights(given, tmp_path, after):
    """Each in a process of its own, as users run them: what other libraries set in a process, such as how numbers near
    zero are rounded, changes the last bits of a run.
    """
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(given | {"evaluate": False}), encoding="utf-8")
    run, whole = Path(given["output_path"]), tmp_path / "whole"
    command = [sys.executable, "-m", "graft.cli.main", "finetune", "--config", str(config)]
    quietly = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quietly)
    deadline = time.monotonic() + 120
    while not (run / after).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert (run / after).exists()
    uninterrupted = subprocess.Popen([*command, "--output_path", str(whole)], **quietly)
    if manifest(run)["status"] != "finished":
        again = [*command[:3], "finetune", "--output_path", str(run), "--resume"]
        subprocess.run(again, check=True, capture_output=True)
    assert uninterrupted.wait() == 0
    assert weights(whole) == weights(run)


def test_resuming_with_another_setting_is_refused(given):
    with pytest.raises(Interrupted):
        finetune(given | {"evaluate": False}, StopAt(2))
    with pytest.raises(InputError, match="learning_rate"):
        finetune({"output_path": given["output_path"], "resume": True, "learning_rate": 1e-5})


def test_a_folder_with_another_run_is_refused_and_kept(given):
    first = finetune(given | {"evaluate": False})
    before = weights(first)
    with pytest.raises(InputError, match="overwrite"):
        finetune(given | {"seed": 1})
    assert weights(first) == before
    assert weights(finetune(given | {"seed": 1, "overwrite": True, "evaluate": False})) != before


class FullDiskAt(Silent):
    """From a step on, no file may grow beyond 30 KB: what a full disk does to the large files."""

    def __init__(self, at):
        self.at = at

    def step(self, step, steps, figures):
        import resource

        if step == self.at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no resource limits")
def test_a_full_disk_keeps_the_last_whole_checkpoint(given, tmp_path):
    import resource

    whole = finetune(given | {"evaluate": False, "output_path": str(tmp_path / "whole")})
    try:
        with pytest.raises(GraftError, match="disk"):
            finetune(given | {"evaluate": False}, FullDiskAt(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run = Path(given["output_path"])
    assert manifest(run)["status"] == "failed"
    assert [path.name for path in whole_checkpoints(run / "checkpoints")] == ["checkpoint-2"]
    assert weights(finetune({"output_path": str(run), "resume": True})) == weights(whole)


def test_wrong_input_writes_nothing_and_says_it_all(given, tmp_path):
    wrong = given | {"model_name_or_path": str(tmp_path / "nowhere"), "data_files": str(tmp_path / "none.jsonl")}
    with pytest.raises(InputError) as caught:
        finetune(wrong)
    assert len(caught.value.problems) >= 2
    assert not Path(given["output_path"]).exists()


def test_every_training_argument_passes_through(given):
    run = finetune(given | {"training_arguments": {"max_grad_norm": "0.5", "adam_beta2": 0.98}, "evaluate": False})
    assert manifest(run)["settings"]["training_arguments"] == {"max_grad_norm": "0.5", "adam_beta2": 0.98}
    with pytest.raises(InputError, match="transformers rejects these training arguments"):
        finetune(given | {"training_arguments": {"torch_empty_cache_steps": 0}, "overwrite": True})
    with pytest.raises(InputError, match=r"--optim must be adamw_torch, .* not 'no_such'"):
        finetune(given | {"training_arguments": {"optim": "no_such"}, "overwrite": True})


def test_a_limit_that_was_raised_is_recorded_and_holds_again(given, wide_llama, tmp_path):
    rows = [{"prompt": f"p{n}", "completion": "a" * (1500 if n == 3 else 3) + str(n)} for n in range(20)]
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = given | {"model_name_or_path": wide_llama, "data_files": str(path), "max_steps": 1, "evaluate": False}
    run = finetune(settings)
    limit = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["max_length"]
    assert 1500 < limit == manifest(run)["task"]["max_length"]


def test_a_held_out_row_that_is_too_long_is_judged_nowhere(given, tmp_path):
    """Base and tuned are compared on the rows that fit, by ``finetune`` and later."""
    held = tmp_path / "held.jsonl"
    texts = ["fine", "awful " * 60, "lovely", "burnt"]
    lines = [json.dumps({"text": text, "label": "gb"[n % 2]}) + "\n" for n, text in enumerate(texts)]
    held.write_text("".join(lines).replace('"g"', '"good"').replace('"b"', '"bad"'), encoding="utf-8")
    run = finetune(given | {"eval_data_files": str(held), "max_length": 200, "on_long": "drop"})
    kept = [json.loads(line)["origin"] for line in (run / "data" / "eval.jsonl").read_text("utf-8").splitlines()]
    assert kept == [f"{held}:{line}" for line in (1, 3, 4)]
    said = manifest(run)["data"]
    assert (said["held_out_rows"], said["summary"]["dropped"], said["summary"]["truncated"]) == (3, 1, 0)
    for document in (json.loads((run / "evaluation.json").read_text("utf-8")), evaluate_model(run)):
        assert {found["accuracy"]["n"] for found in document["predictors"].values()} == {3}
