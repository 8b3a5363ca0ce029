"""Model folders: what loads, and what is wrong with those that don't, said before anything is loaded."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
import torch

from graft.config import ModelSettings
from graft.errors import InputError
from graft.models.base import link, load_model, load_tokenizer, resolve
from graft.models.weights import file_sha256
from tiny_models import FAMILIES, tiny_model_folder


def named(name: str | Path, **settings: object) -> ModelSettings:
    return ModelSettings(model_name_or_path=str(name), **settings)


def refusal(name: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        resolve(named(name))
    return str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads(tmp_path: Path, family: str) -> None:
    folder = tiny_model_folder(tmp_path, family)
    base = resolve(named(folder))
    model, tokenizer = load_model(base), load_tokenizer(base)
    assert model.dtype == torch.float32 and not model.training
    assert base.sha256 == file_sha256(folder / "model.safetensors")
    assert (base.kind, base.name, base.label) == ("folder", str(folder), f"tiny-{family}")
    ids = tokenizer("Straße 東京", return_tensors="pt")
    assert tokenizer.decode(ids["input_ids"][0]) == "Straße 東京"
    assert model(**ids).logits.shape[-1] == len(tokenizer)


def test_bfloat16_on_demand(tmp_path: Path) -> None:
    base = resolve(named(tiny_model_folder(tmp_path)))
    assert load_model(base, dtype="bfloat16").dtype == torch.bfloat16
    assert load_model(base, attn_implementation="eager").config._attn_implementation == "eager"


def test_truncated_weights(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for length in (len(whole) - 1, 400, 20):
        weights.write_bytes(whole[:length])
        assert "truncated" in refusal(folder), length
    weights.write_bytes(b"")
    assert "not a safetensors file" in refusal(folder)
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(folder)


def test_everything_missing_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.md").write_text("no model", encoding="utf-8")
    said = refusal(tmp_path / "bare")
    assert "config.json" in said and "no weights" in said and "no tokenizer" in said


def test_missing_shard(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path, shards=True)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2
    whole = resolve(named(folder))
    assert len(whole.sha256) == 64
    load_model(whole)
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-4])
    said = refusal(folder)
    assert shards[0].name in said and shards[1].name in said and "truncated" in said


def test_pickle_only_folder(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    expected = load_model(resolve(named(folder)))
    torch.save(expected.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    loaded = load_model(resolve(named(folder)))
    assert torch.equal(loaded.lm_head.weight, expected.lm_head.weight)
    pickle = folder / "pytorch_model.bin"
    pickle.write_bytes(pickle.read_bytes()[:-100])
    assert "truncated" in refusal(folder)


class Opener:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (os.environ["GRAFT_TEST_MARK"], "w")


def test_pickle_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    monkeypatch.setenv("GRAFT_TEST_MARK", str(mark))
    folder = tiny_model_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Opener()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="could run code"):
        load_model(resolve(named(folder)))
    assert not mark.exists()


def test_weights_of_another_model(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}), encoding="utf-8")
    with pytest.raises(InputError, match=r"weights lack 9 of the model's tensors: model\.layers\.2"):
        load_model(resolve(named(folder)))
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}), encoding="utf-8")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(resolve(named(folder)))


def test_unknown_architecture_and_remote_code(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "model_type": "lama"}), encoding="utf-8")
    assert "'llama'" in refusal(folder)
    custom = {**config, "model_type": "mine", "auto_map": {"AutoConfig": "configuration_mine.MineConfig"}}
    file.write_text(json.dumps(custom), encoding="utf-8")
    assert "--trust_remote_code" in refusal(folder)
    file.write_text("{", encoding="utf-8")
    assert "not JSON" in refusal(folder)


def test_encoder_is_refused(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "model_type": "bert"}), encoding="utf-8")
    with pytest.raises(InputError, match=r"is an encoder \(bert\)"):
        load_model(resolve(named(folder)))


def test_link_makes_no_second_copy(tmp_path: Path) -> None:
    base = resolve(named(tiny_model_folder(tmp_path)))
    target = tmp_path / "run" / "model"
    link(base, target)
    link(base, target)  # as a resumed run does
    original = base.path / "model.safetensors"
    linked = target / "model.safetensors"
    assert linked.stat().st_ino == original.stat().st_ino or linked.is_symlink()
    assert not (target / "config.json").samefile(base.path / "config.json")
    (target / "chat_template.jinja").write_text("changed", encoding="utf-8")
    assert load_tokenizer(base).chat_template != "changed"
    again = resolve(named(target))
    assert again.sha256 == base.sha256
    assert torch.equal(load_model(again).lm_head.weight, load_model(base).lm_head.weight)


def test_link_to_another_file_system(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    base = resolve(named(tiny_model_folder(tmp_path)))
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        link(base, Path(folder) / "model")
        assert (Path(folder) / "model" / "model.safetensors").is_symlink()
        assert resolve(named(Path(folder) / "model")).sha256 == base.sha256


def test_link_to_shards_behind_links(tmp_path: Path) -> None:
    """A hub snapshot holds symbolic links to blobs."""
    folder = tiny_model_folder(tmp_path, shards=True)
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(folder.glob("model-*.safetensors"))):
        file.rename(blobs / str(number))
        try:
            file.symlink_to(Path("..") / "blobs" / str(number))
        except OSError:
            pytest.skip("this system makes no symbolic links")
    base = resolve(named(folder))
    link(base, tmp_path / "model")
    assert resolve(named(tmp_path / "model")).sha256 == base.sha256


def test_padding_is_not_the_end_token(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    for pad in ("<|im_end|>", None):
        file.write_text(json.dumps({**config, "pad_token": pad}), encoding="utf-8")
        tokenizer = load_tokenizer(resolve(named(folder)))
        assert tokenizer.pad_token == "<|pad|>" and tokenizer.eos_token == "<|im_end|>"
        assert len(tokenizer) == len(tokenizer.get_vocab())


def test_chat_template_by_text_and_file(tmp_path: Path) -> None:
    base = resolve(named(tiny_model_folder(tmp_path, chat_template=None)))
    assert load_tokenizer(base).chat_template is None
    template = "{% for m in messages %}{% generation %}{{ m.content }}é{% endgeneration %}{% endfor %}"
    (tmp_path / "chat.jinja").write_text(template, encoding="utf-8")
    for given in (template, str(tmp_path / "chat.jinja")):
        tokenizer = load_tokenizer(base, given)
        assert tokenizer.apply_chat_template([{"role": "user", "content": "ü"}], tokenize=False) == "üé"
    with pytest.raises(InputError, match="not Jinja"):
        load_tokenizer(base, "{% for m in messages %}")
    with pytest.raises(InputError, match="no such chat template"):
        load_tokenizer(base, "missing.jinja")
