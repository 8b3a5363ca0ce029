"""The typed files of a run folder: what is written reads back, old folders open, and damage is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graft.config import DataSettings
from graft.errors import InputError
from graft.runs.evaluation_document import read_evaluation, read_metrics, read_predictions
from graft.runs.folder import RunFolder
from graft.runs.manifest import BundleManifest, ParityRecord, RunManifest, read_bundle, read_manifest, update_manifest
from graft.runs.view import RunView

FIXTURES = Path(__file__).parent.parent / "fixtures"


def write(folder: Path, document: Any) -> Path:
    path = folder / "manifest.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return folder


def on_disk(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_what_is_written_reads_back_and_names_its_kind(tmp_path: Path) -> None:
    written = update_manifest(tmp_path, RunManifest, status="running", base={"name": "gpt2", "license": "mit"})
    assert read_manifest(tmp_path).document() == written.document()
    assert on_disk(tmp_path) == {
        "status": "running",
        "base": {"name": "gpt2", "license": "mit"},
        "kind": "run",
        "schema_version": "1.0",
    }
    RunFolder(tmp_path).update_manifest(status="finished", training={"steps": 3})
    found = RunFolder(tmp_path).manifest
    assert (found.status, found.training.steps) == ("finished", 3) and found.base and found.base.name == "gpt2"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"status": "done"}, "'status' is 'done'; expected 'running', 'finished', 'failed' or 'interrupted'"),
        ({"status": "running", "seed": "7"}, "'seed' is '7'; expected a whole number"),
        ({"status": "running", "data": {"train": {"path": 3}}}, "'data.train.path' is 3; expected a string"),
        ({"status": "running", "base": {}}, "the key 'base.name' is missing"),
        ({}, "the key 'status' is missing"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_written(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        update_manifest(tmp_path, RunManifest, **values)
    assert said in str(caught.value) and "manifest.json" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is not JSON"),
        ('{"status": "finished"', "this is not JSON"),
        ("[]", "this is []; expected a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"kind": "run", "schema_version": "1.0"}', "the key 'status' is missing"),
        (
            '{"kind": "run", "status": "finished", "training": {"steps": 1.5}}',
            "'training.steps' is 1.5; expected a whole",
        ),
        ('{"kind": "run", "status": "finished", "inferred_settings": [{}]}', "'inferred_settings.0.name' is missing"),
        ('{"kind": "bundle", "parity": {"passed": "no"}}', "'parity.passed' is 'no'; expected true or false"),
        ('{"kind": "bundle", "parity": 3}', "'parity' is 3; expected an object"),
        ('{"kind": "parcel"}', "this manifest is of the kind 'parcel'"),
    ],
)
def test_damage_is_named_with_file_key_and_value(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_manifest(write(tmp_path, text))
    message = str(caught.value)
    assert said in message and str(tmp_path / "manifest.json") in message
    assert "pydantic" not in message and "Input should" not in message


def test_bytes_that_are_not_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b'{"status": "\xff\xfe"}')
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 12\)"):
        read_manifest(tmp_path)


def test_unknown_keys_of_a_newer_minor_version_are_kept(tmp_path: Path) -> None:
    document = {"kind": "run", "schema_version": "1.7", "status": "finished", "mood": {"good": True}}
    document["base"] = {"name": "gpt2", "color": "red"}
    RunFolder(write(tmp_path, document)).update_manifest(seed=3)
    found = on_disk(tmp_path)
    assert found["mood"] == {"good": True} and found["base"]["color"] == "red" and found["seed"] == 3


def test_a_newer_major_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"kind": "run", "schema_version": "2.0", "status": "finished"})
    with pytest.raises(InputError, match=r"its schema is 2\.0, this version reads 1\.0\n.*pip install --upgrade"):
        read_manifest(tmp_path)


def test_a_run_of_graft_0_1_opens_with_todays_names() -> None:
    old, found = on_disk(FIXTURES / "run-0.1"), read_manifest(FIXTURES / "run-0.1")
    assert isinstance(found, RunManifest) and "kind" not in old and "licence" in old["base"]
    assert found.base and found.base.license == old["base"]["licence"]
    assert [setting.name for setting in found.inferred_settings] == [entry["name"] for entry in old["inferences"]]
    assert found.task and found.task.label_space.names == list(old["task"]["head"]["names"])


@pytest.mark.parametrize("name", ["bundle-0.1", "multi-adapter-0.1"])
def test_a_bundle_of_graft_0_1_opens_with_todays_names(name: str) -> None:
    old, found = on_disk(FIXTURES / name), read_manifest(FIXTURES / name)
    assert isinstance(found, BundleManifest) and found.base and found.base.license == old["base"]["licence"]
    assert [one.label for one in found.candidates] == [one["label"] for one in old.get("tried", [])]
    parities = [(found.parity, old.get("parity"))]
    parities += [(entry.parity, old["adapters"][adapter]["parity"]) for adapter, entry in found.adapters.items()]
    for now, then in parities:
        if isinstance(then, dict):
            assert isinstance(now, ParityRecord) and now.reason == then["why"] and now.passed == then["passed"]


def test_the_shape_of_an_earlier_bundles_rows_is_its_prompt() -> None:
    found = read_bundle(FIXTURES / "bundle-0.1")
    assert found.prompt is not None and found.prompt.data == on_disk(FIXTURES / "bundle-0.1")["shape"]
    assert found.prompt.settings(DataSettings).instruction == found.prompt.data["instruction"]
    several = read_bundle(FIXTURES / "multi-adapter-0.1")
    then = on_disk(FIXTURES / "multi-adapter-0.1")["adapters"]
    for name, entry in several.adapters.items():
        assert entry.prompt is not None and entry.prompt.data == then[name]["shape"]
        assert "shape" not in entry.document()
    assert several.prompt_of("base") == several.adapters["tone"].prompt


def test_a_line_that_was_cut_off_is_omitted_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "lo', encoding="utf-8")
    assert [line.loss for line in read_metrics(tmp_path)] == [2.5]
    file.write_text('{"step": 1}\n{"step": "two"}\n{"step": 3}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"metrics\.jsonl:2: 'step' is 'two'; expected a whole number"):
        read_metrics(tmp_path)
    (tmp_path / "predictions.jsonl").write_text('{"answers": {"base": 3}}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"predictions\.jsonl:1: 'answers\.base' is 3; expected a string"):
        read_predictions(tmp_path)
    (tmp_path / "evaluation.json").write_text('{"predictors": {"base": {"bleu": {"n": 3}}}}', encoding="utf-8")
    with pytest.raises(InputError, match=r"evaluation\.json: the key 'predictors\.base\.bleu\.value' is missing"):
        read_evaluation(tmp_path)


def test_warnings_of_graft_0_1_are_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 4, "sign": "spike", "what": "a spike"}\n', encoding="utf-8")
    (line,) = read_metrics(tmp_path)
    assert (line.warning, line.message) == ("spike", "a spike")


def test_running_is_only_said_of_a_run_that_a_process_holds(tmp_path: Path) -> None:
    run = RunFolder(write(tmp_path, {"status": "running"}))
    assert RunView.read(tmp_path).status == "interrupted" and RunView.read(tmp_path).killed
    with run.lock():
        view = RunView.read(tmp_path)
        assert view.status == "running" and not view.killed
    assert RunView.read(tmp_path).status == "interrupted"  # the lock file stays, and nobody holds it
