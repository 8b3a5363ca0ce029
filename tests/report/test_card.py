"""The model card: what the hub's own library reads back, and a snippet that runs."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from graft.report import write_card
from graft.report.usage import snippet
from graft.runs.view import RunView
from report import sample_run

Sample = Callable[[Path], Path]


def change_manifest(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_the_hub_reads_the_card(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    card = ModelCard.load(write_card(run))
    data = card.data.to_dict()
    assert data["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert data["library_name"] == "peft"
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "text-generation"
    assert "datasets" not in data
    assert card.text.lstrip().startswith("# tone of tweets")


@pytest.mark.parametrize("sample", [sample_run.classification, sample_run.free_text])
def test_model_index_comes_back_whole(sample: Sample, tmp_path: Path) -> None:
    run = sample(tmp_path)
    card = ModelCard.load(write_card(run))
    tuned = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["predictors"]["tuned"]
    results = card.data.eval_results
    assert sorted(result.metric_value for result in results) == pytest.approx(
        sorted(e["value"] for e in tuned.values())
    )
    assert all(result.task_type == "text-generation" and result.dataset_type for result in results)
    again = ModelCard(str(card))
    assert again.data.eval_results == results


@pytest.mark.parametrize(
    ("license", "expected"),
    [
        ("mit", {"license": "mit"}),
        ("llama3.2", {"license": "llama3.2"}),
        ("Falcon LLM 2", {"license": "other", "license_name": "falcon-llm-2"}),
        ("unknown", {}),
        (None, {}),
    ],
)
def test_licenses(license: str | None, expected: dict[str, str], tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    change_manifest(run, lambda manifest: manifest["base"].update(license=license))
    data = ModelCard.load(write_card(run)).data.to_dict()
    found = {name: data[name] for name in ("license", "license_name") if name in data}
    assert found == expected


@pytest.mark.parametrize("name", ["/home/someone/models/base", "model.gguf", "C:\\models\\base", "../base", "a b/c"])
def test_local_bases_are_no_hub_ids(name: str, tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    change_manifest(run, lambda manifest: manifest["base"].update(name=name))
    assert "base_model" not in ModelCard.load(write_card(run)).data.to_dict()


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("org/tiny-codes", "org/tiny-codes", "org/tiny-codes"),
        ("org/tiny-codes", "/data/org/tiny-codes", None),
        ("data/rows.jsonl", "data/rows.jsonl", None),
        (None, "rows.jsonl", None),
    ],
)
def test_only_hub_data_sets_are_named(name: str | None, path: str, expected: str | None, tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)

    def change(manifest: dict[str, Any]) -> None:
        manifest["settings"]["data_name"] = name
        manifest["data"]["train"]["path"] = path

    change_manifest(run, change)
    assert ModelCard.load(write_card(run)).data.to_dict().get("datasets") == expected


def test_a_published_card_shows_no_rows(tmp_path: Path) -> None:
    text = write_card(sample_run.classification(tmp_path)).read_text(encoding="utf-8")
    assert "YOUR TEXT" in text and sample_run.INSTRUCTION.strip() in text
    assert "interview" not in text


@pytest.mark.parametrize("sample", [sample_run.classification, sample_run.free_text])
@pytest.mark.parametrize("name", ["manifest.json", "metrics.jsonl", "evaluation.json", "predictions.jsonl"])
def test_any_file_may_be_missing(sample: Sample, name: str, tmp_path: Path) -> None:
    run = sample(tmp_path)
    (run / name).unlink()
    assert ModelCard.load(write_card(run)).text


def test_a_failed_run_promises_no_model(tmp_path: Path) -> None:
    card = ModelCard.load(write_card(sample_run.failed(tmp_path)))
    assert "from_pretrained" not in card.text and "--resume" in card.text
    assert card.data.eval_results is None


def test_titles_and_labels_stay_plain_text(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    change_manifest(run, lambda manifest: manifest.update(task_name="a|b\n# <script>alert(1)</script>: 'x'"))
    card = ModelCard.load(write_card(run))
    assert "<script>" not in card.text.replace("\\<script\\>", "")
    assert re.fullmatch(r"[\w.-]+", card.data.model_name)


@pytest.mark.parametrize("chat", [True, False])
def test_the_snippet_runs(chat: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import peft
    from transformers import AutoModelForCausalLM

    import tiny_models

    run = sample_run.classification(tmp_path / "my run's")
    template = tiny_models.CHATML if chat else None
    shutil.rmtree(run / "model")
    tiny_models.tiny_model_folder(tmp_path, "llama", chat_template=template).rename(run / "model")
    base = AutoModelForCausalLM.from_pretrained(run / "model")
    peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules="all-linear")).save_pretrained(str(run / "adapter"))
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet(RunView.read(run)), {})
    assert printed.getvalue().endswith("\n")
