"""Model folders that somebody else made: damaged or hostile headers, configurations and links."""

import json
import os
import struct
from pathlib import Path

import pytest

from graft.config import ModelSettings
from graft.errors import InputError
from graft.models.base import link, load_model, load_tokenizer, resolve
from graft.models.model_config import ModelConfig, plain_sizes, refuse_kernels
from graft.models.safetensors_header import read_header
from graft.runs.record import validate
from tiny_models import tiny_model_folder


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        resolve(ModelSettings(model_name_or_path=str(folder)))
    return str(caught.value)


def weight_file(folder: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return file


def entry(shape: object = (2,), place: object = (0, 8), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": place}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "'a' is declared as nan"),
        ([], "its header is []"),
        ({"a": entry(place=(0.0, 8.0))}, "'a' is declared as"),
        ({"a": entry(place="08")}, "'a' is declared as"),
        ({"a": entry(place=(-8, 0))}, "'a' is declared as"),
        ({"a": entry(shape=[2**40, 2**40])}, "'a' is declared as"),
        ({"a": entry(shape=[True, 2])}, "'a' is declared as"),
        ({"a": entry(shape={"2": 2})}, "'a' is declared as"),
        ({"a": entry(dtype="F31")}, "'a' is declared as"),
        ({"a": entry(dtype=["F32"])}, "'a' is declared as"),
        ({"a": entry(), "b": entry()}, "'b' begins at byte 0, not 8"),
        ({"a": entry(place=(8, 16))}, "'a' begins at byte 8, not 0"),
        ({"__metadata__": {"format": 7}, "a": entry()}, "its __metadata__ is"),
    ],
)
def test_a_header_is_checked_before_anything_is_loaded(tmp_path: Path, header: object, said: str) -> None:
    folder = tiny_model_folder(tmp_path)
    weight_file(folder, header, bytes(8))
    found = refusal(folder)
    assert "not a safetensors file" in found and said in found


def test_the_length_of_a_header_is_not_trusted(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    for length in (2**60, 2**64 - 1):
        weight_file(folder, {"a": entry()}, bytes(8), length)
        assert "not a safetensors file" in refusal(folder)
    weight_file(folder, {"a": entry()}, bytes(4))
    assert "truncated or damaged" in refusal(folder)


def test_weights_that_are_no_file(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    file = folder / "model.safetensors"
    file.unlink()
    file.mkdir()
    assert "not a regular file" in refusal(folder)
    file.rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(file)
        assert "not a regular file" in refusal(folder)
        file.unlink()
        file.symlink_to("/dev/zero")
        assert "not a regular file" in refusal(folder)
        file.unlink()
        file.symlink_to(file)
        assert "a link to a missing file" in refusal(folder)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "C:x.safetensors", "secret", 7, None, ["a"]])
def test_an_index_names_files_of_its_folder_only(tmp_path: Path, name: object) -> None:
    folder = tiny_model_folder(tmp_path, shards=True)
    index = folder / "model.safetensors.index.json"
    (tmp_path / "secret.safetensors").write_bytes((folder / "model-00001-of-00003.safetensors").read_bytes())
    index.write_text(json.dumps({"weight_map": {"a": name}}), encoding="utf-8")
    found = refusal(folder)
    assert str(index) in found and ("not a weight file in this folder" in found or "not an index" in found)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("num_hidden_layers", 10**9, "num_hidden_layers is 1,000,000,000, but the weights have 20 tensors"),
        ("hidden_size", 10**8, "hidden_size is 100,000,000, but no tensor"),
        ("hidden_size", 0, "'hidden_size' is 0"),
        ("hidden_size", -32, "'hidden_size' is -32"),
        ("vocab_size", "x", "'vocab_size' is 'x'; expected a whole number"),
        ("num_attention_heads", 10**30, "'num_attention_heads' is 1000000"),
        ("model_type", 7, "'model_type' is 7; expected a string"),
        ("model_type", None, "no model_type"),
        ("text_config", 7, "'text_config' is 7; expected an object"),
        ("text_config", {"num_hidden_layers": 10**8}, "num_hidden_layers is 100,000,000"),
        ("id2label", {"x": "y"}, "'id2label' are not all numbers"),
        ("architectures", "LlamaForCausalLM", "'architectures' is"),
        ("auto_map", [], "'auto_map' is []"),
        ("eos_token_id", 2**40, "'eos_token_id"),
        ("pad_token_id", "x", "'pad_token_id' is 'x'"),
    ],
)
def test_a_configuration_is_checked_before_it_is_built(tmp_path: Path, key: str, value: object, said: str) -> None:
    folder = tiny_model_folder(tmp_path)
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, key: value}), encoding="utf-8")
    assert said in refusal(folder)


