"""What a folder is, and what each command says of each kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.cli.main import main
from graft.runs.kind import FolderKind, folder_kind

FIXTURES = Path(__file__).parent.parent / "fixtures"
Graft = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("kinds")
    run, bundle = FIXTURES / "run-0.1", FIXTURES / "bundle-0.1"
    made = {
        "run": shutil.copytree(run, top / "run"),
        "bundle": shutil.copytree(bundle, top / "bundle"),
        "model": shutil.copytree(run / "model", top / "model"),
        "adapter": shutil.copytree(run / "adapter", top / "adapter"),
        "rows": shutil.copytree(FIXTURES / "rows", top / "rows"),
        "evaluation": top / "evaluation",
        "empty": top / "empty",
        "data": shutil.copytree(FIXTURES / "rows", top / "data"),
        "other": top / "other",
        "foreign": top / "foreign",
    }
    for name in ("evaluation", "empty", "other", "foreign"):
        made[name].mkdir()
    shutil.copy(run / "evaluation.json", made["evaluation"])
    (made["data"] / "manifest.json").write_text('{"kind": "data"}', encoding="utf-8")
    (made["other"] / "notes.txt").write_text("a", encoding="utf-8")
    (made["foreign"] / "manifest.json").write_text('{"name": "an app"}', encoding="utf-8")
    (made["foreign"] / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    return {**made, "file": top / "other" / "notes.txt", "missing": top / "missing"}


@pytest.fixture
def graft(capsys: pytest.CaptureFixture[str]) -> Graft:
    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("run", FolderKind.RUN),
        ("bundle", FolderKind.BUNDLE),
        ("model", FolderKind.MODEL),
        ("adapter", FolderKind.ADAPTER),
        ("rows", FolderKind.DATA_FILES),
        ("data", FolderKind.DATA),
        ("evaluation", FolderKind.EVALUATION),
        ("empty", FolderKind.EMPTY),
        ("other", FolderKind.OTHER),
        ("foreign", FolderKind.MODEL),
        ("file", FolderKind.FILE),
        ("missing", FolderKind.MISSING),
    ],
)
def test_each_kind_is_told(folders: dict[str, Path], name: str, kind: FolderKind) -> None:
    assert folder_kind(folders[name]) is kind


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run", ("finished", "0.625", "metrics.jsonl")),
        ("bundle", ("finished", "parity", "precision", "size", "graft chat")),
        ("evaluation", ("evaluated", "0.625")),
        ("model", ("llama", "parameters")),
    ],
)
def test_show_describes(folders: dict[str, Path], graft: Graft, name: str, said: tuple[str, ...]) -> None:
    code, out, err = graft("show", folders[name])
    assert code == 0, err
    for words in said:
        assert words in out, (words, out)
    assert "not compared with its base" not in out
    code, out, err = graft("show", folders[name], "--json")
    assert code == 0 and json.loads(out), err


def test_doctor_says_of_a_bundle_what_the_gate_said(folders: dict[str, Path], graft: Graft, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(folders["bundle"], tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    code, out, _ = graft("doctor", bundle)
    assert code == 0 and manifest["parity"]["why"] in out and "No problems found" in out
    manifest["parity"] |= {"passed": False, "why": "accuracy 0.9 in PyTorch, 0.5 in the bundle"}
    manifest["parity"]["token_ids_identical"] = [6, 8]
    manifest["status"] = "failed"
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    code, out, _ = graft("doctor", bundle)
    assert code == 0 and "The bundle answers worse than the PyTorch model" in out and "0.5 in the bundle" in out
    assert "2 of 8 prompts have different tokens" in out and "--max_accuracy_drop" in out
    manifest |= {"parity": "skipped (--skip_parity)", "status": "finished"}
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    code, out, _ = graft("doctor", bundle, "--json")
    assert [finding["kind"] for finding in json.loads(out)["findings"]] == ["not_compared"]
    assert graft("doctor", bundle, "--fail_on", "warning")[0] == 3
    assert graft("doctor", bundle, "--fail_on", "error")[0] == 0
    code, _, err = graft("doctor", bundle, "--model", "smollm2-135m-instruct")
    assert code == 2 and "--model is an option for data, and this is an exported bundle" in err


@pytest.mark.parametrize(
    ("command", "name", "said"),
    [
        *[
            (("doctor",), name, said)
            for name, said in (
                ("model", "this is a model folder, not a run folder, an exported bundle or a folder with data files"),
                ("adapter", "this is an adapter folder, not"),
                ("empty", "this is an empty folder, not"),
                ("other", "this is a folder that graft does not recognize, not"),
                ("missing", "missing"),
            )
        ],
        (("show",), "rows", "graft finetune MODEL"),
        (("show",), "empty", "this is an empty folder, not a run, a bundle, a search, a model or a prepared data set"),
        (("show",), "other", "not a run, a bundle, a search, a model or a prepared data set"),
        *[
            ((command,), name, f"this is {what}, not a model")
            for command in ("chat", "evaluate", "auto-opt")
            for name, what in (
                ("rows", "a folder with data files"),
                ("data", "a prepared data set"),
                ("evaluation", "an evaluation without a run"),
                ("empty", "an empty folder"),
            )
        ],
        (("auto-opt",), "bundle", "this is an exported bundle, not a run or a model"),
        (
            ("finetune", "DATA", "--data_files", "rows.jsonl"),
            "bundle",
            "this is an exported bundle, not a run or a model",
        ),
    ],
)
def test_what_a_command_cannot_use_is_named(
    folders: dict[str, Path], graft: Graft, command: tuple[str, ...], name: str, said: str
) -> None:
    word, *options = command
    if options:
        rows = folders["rows"] / "train.jsonl"
        code, _, err = graft(word, "--model_name_or_path", folders[name], "--data_files", rows)
    else:
        code, _, err = graft(word, folders[name])
    assert code == 2 and said in err, err
    assert "--resume" not in err


def test_a_bundle_is_no_place_for_a_run(folders: dict[str, Path], graft: Graft, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(folders["bundle"], tmp_path / "bundle"))
    before = {file.name: file.read_bytes() for file in bundle.iterdir() if file.is_file()}
    line = ["finetune", folders["model"], folders["rows"] / "train.jsonl", "-o", bundle]
    for options in ([], ["--overwrite"], ["--resume"]):
        code, _, err = graft(*line, *options)
        assert code == 2 and "exported bundle" in err, (options, err)
    assert {file.name: file.read_bytes() for file in bundle.iterdir() if file.is_file()} == before
