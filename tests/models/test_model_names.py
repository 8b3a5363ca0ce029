"""Names that are no folder: embedded, hub ids, and near misses; without a connection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graft.config import ModelSettings
from graft.errors import GraftError, InputError
from graft.models.base import open_run_or_model, resolve
from graft.models.license import commercial_use, find_license
from tiny_models import tiny_model_folder


def named(name: str | Path) -> ModelSettings:
    return ModelSettings(model_name_or_path=str(name))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's client as HF_HUB_OFFLINE=1 and HF_HOME make it; it reads them when it is first imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_hub_id_without_a_connection(offline: Path) -> None:
    with pytest.raises(InputError) as caught:
        resolve(named("HuggingFaceTB/SmolLM2-135M-Instrukt"))
    said = str(caught.value)
    assert "no folder" in said and "HF_HUB_OFFLINE is set" in said
    assert "did you mean smollm2-135m-instruct?" in said and "Hub model" in said


def test_a_folder_that_is_nearly_called_so(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_model_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="did you mean tiny-llama"):
        resolve(named("tiny-lama"))
    (tmp_path / "rows.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="give the model first, then the data"):
        resolve(named("rows.jsonl"))


def test_environment_variable_is_respected(tmp_path: Path) -> None:
    code = (
        "from graft.models.base import resolve; from graft.config import ModelSettings\n"
        "resolve(ModelSettings(model_name_or_path='nobody/nothing'))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "InputError" in done.stderr and "HF_HUB_OFFLINE is set" in done.stderr


def test_hub_model_in_the_local_cache(offline: Path) -> None:
    """What an earlier run with a connection left is used without one."""
    commit = "0" * 40
    repository = offline / "models--someone--tiny-llama"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    (repository / "snapshots").mkdir()
    tiny_model_folder(repository / "snapshots").rename(repository / "snapshots" / commit)
    base = resolve(named("someone/tiny-llama"))
    assert (base.kind, base.name) == ("hub", "someone/tiny-llama")
    assert base.path.name == commit


def test_missing_folder_and_files(tmp_path: Path) -> None:
    tiny_model_folder(tmp_path)
    with pytest.raises(InputError, match="did you mean tiny-llama"):
        resolve(named(tmp_path / "tiny-lama"))
    with pytest.raises(InputError, match=r"a folder or a \.gguf file"):
        resolve(named(tmp_path / "tiny-llama" / "model.safetensors"))
    with pytest.raises(InputError, match="no such file"):
        resolve(named(tmp_path / "missing.gguf"))
    with pytest.raises(InputError, match="no model is given"):
        resolve(ModelSettings())
    with pytest.raises(InputError, match="the model folder 'not a name' does not exist"):
        resolve(named("not a name"))


def test_other_folders_are_no_base(tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="run folder"):
        resolve(named(tmp_path / "run"))
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="adapter, not a model"):
        resolve(named(tmp_path / "adapter"))


def test_open_model_folder(tmp_path: Path) -> None:
    opened = open_run_or_model(tiny_model_folder(tmp_path))
    assert (opened.adapter, opened.run, opened.name) == (None, None, "tiny-llama")
    with pytest.raises(GraftError):
        open_run_or_model(tmp_path / "nothing")


def test_licenses(tmp_path: Path) -> None:
    assert find_license(tmp_path, {}) == "unknown"
    assert find_license(tmp_path, {}, "meta-llama/Llama-3.2-1B-Instruct") == "llama3.2"
    assert find_license(tmp_path, {}, "meta-llama/Meta-Llama-3-8B") == "llama3"
    assert find_license(tmp_path, {"_name_or_path": "google/gemma-2-2b"}) == "gemma"
    assert find_license(tmp_path, {}, "microsoft/DialoGPT-medium") == "mit"
    assert find_license(tmp_path, {}, "someone/other") == "unknown"
    (tmp_path / "LICENSE").write_text("  Apache License\n  Version 2.0, January 2004\n", encoding="utf-8")
    assert find_license(tmp_path, {}, "someone/other") == "apache-2.0"
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: qwen-research\n---\n# x", encoding="utf-8")
    assert find_license(tmp_path, {}) == "qwen-research"
    assert commercial_use("qwen-research") == commercial_use("cc-by-nc-4.0") == "no commercial use"
    assert "allowed" in commercial_use("apache-2.0") and "Meta" in commercial_use("llama3.2")
    assert "unknown" in commercial_use(None)
