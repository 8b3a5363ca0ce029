"""The gate notices an export that is not the model that was judged, whatever the metric says of it."""

import json

import pytest
from safetensors.numpy import load_file, save_file

from graft.cli.main import main
from graft.commands.export import export_model
from graft.errors import GateError, GraftError
from notes import Notes
from small_runs import bundle_document, tune

METHOD = """
from graft.methods.lora import Lora


class WrongMerge(Lora):
    name = "wrong-merge"
    title = "LoRA, merged wrongly"
    help = "forgets half of the scale when it merges"

    def merge(self, model):
        for layer in model.modules():
            if hasattr(layer, "scaling") and hasattr(layer, "lora_A"):
                layer.scaling = {name: scale / 2 for name, scale in layer.scaling.items()}
        return super().merge(model)


WRONG = WrongMerge()
"""


class Meddling(Notes):
    """Multiplies tensors of a file by 1.5 when it is told something, as another process might write to it."""

    def __init__(self, when, find, names):
        super().__init__()
        self.when, self.find, self.names, self.done = when, find, names, False

    def note(self, text):
        super().note(text)
        self._meddle(text)

    def advance(self, what, done, total):
        self._meddle(what)

    def _meddle(self, text):
        if self.done or self.when not in text:
            return
        self.done = True
        file = self.find()
        tensors = {name: t * 1.5 if self.names in name else t for name, t in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})


@pytest.fixture(scope="module")
def spoilt(learned, tone, tmp_path_factory):
    """A run of a method of the user's own, whose merge is wrong."""
    folder = tmp_path_factory.mktemp("spoilt")
    (folder / "wrong.py").write_text(METHOD, encoding="utf-8")
    return tune(learned, tone, folder / "run", method=f"{folder / 'wrong.py'}:WRONG", max_steps=20, lora_r=8)


@pytest.mark.parametrize("words", [["onnx", "int8"], ["onnx", "float32"], ["gguf", "float16"], ["gguf", "int4"]])
def test_a_wrong_merge_fails_in_every_precision(spoilt, tmp_path, capsys, words):
    format, precision = words
    line = ["auto-opt", str(spoilt), "--format", format, "--precision", precision, "--trust_remote_code"]
    assert main([*line, "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "the merged model differs from the model that was evaluated: logits by up to" in said
    assert not list(tmp_path.iterdir())


def test_a_right_merge_is_recorded(run, tmp_path):
    given = {"model_name_or_path": str(run), "output_path": str(tmp_path / "out"), "precision": "float32"}
    said = bundle_document(export_model(given))
    assert said["merge_difference"] < 1e-4 and said["parity"]["greatest_logit_difference"] < 1e-4


def test_a_wrong_conversion_fails_though_the_metric_is_the_same(run, tmp_path):
    """The base solves the task without its adapter, so that no accuracy is lost."""
    output = tmp_path / "out"
    meddling = Meddling(
        "building float32", lambda: next(tmp_path.rglob("merged/model.safetensors")), "layers.0.self_attn.q_proj"
    )
    given = {"model_name_or_path": str(run), "output_path": str(output), "precision": "float32"}
    with pytest.raises(GateError, match="a wrong conversion: logits in float32 differ by up to"):
        export_model(given, meddling)
    assert meddling.done
    said = bundle_document(output)
    assert said["status"] == "failed" and said["parity"]["drop"] <= 0


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_an_adapter_that_changed_after_the_model_was_loaded(learned, tone, tmp_path, precision):
    """Its file is read again for the slots."""
    run = tune(learned, tone, tmp_path / "run", learning_rate=1e-3)
    meddling = Meddling("PyTorch: answering", lambda: run / "adapter" / "adapter_model.safetensors", "lora_B")
    given = {"model_name_or_path": str(run), "precision": precision, "adapter": "switch"}
    with pytest.raises(GraftError, match="does something else in the graph than in the model that was evaluated"):
        export_model({**given, "output_path": str(tmp_path / "out")}, meddling)
    assert meddling.done and not (tmp_path / "out").exists()


def test_a_scale_that_changed_after_the_model_was_loaded(learned, tone, tmp_path):
    run = tune(learned, tone, tmp_path / "run", learning_rate=1e-3)
    file = run / "adapter" / "adapter_config.json"

    class Rescaling(Notes):
        def advance(self, what, done, total):
            if what != "PyTorch: answering":
                return
            config = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps(config | {"lora_alpha": 3}), encoding="utf-8")

    given = {"model_name_or_path": str(run), "precision": "float32", "adapter": "switch"}
    with pytest.raises(GraftError, match="does something else in the graph"):
        export_model({**given, "output_path": str(tmp_path / "out")}, Rescaling())
