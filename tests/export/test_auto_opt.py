import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from graft.cli.main import main
from graft.commands.export import export_model
from graft.errors import GateError, GraftError, InputError
from graft.export.bundle import staged
from graft.export.cached_predictions import recorded_evaluation
from graft.progress import Silent
from graft.runs.folder import RunFolder
from graft.runs.staged import clear_stale
from small_runs import bundle_document


@pytest.fixture
def copied(run, tmp_path):
    """A run of this test's own: auto-opt adds to its evaluation."""
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="session")
def exact(run, tmp_path_factory):
    """The run in float32, checked."""
    copy = tmp_path_factory.mktemp("exact") / "run"
    shutil.copytree(run, copy)
    bundle = export_model({"model_name_or_path": str(copy), "precision": "float32"})
    return copy, bundle


def test_a_run_becomes_a_bundle_that_answers_the_same(exact):
    _, bundle = exact
    said = bundle_document(bundle)
    parity = said["parity"]
    rows = parity["rows_answered"]
    assert said["status"] == "finished" and rows >= 50
    for what in ("template_identical", "ends_identical", "answers_equal", "answers_equal_in_batches"):
        assert parity[what] == [rows, rows], what
    assert parity["greatest_logit_difference"] < 1e-3
    assert parity["bundle"]["value"] == pytest.approx(parity["pytorch"]["value"])
    assert {"genai_config.json", "tokenizer.json", "model.onnx", "manifest.json", "README.md"} <= {
        file.name for file in bundle.iterdir()
    }


def test_the_bundle_is_the_third_column_of_the_runs_report(exact):
    run, _ = exact
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert list(document["predictors"]) == ["base", "tuned", "onnx float32"]
    assert "onnx float32" in (run / "report.html").read_text(encoding="utf-8")


