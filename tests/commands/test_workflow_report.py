"""The page about all passes of a workflow, from the records that the passes left."""

import json

import yaml

from graft.cli.main import main
from graft.commands.workflow_report import write_workflow_report
from graft.runs.manifest import PassRecord, WorkflowManifest
from graft.runs.record import dump
from report import sample_run


def finished(name, kind, **more):
    return PassRecord(name=name, type=kind, status="finished", output=name, seconds=70.0, key=name, **more)


def workflow(folder, *passes):
    folder.mkdir()
    document = {"kind": "workflow", "schema_version": "1.0", "graft": "0.1.0", "file": "/home/ann/flow.yaml"}
    manifest = WorkflowManifest(**document, passes=list(passes))
    (folder / "manifest.json").write_text(dump(manifest), encoding="utf-8")
    return folder


def test_passes_are_named_and_their_settings_written_as_in_a_workflow_file(tmp_path):
    settings = {"data_files": ["a.jsonl", "/home/ann/b.jsonl"], "overwrite": True, "training_args": {"max_steps": 80}}
    flow = workflow(
        tmp_path / "flow",
        finished("clean", "graft.commands.data_passes:Prepare", settings=settings),
        finished("trim", "graft.commands.data_passes:Step_blanks"),
        finished("tune", "graft.commands.model_passes:FinetunePass"),
        finished("mine", "passes/own.py:Mine"),
    )
    sample_run.classification(flow / "tune")
    (flow / "tune" / "report.html").touch()
    page = write_workflow_report(flow, flow / "report").read_text(encoding="utf-8")
    for expected in ("prepare, 1 min 10 s", "blanks, ", "finetune, ", "Mine, ", "a.jsonl, b.jsonl", "max_steps 80"):
        assert expected in page, expected
    for expected in ('href="../tune/report.html"', "<dd>yes</dd>", "<dd>flow.yaml</dd>"):
        assert expected in page, expected
    assert "/home/ann" not in page and "[&#39;" not in page and "FinetunePass" not in page
    figures = json.loads((flow / "report" / "report.json").read_text(encoding="utf-8"))
    verdicts = [one["verdict"] for one in figures["passes"]]
    assert "model is better" in verdicts[2] and verdicts[0] == verdicts[1] == verdicts[3] == ""
    assert f'<p class="verdict">{verdicts[2].split(":")[0]}' in page


def test_a_workflow_without_a_judged_model_counts_its_passes(tmp_path):
    flow = workflow(tmp_path / "flow", finished("clean", "graft.commands.data_passes:Prepare"))
    page = write_workflow_report(flow, flow / "report").read_text(encoding="utf-8")
    assert "1 pass finished." in page


def test_a_report_is_a_pass_and_what_is_left_is_listed_once(tmp_path, capsys):
    rows = [json.dumps({"input": f"How are you, {n}?", "output": f"{n} is fine"}) for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    file, out = tmp_path / "flow.yaml", tmp_path / "out"
    passes = {"clean": {"type": "prepare"}, "trim": {"type": "blanks"}, "page": {"type": "report"}}
    document = {"data_files": str(tmp_path / "rows.jsonl"), "output_path": str(out), "passes": passes}
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    assert main(["run", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "clean"), str(out / "trim")]
    page = (out / "page" / "report.html").read_text(encoding="utf-8")
    assert "prepare, " in page and "blanks, " in page and "20 train rows" in page
