"""Adapters of qlora runs over one base: it has the int4 weights that they were trained on, or they are refused."""

import json
import shutil

import pytest

from graft.commands.export import export_model, generate_adapter
from graft.config import GenerateAdapterSettings
from graft.errors import InputError
from graft.export.adapter_placement import as_trained
from notes import Notes
from small_runs import bundle_document, tune


@pytest.fixture(scope="module")
def runs(learned, tone, tmp_path_factory):
    """Two adapters over int4 weights, and one over float32: each changes logits by far more than int4's products do."""
    folder = tmp_path_factory.mktemp("runs")
    given = {"learning_rate": 1e-2, "max_steps": 20}
    return {
        "one": tune(learned, tone, folder / "one", method="qlora", **given),
        "two": tune(learned, tone, folder / "two", method="qlora", lora_r=4, target_modules="q_proj,v_proj", **given),
        "float": tune(learned, tone, folder / "float", **given),
    }


def built(learned, runs, names, output, reporter=None, **options):
    paths = ",".join(f"{name}={runs[name]}" for name in names)
    given = {"base_model_path": str(learned), "adapter_paths": paths, "output_path": str(output), **options}
    return generate_adapter(given, reporter)


@pytest.fixture(scope="module")
def bundle(learned, runs, tmp_path_factory):
    return built(learned, runs, ["one", "two"], tmp_path_factory.mktemp("bundle") / "both")


def test_the_base_has_the_weights_that_they_were_trained_on(bundle):
    """Over the same base in int8 the logits are off by 0.45 and more, over int4 of GPTQ by 0.5."""
    said = bundle_document(bundle)
    assert (said["precision"], said["rounding"], said["status"]) == ("int4", "trained", "finished")
    for entry in said["adapters"].values():
        assert entry["parity"]["greatest_logit_difference"] < 0.2
        same, of = entry["parity"]["answers_equal"]
        assert same >= of - 2


def test_a_single_run_is_switched_over_its_own_weights(runs, tmp_path):
    given = {"model_name_or_path": str(runs["one"]), "output_path": str(tmp_path / "one"), "adapter": "switch"}
    said = bundle_document(export_model(given))
    assert said["rounding"] == "trained"
    assert said["parity"]["greatest_logit_difference"] < 0.2


def test_with_one_of_float_weights_the_note_and_the_figures_say_what_it_costs(learned, runs, tmp_path):
    notes = Notes()
    said = bundle_document(built(learned, runs, ["one", "float"], tmp_path / "mixed", notes))
    assert said["rounding"] == "trained"
    off = {name: entry["parity"]["greatest_logit_difference"] for name, entry in said["adapters"].items()}
    assert off["one"] < 0.2 and off["float"] > off["one"]
    assert any("as one was trained on; float was trained on its weights in floating point" in n for n in notes.texts)


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_another_precision_is_refused(learned, runs, tmp_path, precision):
    with pytest.raises(InputError, match=rf"int4 weights that it was trained on, not {precision}: one"):
        built(learned, runs, ["one", "float"], tmp_path / "x", precision=precision)
    assert not list(tmp_path.iterdir())
    settings = GenerateAdapterSettings(precision=precision)
    assert as_trained(settings, {"float": runs["float"]}) is settings


def test_it_is_added_only_to_a_base_of_those_weights(learned, runs, bundle, tmp_path):
    plain = built(learned, runs, ["float"], tmp_path / "plain", precision="int4")
    assert bundle_document(plain)["rounding"] == "gptq"
    with pytest.raises(InputError, match="int4 weights that it was trained on, which this bundle does not have: late"):
        generate_adapter({"add": f"late={runs['one']}", "output_path": str(plain)})
    copy = shutil.copytree(bundle, tmp_path / "copy")
    generate_adapter({"add": f"late={runs['one']}", "output_path": str(copy)})
    assert bundle_document(copy)["adapters"]["late"]["parity"]["greatest_logit_difference"] < 0.2


def test_one_over_nf4_is_refused(learned, runs, tmp_path):
    """As a run on a GPU leaves it: no bundle has these weights."""
    copy = shutil.copytree(runs["one"] / "adapter", tmp_path / "nf4")
    file = copy / "quantization.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({"format": "nf4", "layers": record["layers"]}), encoding="utf-8")
    with pytest.raises(InputError, match="trained over NF4 weights cannot be hot-swappable"):
        built(learned, {"nf4": copy}, ["nf4"], tmp_path / "x")
