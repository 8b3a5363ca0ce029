"""Folders that an earlier version of graft left still open, whatever their schema is today: see fixtures/README.md."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graft.cli.main import main

FIXTURES = Path(__file__).parent / "fixtures"
BUNDLES = ("bundle-0.1", "multi-adapter-0.1")
ADAPTER = "adapter/adapter_model.safetensors"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def copied(here: Path) -> Callable[[str], Path]:
    """A folder of the fixtures, where it may be written to."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(FIXTURES / name, here / name))

    return copy


@pytest.fixture
def run(copied: Callable[[str], Path]) -> Path:
    return copied("run-0.1")


@pytest.fixture
def again(run: Path, here: Path) -> Path:
    """The run, with its base and its data where its configuration says that they are."""
    shutil.copytree(run / "model", here / "base")
    shutil.copytree(FIXTURES / "rows", here, dirs_exist_ok=True)
    config = (run / "config.yaml").read_text(encoding="utf-8")
    assert "/home/user/models/tiny-llama" in config
    (run / "config.yaml").write_text(config.replace("/home/user/models/tiny-llama", "base"), encoding="utf-8")
    return run


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What ``graft WORDS`` prints on stdout."""
    capsys.readouterr()
    code = main([*words])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def document(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def values(evaluation: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {
        name: {metric: found["value"] for metric, found in figures.items()}
        for name, figures in evaluation["predictors"].items()
    }


def assert_same_values(now: dict[str, Any], then: dict[str, Any]) -> None:
    now, then = values(now), values(then)
    assert now.keys() == then.keys()
    for name in then:
        assert now[name] == pytest.approx(then[name], rel=1e-3), name


def assert_same_weights(one: Path, other: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.testing.assert_close(load_file(one), load_file(other), rtol=1e-2, atol=1e-3)


def test_a_run_is_shown_with_its_scores(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(printed(capsys, "show", str(run)).split())
    assert "tone" in text and "finished" in text
    for score in ("0.000 (0.000–0.000) 0.625 (0.250–0.878)", "366.24", "225.12"):
        assert score in text
    said = json.loads(printed(capsys, "show", str(run), "--json"))
    assert "0.625" in json.dumps(said)


def test_a_run_is_diagnosed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "learning rate of 0.02" in printed(capsys, "doctor", str(run))
    said = json.loads(printed(capsys, "doctor", str(run), "--json"))
    assert said["status"] == "finished" and said["findings"]


def test_a_run_is_judged_again_as_it_was(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then = document(run / "evaluation.json")
    printed(capsys, "evaluate", str(run), "--data_files", str(run / "data" / "eval.jsonl"), "-o", "X")
    assert_same_values(document(Path("X/evaluation.json")), then)
    printed(capsys, "evaluate", str(run))
    assert_same_values(document(run / "evaluation.json"), then)


def test_a_run_answers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "chat", str(run), "--prompt", "hi") == "bad\n"
    for row in lines(run / "predictions.jsonl"):
        text = row["prompt"].rpartition("\n\n")[2]  # chat puts the run's instruction before it
        said = json.loads(printed(capsys, "chat", str(run), "--prompt", text, "--json"))
        assert said == {"model": "tuned", "answer": row["answers"]["tuned"]}


def test_a_runs_configuration_trains_the_same_again(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "run", "--config", str(again / "config.yaml"), "--output_path", "second")
    logs = [lines(folder / "metrics.jsonl") for folder in (again, Path("second"))]
    then, now = ([line["loss"] for line in log if "loss" in line] for log in logs)
    assert now[:3] == pytest.approx(then[:3], rel=1e-5) and now == pytest.approx(then, rel=5e-3)
    if now[:3] == then[:3]:  # a processor that rounds as that of the recorded run does, which parts at this rate
        assert_same_weights(Path("second") / ADAPTER, again / ADAPTER)
        assert_same_values(document(Path("second/evaluation.json")), document(again / "evaluation.json"))


def test_an_interrupted_run_goes_on_to_the_same_end(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = Path(shutil.copytree(again, "whole"))
    manifest = document(again / "manifest.json")
    (again / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}), encoding="utf-8")
    for name in ("checkpoints/checkpoint-60", "adapter"):
        shutil.rmtree(again / name)
    printed(capsys, "finetune", "--resume", "-o", str(again))
    assert document(again / "manifest.json")["status"] == "finished"
    assert [line["step"] for line in lines(again / "metrics.jsonl") if "eval_loss" in line] == [20, 40, 60]
    assert_same_weights(again / ADAPTER, whole / ADAPTER)


def test_a_run_is_exported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "auto-opt", str(run), "--format", "gguf", "--precision", "fp32", "-o", "gguf")
    manifest = document(Path("gguf/manifest.json"))
    assert manifest["status"] == "finished"
    assert Path("gguf", manifest["file"]).stat().st_size > 100_000


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_shown_and_diagnosed(
    name: str, copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = copied(name)
    for command in ("show", "doctor"):
        assert name in printed(capsys, command, str(bundle))


def test_a_bundle_answers_as_it_did(copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime_genai")
    assert printed(capsys, "chat", str(copied("bundle-0.1")), "--prompt", "hi") == "bad\n"
    rows = str(FIXTURES / "run-0.1" / "data" / "eval.jsonl")
    printed(capsys, "evaluate", "bundle-0.1", "--data_files", rows, "-o", "X")
    found = document(Path("X/evaluation.json"))["predictors"]["onnx"]
    assert found["exact_match"]["value"] == 0.5 and found["exact_match"]["n"] == 8
    assert found["perplexity"]["value"] == pytest.approx(129.13, rel=0.02)


def test_each_adapter_of_a_bundle_answers(copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime_genai")
    bundle = str(copied("multi-adapter-0.1"))
    for adapter, answer in {"tone": "bad", "other": "good"}.items():
        assert printed(capsys, "chat", bundle, "--adapter", adapter, "--prompt", "good cake 13") == f"{answer}\n"