def test_the_readmes_lines_run_as_they_are(exact):
    _, bundle = exact
    text = (bundle / "README.md").read_text(encoding="utf-8")
    lines = text.split("```python\n")[1].split("```")[0].replace("max_length=1024", "max_length=64")
    done = subprocess.run([sys.executable, "-c", lines], cwd=bundle, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_walkthroughs_line_works_and_is_quiet(run, tone, tmp_path, capfd):
    line = (
        f"auto-opt --model_name_or_path {run / 'model'} --adapter_path {run / 'adapter'} --device cpu "
        f"--provider CPUExecutionProvider --use_ort_genai --output_path {tmp_path / 'onnx'} --log_level 1"
    )
    code = main([*line.split(), "--precision", "int8", "--skip_parity"])
    said = capfd.readouterr()
    assert code == 0
    assert "skipped" in bundle_document(tmp_path / "onnx")["parity"]
    assert "Saving" not in said.out + said.err and "GroupQueryAttention" not in said.out + said.err


def test_what_the_runs_evaluation_asked_of_pytorch_is_not_asked_again(exact, learned, tone, tmp_path):
    """The run was evaluated when it became a bundle: base and tuned are then as they are in its evaluation."""
    run, _ = exact
    copy = shutil.copytree(run, tmp_path / "run")
    before = json.loads((copy / "evaluation.json").read_text(encoding="utf-8"))
    notes = Notes()
    export_model(
        {"model_name_or_path": str(copy), "precision": "float32", "output_path": str(tmp_path / "again")}, notes
    )
    assert any("from the run's evaluation" in note for note in notes.said)
    after = json.loads((copy / "evaluation.json").read_text(encoding="utf-8"))
    for name in ("base", "tuned"):
        assert after["predictors"][name] == before["predictors"][name]
    for metric, figures in before["predictors"]["onnx float32"].items():
        assert after["predictors"]["onnx float32"][metric] == pytest.approx(figures, abs=2e-3), metric
    (copy / "adapter" / "adapter_model.safetensors").write_bytes(b"another")
    assert recorded_evaluation(RunFolder.open(copy), None) is None


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def test_int4_is_rounded_for_the_users_rows_and_says_so(copied, tmp_path):
    found = {}
    for rounding in ("rtn", "gptq"):
        bundle = export_model(
            {
                "model_name_or_path": str(copied),
                "output_path": str(tmp_path / rounding),
                "rounding": rounding,
                "max_accuracy_drop": 0.99,
            }
        )
        said = bundle_document(bundle)
        assert said["rounding"] == rounding
        found[rounding] = said
    differences = {name: said["parity"]["greatest_logit_difference"] for name, said in found.items()}
    assert differences["gptq"] < differences["rtn"]
    assert found["gptq"]["size_mb"] <= found["rtn"]["size_mb"] * 1.1


def test_a_bundle_that_answers_worse_is_marked_failed_and_ends_with_3(copied, tmp_path, monkeypatch):
    """The weights are spoilt between building and checking, as a broken builder would."""
    from graft.export.onnx import export_builder

    make = export_builder.ExportBuilder.make

    def spoilt(self, variant, output):
        make(self, variant, output)
        data = output / "model.onnx.data"
        content = bytearray(data.read_bytes())
        content[:] = content[::-1]
        data.write_bytes(content)

    monkeypatch.setattr(export_builder.ExportBuilder, "make", spoilt)
    code = main(["auto-opt", str(copied), "--precision", "float32", "-o", str(tmp_path / "bad")])
    assert code == 3
    assert bundle_document(tmp_path / "bad")["status"] == "failed"


def test_auto_prints_what_it_tried_and_takes_the_smallest_that_passes(copied, tmp_path):
    bundle = export_model(
        {"model_name_or_path": str(copied), "precision": "auto", "output_path": str(tmp_path / "auto")}
    )
    said = bundle_document(bundle)
    passing = [one["size_mb"] for one in said["candidates"] if one["passed"]]
    assert {one["precision"] for one in said["candidates"]} == {"int4", "int8", "float32"}
    assert said["size_mb"] == min(passing)


def test_bounds_that_nothing_meets_end_with_3_and_leave_nothing(copied, tmp_path):
    with pytest.raises(GateError, match="MB"):
        export_model(
            {
                "model_name_or_path": str(copied),
                "precision": "auto",
                "max_size": 0.001,
                "output_path": str(tmp_path / "small"),
            }
        )
    assert list(tmp_path.iterdir()) == [copied]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "npu"}, "does not support QNN"),
        ({"provider": "OpenVINOExecutionProvider", "device": "gpu"}, "does not support OpenVINO"),
        ({"provider": "Cpu", "precision": "float16"}, "float16 cannot be built"),
        ({"provider": "Abacus"}, "unknown execution provider"),
    ],
)
def test_impossible_targets_are_refused_with_the_reason(run, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        export_model({"model_name_or_path": str(run), "output_path": str(tmp_path / "x"), **options})
    assert not list(tmp_path.iterdir())


def test_what_cannot_run_here_is_built_and_says_so(run, tmp_path):
    bundle = export_model(
        {
            "model_name_or_path": str(run),
            "output_path": str(tmp_path / "gpu"),
            "device": "gpu",
            "provider": "DmlExecutionProvider",
            "precision": "float16",
        }
    )
    said = bundle_document(bundle)
    assert not said["run_here"] and "not run here" in said["parity"]


def test_a_folder_that_is_no_bundle_is_not_touched(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="not a bundle"):
        export_model({"model_name_or_path": str(run), "output_path": str(tmp_path / "mine"), "overwrite": True})
    assert (tmp_path / "mine" / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_an_architecture_the_builder_does_not_know_is_refused(tmp_path):
    from tiny_models import tiny_model_folder

    model = tiny_model_folder(tmp_path, "gpt2")
    with pytest.raises(InputError, match="GPT2LMHeadModel"):
        export_model(
            {
                "model_name_or_path": str(model),
                "output_path": str(tmp_path / "out"),
                "precision": "float32",
                "skip_parity": True,
            }
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no resource limits")
def test_a_full_disk_leaves_no_folder(run, tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(GraftError):
            export_model({"model_name_or_path": str(run), "output_path": str(tmp_path / "full"), "skip_parity": True})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_halfway_nothing_looks_finished(run, tmp_path):
    command = [
        sys.executable,
        "-m",
        "graft.cli.main",
        "auto-opt",
        str(run),
        "--skip_parity",
        "-o",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not list(tmp_path.glob(".out-*/.work/*/*")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = list(tmp_path.glob(".out-*"))
    assert left and not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out-*/manifest.json"))
    with staged(tmp_path / "out") as folder:
        (folder / "manifest.json").write_text("{}", encoding="utf-8")
        assert list(tmp_path.glob(".out-*")) == [folder]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["manifest.json"]


def test_an_unfinished_folder_is_left_to_the_process_that_works_in_it(tmp_path):
    script = (
        "import sys, time, pathlib\n"
        "from graft.export.bundle import staged\n"
        "with staged(pathlib.Path(sys.argv[1])):\n"
        "    print('there', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "there\n"
        (theirs,) = tmp_path.glob(".out-*")
        assert clear_stale(tmp_path / "out") == []
        other.kill()
        other.wait()
    assert clear_stale(tmp_path / "out") == [theirs]
    assert not list(tmp_path.iterdir())


def test_a_folder_of_another_name_is_not_cleared_away(tmp_path):
    (tmp_path / ".outer-1234.graft-tmp").mkdir()
    (tmp_path / ".out-fresh.graft-tmp").mkdir()
    assert clear_stale(tmp_path / "out") == []
    os.utime(tmp_path / ".out-fresh.graft-tmp", (0, 0))
    assert [folder.name for folder in clear_stale(tmp_path / "out")] == [".out-fresh.graft-tmp"]