def test_only_a_models_own_files_go_into_a_run(tmp_path: Path) -> None:
    """Seen: ``notes.txt -> /home/user/secret`` was copied into the run."""
    folder = tiny_model_folder(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("my password", encoding="utf-8")
    base = resolve(ModelSettings(model_name_or_path=str(folder)))
    (folder / "todo.txt").write_text("not of the model", encoding="utf-8")
    try:
        (folder / "notes.txt").symlink_to(secret)
        (folder / "notes.json").symlink_to(secret)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    link(base, tmp_path / "run")
    assert not any((tmp_path / "run").glob("*.txt"))
    assert not (tmp_path / "run" / "notes.json").exists()
    said = refusal(folder)
    assert "notes.json: this link leads outside the model folder" in said and "notes.txt" not in said


def test_links_within_a_snapshot_of_the_hub_are_its_own(tmp_path: Path) -> None:
    repository = tmp_path / "models--ann--tiny"
    folder = tiny_model_folder(repository / "snapshots")
    blobs = repository / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(blobs / str(number))
        try:
            file.symlink_to(Path("..") / ".." / "blobs" / str(number))
        except OSError:
            pytest.skip("this system makes no symbolic links")
    link(resolve(ModelSettings(model_name_or_path=str(folder))), tmp_path / "run")
    assert {file.name for file in (tmp_path / "run").iterdir()} == {file.name for file in folder.iterdir()}
    assert not (tmp_path / "run" / "config.json").is_symlink()


def linked(file: Path, target: Path) -> None:
    """Move a file to ``target``, with a link in its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    file.rename(target)
    try:
        file.symlink_to(target)
    except OSError:
        pytest.skip("this system makes no symbolic links")


def test_blobs_of_the_hubs_cache_can_be_on_another_disk(tmp_path: Path) -> None:
    repository = tmp_path / "models--ann--tiny"
    folder = tiny_model_folder(repository / "snapshots")
    (tmp_path / "disk").mkdir()
    linked(folder / "tokenizer.json", tmp_path / "disk" / ("a" * 64))
    assert "this link leads outside the model folder" in refusal(folder)
    (repository / "blobs").symlink_to(tmp_path / "disk")
    assert resolve(ModelSettings(model_name_or_path=str(folder))).path == folder
    linked(folder / "config.json", tmp_path / "disk" / "id_rsa")
    assert "this link leads outside the model folder" in refusal(folder)


def test_files_that_an_older_hub_client_linked_into_its_cache(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    blobs = tmp_path / "hub" / "models--ann--tiny" / "blobs"
    linked(folder / "tokenizer.json", blobs / ("0123456789" * 4))
    link(resolve(ModelSettings(model_name_or_path=str(folder))), tmp_path / "run")
    assert (tmp_path / "run" / "tokenizer.json").is_file() and not (tmp_path / "run" / "tokenizer.json").is_symlink()
    linked(folder / "generation_config.json", tmp_path / "farm" / "generation_config.json")
    assert "cp -rL" in refusal(folder)


def changed(file: Path, changes: dict[str, object]) -> None:
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**found, **changes}), encoding="utf-8")


@pytest.mark.parametrize("kind", ["BertTokenizer", "GPT2Tokenizer", "LlamaTokenizer", "T5Tokenizer", None])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("tokenizer_config.json", "vocab"),
        ("tokenizer_config.json", "merges"),
        ("tokenizer_config.json", "init_inputs"),
        ("tokenizer_config.json", "source_spm"),
        ("tokenizer_config.json", "rewriting_rules"),
        ("tokenizer_config.json", "sudachi_kwargs"),
        ("special_tokens_map.json", "vocab"),
        ("special_tokens_map.json", "vocab_file"),
        ("special_tokens_map.json", "tokenizer_file"),
        ("tokenizer.json", "vocab"),
    ],
)
def test_a_tokenizers_settings_open_no_file_outside(tmp_path: Path, kind: str | None, name: str, key: str) -> None:
    """Seen: the lines of a private file became the vocabulary, which is saved with each run."""
    folder = tiny_model_folder(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("my password\n<unk>\n[UNK]\n", encoding="utf-8")
    value = {"init_inputs": [str(secret)], "sudachi_kwargs": {"file": str(secret)}}.get(key, str(secret))
    changed(folder / "tokenizer_config.json", {"tokenizer_class": kind} if kind else {})
    inside = {"type": "BPE", "merges": [], key: value}
    changed(folder / name, {"model": inside} if name == "tokenizer.json" else {key: value})
    with pytest.raises(InputError) as caught:
        load_tokenizer(resolve(ModelSettings(model_name_or_path=str(folder))))
    assert f"{name}: {key!r}" in str(caught.value)


def test_paths_that_older_tokenizers_name_are_no_harm(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text("{}", encoding="utf-8")
    legacy: dict[str, object] = {
        "name_or_path": str(tmp_path),
        "special_tokens_map_file": str(tmp_path / "special_tokens_map.json"),
        "vocab_file": "/home/author/vocab.json",
        "merges": None,
        "init_inputs": [],
    }
    changed(folder / "tokenizer_config.json", legacy)
    assert load_tokenizer(resolve(ModelSettings(model_name_or_path=str(folder))))("fox")["input_ids"]


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_implementation": "ann/kernel"},
        {"_attn_implementation": "ann/kernel@main:attend"},
        {"_attn_implementation_internal": "paged|ann/kernel"},
        {"attn_implementation": {"": "sdpa", "text_config": "ann/kernel"}},
        {"text_config": {"vision": [{"attn_implementation": "ann/kernel"}]}},
        {"experts_implementation": "deepgemm"},
        {"attn_implementation": ["ann/kernel"]},
    ],
)
def test_a_configuration_names_no_code_to_download(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = tiny_model_folder(tmp_path)
    changed(folder / "config.json", changes)
    assert "could be code that is downloaded and run" in refusal(folder)
    known = {"attn_implementation": "eager", "_attn_implementation": None, "experts_implementation": "grouped_mm"}
    changed(folder / "config.json", {**dict.fromkeys(changes), **known})
    assert resolve(ModelSettings(model_name_or_path=str(folder))).config["attn_implementation"] == "eager"


def test_configurations_of_all_architectures_are_accepted() -> None:
    """Seen: Gemma 3n was refused, whose layers differ in size."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto as known

    kinds = {*known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *known.MODEL_FOR_MASKED_LM_MAPPING_NAMES}
    built = 0
    for kind in sorted(kinds):
        try:
            text = CONFIG_MAPPING[kind]().to_json_string(use_diff=False)
        except Exception:  # it has no default
            continue
        validate(ModelConfig, json.loads(text), kind)
        refuse_kernels(json.loads(text), Path(kind))
        assert not isinstance(plain_sizes(json.loads(text)).get("intermediate_size"), list)
        built += 1
    assert built > 0.9 * len(kinds)


def test_sizes_of_each_layer_are_compared_with_the_weights(tmp_path: Path) -> None:
    folder = tiny_model_folder(tmp_path)
    changed(folder / "config.json", {"intermediate_size": [64, 10**8]})
    assert "intermediate_size is 100,000,000, but no tensor" in refusal(folder)
    changed(folder / "config.json", {"intermediate_size": [64, 48], "max_position_embeddings": 512.0})
    config = resolve(ModelSettings(model_name_or_path=str(folder))).text_config
    assert (config["intermediate_size"], config["max_position_embeddings"]) == (64, 512)


def test_half_a_byte_an_element(tmp_path: Path) -> None:
    file = weight_file(tmp_path, {"a": entry([4], (0, 2), "F4"), "b": entry([0], (2, 2))}, bytes(2))
    assert read_header(file)["a"].shape == (4,)


FAR = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|pad|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [70000], "tokens": ["<|pad|>"]}},
}
"""Begins each text with a token that the model does not know."""


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("tokenizer_config.json", {"model_max_length": "x"}, "'model_max_length' is 'x'"),
        ("tokenizer_config.json", {"model_max_length": -1}, "'model_max_length' is -1"),
        ("tokenizer_config.json", {"tokenizer_class": 7}, "'tokenizer_class' is 7; expected a string"),
        ("tokenizer_config.json", {"eos_token": 7}, ""),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {}}}, ""),
        ("tokenizer_config.json", {"chat_template": 7}, "'chat_template"),
        ("tokenizer.json", {"model": 7}, ""),
        ("tokenizer.json", {"added_tokens": [{"id": -1}]}, ""),
        ("tokenizer.json", {"normalizer": {"type": "Nothing"}}, ""),
        ("generation_config.json", {"eos_token_id": ["x"]}, "'eos_token_id"),
        ("generation_config.json", {"pad_token_id": 10**12}, "'pad_token_id' is 1000000000000"),
        ("tokenizer.json", {"post_processor": FAR}, "returns the token ID 70,000, but the model has 3"),
        ("special_tokens_map.json", [], "this is []; expected a JSON object"),
    ],
)
def test_a_tokenizers_files_are_checked(tmp_path: Path, file: str, changes: object, said: str) -> None:
    folder = tiny_model_folder(tmp_path)
    place = folder / file
    if isinstance(changes, dict):
        changes = {**json.loads(place.read_text(encoding="utf-8")), **changes}
    place.write_text(json.dumps(changes), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_tokenizer(resolve(ModelSettings(model_name_or_path=str(folder))))
    assert said in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize("steps", [[("e", "x" * 10**6)], [("x", "xx")] * 20])
def test_a_tokenizer_that_multiplies_text_is_refused(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    folder = tiny_model_folder(tmp_path)
    place = folder / "tokenizer.json"
    replaced = [{"type": "Replace", "pattern": {"String": one}, "content": other} for one, other in steps]
    made = json.loads(place.read_text(encoding="utf-8"))
    made["normalizer"] = {"type": "Sequence", "normalizers": replaced}
    place.write_text(json.dumps(made), encoding="utf-8")
    with pytest.raises(InputError, match=r"the normalizer of this tokenizer can turn one character into 1,0\d\d,\d+"):
        load_tokenizer(resolve(ModelSettings(model_name_or_path=str(folder))))


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": {"rope_type": "nonsense", "rope_theta": "x"}},
        {"rope_parameters": 7},
        {"hidden_act": "nonsense"},
        {"num_attention_heads": 3},
        {"hidden_size": 16_000},
        {"rms_norm_eps": "x"},
        {"pad_token_id": 10**6},
    ],
)
def test_settings_that_only_the_library_knows(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = tiny_model_folder(tmp_path)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_model(resolve(ModelSettings(model_name_or_path=str(folder))))
    assert str(folder) in str(caught.value)
