"""Links in a folder from a stranger: graft writes to nothing, removes nothing and copies nothing elsewhere."""

import os
from pathlib import Path

import pytest

from graft.commands.evaluate import evaluate_model
from graft.commands.export import generate_adapter
from graft.commands.finetune import finetune
from graft.errors import InputError
from graft.evaluation.compare import Evaluation
from graft.evaluation.store import record_where_possible
from graft.export.bundle import staged
from graft.files import append_line, end_line
from graft.inference.kept_answers import ANSWERS
from graft.progress import Silent
from graft.report import write_pages
from graft.runs.folder import RunFolder
from graft.runs.kept_rows import read_kept_rows
from graft.runs.links import LinkError
from graft.runs.manifest import BundleManifest, update_manifest
from graft.training.checkpoints import MARKER, is_whole, seal
from small_runs import tone_file, tune
from tiny_models import tiny_model_folder

PLANTED = (
    "events.jsonl",
    "metrics.jsonl",
    "manifest.json",
    "evaluation.json",
    ".lock",
    "checkpoints",
    "checkpoints/checkpoint-2",
    "checkpoints/checkpoint-2/complete.json",
    "data",
    "data/eval.jsonl",
    "adapter",
    "adapter/adapter_config.json",
    "model",
    "model/config.json",
    "model/parts",
    "model/parts/model.safetensors",
)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of the user's with a file, a checkpoint that is not complete, and a run's rows."""
    folder = tmp_path / "home"
    for name in (".bashrc", "checkpoint-7/weights.bin", "eval.jsonl", "complete.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"text": "private"}\n', encoding="utf-8")
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.update_manifest(status="interrupted")
    return folder


def plant(run: RunFolder, name: str, elsewhere: Path) -> Path:
    path = run.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    is_folder = not path.suffix or path.name == "checkpoint-2"
    path.symlink_to(elsewhere if is_folder and not name.startswith(".") else elsewhere / ".bashrc")
    return path


@pytest.mark.parametrize("name", PLANTED)
def test_a_link_among_the_parts_of_a_run_is_refused_when_the_run_goes_on(
    run: RunFolder, elsewhere: Path, name: str
) -> None:
    before, path = state(elsewhere), plant(run, name, elsewhere)
    if name != "manifest.json":  # through which nothing is a run
        with pytest.raises(LinkError) as refused:
            run.check_free(resume=True)
        [problem] = refused.value.problems
        assert problem.where == str(path) and "a link" in problem.what and problem.remedy == "remove it"
    with pytest.raises(LinkError), run.lock():
        pytest.fail("the folder was taken")
    assert state(elsewhere) == before


@pytest.mark.parametrize("name", [name for name in PLANTED if name not in {"manifest.json", ".lock"}])
def test_overwriting_a_run_removes_its_links_and_nothing_behind_them(
    run: RunFolder, elsewhere: Path, name: str
) -> None:
    before, path = state(elsewhere), plant(run, name, elsewhere)
    RunFolder.create(run.path, overwrite=True)
    assert not path.exists() and not path.is_symlink() and state(elsewhere) == before
    with run.lock():
        pass


def test_the_weights_of_a_base_may_be_links_and_a_folder_may_be_reached_by_one(run: RunFolder, elsewhere: Path) -> None:
    plant(run, "model/model.safetensors", elsewhere)
    (run.path / "model" / "pytorch_model.bin").symlink_to(elsewhere / "gone")
    latest = run.path.with_name("latest")
    latest.symlink_to(run.path)
    for path in (run.path, latest):
        RunFolder(path).check_free(resume=True)
        with RunFolder(path).lock():
            pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes with names")
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(run: RunFolder) -> None:
    os.mkfifo(run.path / "events.jsonl")
    with pytest.raises(LinkError, match="a pipe"), run.lock():
        pytest.fail("the folder was taken")


def test_nothing_is_appended_to_a_link(run: RunFolder, elsewhere: Path) -> None:
    (elsewhere / ".bashrc").write_bytes(b"no end")
    path = plant(run, "events.jsonl", elsewhere)
    for append in (lambda: append_line(path, "$(date)"), lambda: end_line(path)):
        with pytest.raises(InputError, match="this is a link"):
            append()
    assert (elsewhere / ".bashrc").read_bytes() == b"no end"


def test_sealing_a_checkpoint_writes_to_no_file_that_was_there_before(run: RunFolder, elsewhere: Path) -> None:
    before = state(elsewhere)
    checkpoint = run.path / "checkpoints" / "checkpoint-2"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights.bin").write_bytes(b"1")
    for name in (MARKER, f"{MARKER}.tmp"):
        (checkpoint / name).symlink_to(elsewhere / ".bashrc")
    seal(checkpoint)
    assert is_whole(checkpoint) and not (checkpoint / MARKER).is_symlink() and state(elsewhere) == before


@pytest.mark.parametrize("name", ["data", "data/eval.jsonl"])
def test_rows_that_a_run_links_to_are_not_its_rows(run: RunFolder, elsewhere: Path, name: str) -> None:
    path = run.path / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(elsewhere / path.name if path.suffix else elsewhere)
    with pytest.raises(LinkError, match="a link"):
        read_kept_rows(run.path / "data" / "eval.jsonl")


def test_an_evaluation_goes_into_no_folder_with_links(run: RunFolder, elsewhere: Path, tmp_path: Path) -> None:
    before, heard = state(elsewhere), []
    plant(run, "events.jsonl", elsewhere)

    class Noting(Silent):
        def note(self, text: str) -> None:
            heard.append(text)

    record_where_possible(run, Evaluation({}, []), Noting(), write_pages)
    assert len(heard) == 1 and heard[0].startswith(f"nothing was recorded in {run.path}: this is a link")
    output = tmp_path / "out"
    output.mkdir()
    (output / ANSWERS).symlink_to(elsewhere / ".bashrc")
    with pytest.raises(InputError, match=ANSWERS):
        evaluate_model(tmp_path / "no-model", output_path=output)
    assert state(elsewhere) == before


def test_adapters_are_added_to_no_bundle_with_links(elsewhere: Path, tmp_path: Path) -> None:
    before, bundle = state(elsewhere), tmp_path / "bundle"
    bundle.mkdir()
    update_manifest(bundle, BundleManifest, format="onnx-multi-adapter")
    (bundle / "README.md").symlink_to(elsewhere / ".bashrc")
    with pytest.raises(LinkError, match=r"README\.md"):
        generate_adapter({"add": (f"a={tmp_path}",), "output_path": bundle})
    assert state(elsewhere) == before


def test_an_export_replaces_the_link_that_it_was_sent_to_and_not_the_bundle_behind_it(tmp_path: Path) -> None:
    bundle, link = tmp_path / "bundle", tmp_path / "run" / "onnx-int8"
    bundle.mkdir()
    link.parent.mkdir()
    update_manifest(bundle, BundleManifest, format="onnx")
    link.symlink_to(bundle)
    before = state(bundle)
    with staged(link, overwrite=True) as folder:
        (folder / "model.onnx").write_bytes(b"new")
    assert state(bundle) == before and not link.is_symlink() and [*link.parent.iterdir()] == [link]


def test_a_run_that_is_resumed_writes_no_commands_into_a_file_of_the_shell(elsewhere: Path, tmp_path: Path) -> None:
    run = RunFolder(tune(tiny_model_folder(tmp_path, "llama"), tone_file(tmp_path, 8), tmp_path / "run", max_steps=1))
    run.update_manifest(status="interrupted")
    before = state(elsewhere)
    plant(run, "events.jsonl", elsewhere)
    with pytest.raises(InputError, match=r"events\.jsonl: this is a link"):
        finetune({"output_path": run.path, "resume": True})
    assert state(elsewhere) == before
