"""The doctor's findings on runs made for each: what it says, and the figures it says it by."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graft.cli.main import main
from graft.data.checks import Finding
from graft.report.doctor import diagnose
from graft.runs.folder import RunFolder
from graft.runs.view import RunView
from report import sample_run

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A good run: 110 steps, its held-out loss at rest, better than its base."""
    folder = sample_run.classification(tmp_path / "tone")
    flat(folder, lambda step: 0.3 + 1.6 / step)
    edit(folder, lambda m: m["settings"].update(precision="bfloat16"))
    return folder


def flat(folder: Path, held_out: Callable[[int], float]) -> None:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if "eval_loss" in line:
            line["eval_loss"] = held_out(line["step"])
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def edit(folder: Path, change: Change, name: str = "manifest.json") -> None:
    document = json.loads((folder / name).read_text(encoding="utf-8"))
    change(document)
    (folder / name).write_text(json.dumps(document), encoding="utf-8")


def found(folder: Path, kind: str) -> Finding:
    findings = {finding.kind: finding for finding in diagnose(RunView.read(folder))}
    assert kind in findings, list(findings)
    assert findings[kind].evidence and findings[kind].remedies
    return findings[kind]


def test_a_good_run_has_nothing_wrong(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(RunView.read(run)) == []
    assert main(["doctor", str(run)]) == 0
    assert "No problems found" in capsys.readouterr().out


def test_overfitting_with_its_curve_and_its_patch(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat(run, lambda step: 0.3 + abs(step - 44) / 100)
    (run / "overfitting.yaml").write_text("lora_r: 8\n", encoding="utf-8")
    finding = found(run, "overfitting")
    assert "since step 44 the held-out loss has risen from 0.300 to 0.960" in finding.evidence[0]
    assert f"{run}/overfitting.yaml" in finding.remedies[0]
    assert main(["doctor", str(run), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["findings"]
    assert (said["kind"], said["severity"]) == ("overfitting", "warning")
    assert said["evidence"] == list(finding.evidence) and said["remedies"] == list(finding.remedies)
    assert main(["doctor", str(run), "--fail_on", "warning"]) == 3
    assert "--fail_on warning: 1 warning" in capsys.readouterr().err


def test_ended_too_early(run: Path) -> None:
    flat(run, lambda step: 2.0 - step / 100)
    finding = found(run, "too_short")
    assert "from 1.010 to 0.900 in the last 11 steps" in finding.evidence[0]
    assert "--max_steps 220" in finding.remedies[0]


def test_memory_by_its_figures(run: Path) -> None:
    edit(run, lambda m: m["machine"].update(memory_gb=3.5))
    finding = found(run, "memory")
    assert finding.evidence == ("the process used 3.3 GB of the machine's 3.5 GB",)
    assert any("gradient_checkpointing" in remedy for remedy in finding.remedies)


def test_killed_for_its_memory(run: Path) -> None:
    edit(run, lambda m: m.update(status="running") or m["machine"].update(memory_gb=3.5))
    finding = found(run, "killed")
    assert finding.evidence[0] == "the run had reached step 110 of 110"
    assert "--resume" in finding.remedies[0] and any("qlora" in remedy for remedy in finding.remedies)
    with RunFolder.open(run).lock():
        assert not [f for f in diagnose(RunView.read(run)) if f.kind == "killed"]


def test_a_run_at_work_is_seen_by_its_lock(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(run, lambda m: m.update(status="running"))
    with RunFolder.open(run).lock():
        assert main(["doctor", str(run), "--json"]) == 0
    assert "killed" not in capsys.readouterr().out
    assert main(["doctor", str(run), "--json"]) == 0
    assert "killed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("there was not enough memory\n    --per_device_train_batch_size 1", "memory"),
        ("the disk is full; the last whole checkpoint is kept\n    free some room", "disk"),
        ("the loss became nan at step 7; what is kept are the weights of step 5\n    graft finetune …", "divergence"),
        ("RuntimeError: something\n    run it again with --debug to see where", "failed"),
    ],
)
def test_failures_are_told_by_their_cause(run: Path, error: str, kind: str) -> None:
    edit(run, lambda m: m.update(status="failed", error=error))
    finding = found(run, kind)
    assert finding.title.endswith(error.partition("\n")[0])
    assert finding.remedies[0] == error.partition("\n")[2].strip()


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        (
            lambda m: m["training"].update(engine="plain", engine_reason="not tested with mamba models"),
            "padded batches: not tested with mamba models",
            "--engine exact",
        ),
        (
            lambda m: m["training"].update(kernels_missing="no C++ compiler was found (g++ or clang++)"),
            "without compiled kernels: no C++ compiler was found",
            "g++",
        ),
        (lambda m: m["training"].update(rows_per_second=30.0), "evaluations and checkpoints took 68%", "--eval_steps"),
        (lambda m: m["machine"].update(cores=8), "the process used 196 % of 800 % CPU", "close other programs"),
        (
            lambda m: m["settings"]["training_arguments"].update(gradient_checkpointing=True),
            "gradient_checkpointing",
            "omit it",
        ),
        (
            lambda m: (m["settings"].update(lora_dropout=0.1), m["training"].update(engine="plain")),
            "dropout (0.1)",
            "--lora_dropout 0",
        ),
        (lambda m: m["settings"].update(use_dora=True), "DoRA", "--use_dora false"),
        (lambda m: m["settings"].update(precision="float32"), "float32", "--precision auto"),
        (lambda m: m["settings"].update(precision="float32"), "float32", "--engine int8"),
    ],
)
def test_slow_training_by_its_causes(run: Path, change: Change, said: str, remedy: str) -> None:
    edit(run, change)
    finding = found(run, "slow")
    assert "3 min 3 s of training" in finding.evidence[0]
    assert any(said in line for line in finding.evidence[1:]), finding.evidence
    assert any(remedy in line for line in finding.remedies)


def test_what_fewer_bits_computed_is_not_called_float32(run: Path) -> None:
    edit(run, lambda m: m["training"].update(engine="int8", rows_per_second=30.0))
    assert not any("float32" in line for line in found(run, "slow").evidence)


def test_a_tuned_model_below_tf_idf_is_named(run: Path) -> None:
    def beaten(document: dict[str, Any]) -> None:
        figure = {"value": 0.99, "low": 0.98, "high": 1.0, "n": 571}
        document["baselines"] = {"most_common": {"accuracy": {**figure, "value": 0.3}}, "tfidf": {"accuracy": figure}}

    edit(run, beaten, "evaluation.json")
    finding = found(run, "poor_results")
    assert "costs seconds" in finding.title and any("TF-IDF" in line and "0.99" in line for line in finding.evidence)


def test_poor_results_and_what_may_be_why(run: Path) -> None:
    def worse(document: dict[str, Any]) -> None:
        for difference in document["differences"]:
            difference.update(value=0.001, low=-0.02, high=0.022, p=0.9)
        document["predictors"]["tuned"]["accuracy"].update(value=0.44, n=57)
        document["classes"]["tuned"]["neutral"]["recall"] = 0.0

    edit(run, worse, "evaluation.json")
    edit(run, lambda m: m["data"].update(train_rows=61))
    edit(run, lambda m: m["data"]["summary"].update(labels={"positive": 50, "negative": 9, "neutral": 2}))
    finding = found(run, "poor_results")
    said = " ".join(finding.evidence)
    for cause in ("most frequent label reaches 0.450", "61 rows", "57 held-out rows", "neutral", "50 rows of positive"):
        assert cause in said, cause
    assert "occur twice with different labels" in said
    assert any("class-weighted" in remedy for remedy in finding.remedies)


@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluation.json", "predictions.jsonl"])
def test_any_file_may_be_missing(run: Path, name: str) -> None:
    (run / name).unlink()
    diagnose(RunView.read(run))


def test_what_is_no_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path)]) == 2
    assert "this is an empty folder, not a run folder, an exported bundle or a folder" in capsys.readouterr().err
    assert main(["doctor"]) == 2


def test_a_run_without_the_weights_of_its_base(run: Path) -> None:
    (run / "model" / "model.safetensors").unlink()
    (found,) = diagnose(RunView.read(run))
    assert found.kind == "missing-base" and "smollm2-135m-instruct (SHA-256 cdcd" in found.evidence[0]
    assert any("--base PATH" in remedy for remedy in found.remedies)
