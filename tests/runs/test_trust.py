"""Code that a folder names is run only where the user says so."""

import json

import pytest

from graft.commands.open_predictors import refuse_without_effect
from graft.config import ChatSettings, DataSettings
from graft.data.example import Origin
from graft.data.rows import answer_from_row
from graft.errors import InputError
from graft.export.bundle_task import bundle_task
from graft.runs.folder import RunFolder
from graft.runs.manifest import BundleManifest
from graft.runs.paths import path_from
from graft.runs.prompt_record import PromptRecord
from graft.runs.record import validate
from graft.runs.run_manifest import SCHEMA_VERSION, RunManifest
from graft.runs.trust import refuse_code
from graft.tasks.evaluation_rows import load_evaluation_rows


@pytest.mark.parametrize("reference", ["evil.py:read", "package.module:read"])
def test_code_of_a_folder_is_refused_unless_it_is_trusted_or_given(reference):
    with pytest.raises(InputError, match=r"runs/mails: .*a metric.*:read\n.*--trust_remote_code.*or give --metrics"):
        refuse_code(reference, "runs/mails", False, what="a metric", instead="--metrics")
    refuse_code(reference, "runs/mails", True)
    refuse_code(reference, "runs/mails", False, given=True)


@pytest.mark.parametrize("reference", [None, "", "text-generation"])
def test_a_name_without_a_file_is_not_code(reference):
    refuse_code(reference, "runs/mails", False)


@pytest.mark.parametrize("name", ["../../elsewhere", "/tmp/x", ".hidden", "", "a/b", "a\\b"])
def test_an_adapter_of_a_bundle_has_the_name_of_a_file(name):
    with pytest.raises(InputError, match="adapters"):
        validate(BundleManifest, {"kind": "bundle", "adapters": {name: {"file": "a"}}}, "manifest.json")


def test_a_damaged_setting_in_a_prompt_is_an_error_of_the_manifest():
    with pytest.raises(InputError, match=r"system_prompt is \[1\]"):
        PromptRecord(data={"system_prompt": [1]}).settings(DataSettings)


def test_references_are_a_list_and_no_text():
    row = {"prompt": "q", "completion": "yes", "references": "yes no"}
    assert answer_from_row(row, Origin("rows", 1)).alternatives == ()
    row["references"] = ["yes", "no"]
    assert answer_from_row(row, Origin("rows", 1)).alternatives == ("no",)


def test_a_path_with_a_tilde_in_a_manifest_is_a_plain_name(tmp_path):
    assert path_from("~nobody-of-this-name/x", tmp_path) == tmp_path / "~nobody-of-this-name" / "x"


def test_options_without_effect_are_refused_together():
    given = ChatSettings(task="text-generation", chat_template="x", backend="auto")
    with pytest.raises(InputError, match=r"--chat_template, --task has no effect"):
        refuse_without_effect(given, ("chat_template", "task", "backend"), "a bundle brings it itself")
    refuse_without_effect(ChatSettings(), ("chat_template", "task", "backend"), "a bundle brings it itself")


def test_rows_hold_line_separators_and_a_missing_file_is_named(tmp_path):
    run = RunFolder(tmp_path)
    run.write_json("manifest.json", RunManifest(kind="run", schema_version=SCHEMA_VERSION, status="finished"))
    with pytest.raises(InputError, match=r"eval\.jsonl"):
        load_evaluation_rows(run, None, DataSettings())
    (tmp_path / "data").mkdir()
    text = '{"prompt": "a\u2028b\u0085c", "completion": "d\u2029e", "origin": "x:1"}\n'
    (tmp_path / "data" / "eval.jsonl").write_text(text, encoding="utf-8")
    rows = load_evaluation_rows(run, None, DataSettings())
    assert rows.examples[0].prompt == "a\u2028b\u0085c" and len(rows.examples) == 1


def test_recorded_code_is_refused_before_rows_are_read(tmp_path):
    prompt = PromptRecord(data={"column_mapping": "evil.py:read"})
    with pytest.raises(InputError, match=r"evil\.py:read\n.*--trust_remote_code"):
        load_evaluation_rows(None, "rows.jsonl", DataSettings(), prompt=prompt)


def test_a_task_that_a_bundle_names_by_a_file_is_refused(tmp_path):
    document = {"kind": "bundle", "schema_version": SCHEMA_VERSION, "status": "finished", "task": "evil.py:Task"}
    (tmp_path / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=r"evil\.py:Task\n.*--trust_remote_code"):
        bundle_task(tmp_path)
