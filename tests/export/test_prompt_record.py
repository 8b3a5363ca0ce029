import json
import shutil

import pytest

from graft.commands.export import export_model, generate_adapter
from graft.runs.manifest import read_bundle
from small_runs import tune

INSTRUCTION = "Classify the text as one of: bad, good. Answer with one of these only."


def exported(run, output, **settings):
    return export_model({"model_name_or_path": str(run), "output_path": output, "skip_parity": True, **settings})


@pytest.fixture(scope="session")
def asked_politely(learned, tone, tmp_path_factory):
    """A run over the same base, whose prompts have another form."""
    output = tmp_path_factory.mktemp("polite") / "polite"
    return tune(
        learned,
        tone,
        output,
        max_steps=1,
        system_prompt="Be brief.",
        prompt_template="Review: {text}\nTone?",
        completion_template="{label}",
    )


@pytest.mark.parametrize("kind", ["onnx", "gguf"])
def test_a_bundle_records_how_it_is_asked(run, tmp_path, kind):
    found = read_bundle(exported(run, tmp_path / kind, format=kind, precision="float32")).prompt
    assert found.data["instruction"] == INSTRUCTION
    assert found.kind == "text/label" and sorted(found.labels) == ["bad", "good"]
    assert found.max_length and found.stop == ["<|im_end|>"] and found.chat_template is None
    row = json.loads((run / "data" / "eval.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert found.example == row["prompt"] and found.example[0]["content"].startswith(INSTRUCTION)


def test_a_model_without_a_run_records_where_its_answers_end(learned, tmp_path):
    found = read_bundle(exported(learned, tmp_path / "onnx", precision="float32")).prompt
    assert found.stop == ["<|im_end|>"] and found.data == {} and found.example is None


def test_each_adapter_records_how_it_is_asked_and_one_that_is_added_too(learned, run, asked_politely, tmp_path):
    named = {"tone": run, "polite": asked_politely, "late": shutil.copytree(asked_politely, tmp_path / "late")}
    first = ",".join(f"{name}={named[name]}" for name in ("tone", "polite"))
    bundle = generate_adapter(
        {
            "base_model_path": str(learned),
            "adapter_paths": first,
            "output_path": str(tmp_path / "multi"),
            "precision": "float32",
            "skip_parity": True,
        }
    )
    generate_adapter({"add": f"late={named['late']}", "output_path": str(bundle), "skip_parity": True})
    manifest = read_bundle(bundle)
    assert manifest.prompt is None and manifest.prompt_of("base") is None
    asked = {name: manifest.prompt_of(name) for name in named}
    assert asked["tone"].data["instruction"] == INSTRUCTION and "system_prompt" not in asked["tone"].data
    for name in ("polite", "late"):
        assert asked[name].data["system_prompt"] == "Be brief."
        assert [message["role"] for message in asked[name].example] == ["system", "user"]
        assert asked[name].example[1]["content"].startswith("Review: ")


def test_the_base_is_asked_as_its_adapters_where_they_agree(run, tmp_path):
    bundle = exported(run, tmp_path / "onnx", precision="float32", adapter="hot-swappable")
    manifest = read_bundle(bundle)
    (entry,) = manifest.adapters.values()
    assert entry.prompt == manifest.prompt == manifest.prompt_of("base")
    manifest.prompt = None
    assert manifest.prompt_of("base") == entry.prompt
