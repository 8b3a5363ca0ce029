"""Damaged run folders and bundles: their readers return something or say what is wrong, and end in no other way."""

import json
import random
import shutil
from pathlib import Path

import pytest
from children import Case, run_cases
from damage import INSTEAD, instead_of, of_bytes, of_json, of_lines, put
from torture import FACTOR, rounds, tally

from graft.cli.main import main
from graft.commands.export import export_model
from graft.errors import InputError
from graft.export.onnx.adapter_prompt import template_of
from graft.export.onnx.genai_folder import adapter_file, end_tokens, read_decoder
from graft.export.targets.gguf import _file_of
from graft.methods.adapter_folder import read_config, read_record
from graft.report import usage
from graft.runs.evaluation_document import read_evaluation, read_metrics, read_predictions
from graft.runs.folder import RunFolder
from graft.runs.kept_rows import read_kept_rows
from graft.runs.kind import folder_kind
from graft.runs.manifest import read_bundle, read_run
from graft.runs.view import RunView
from graft.training.checkpoints import is_whole
from small_runs import tune
from task_rows import ROWS
from tiny_models import tiny_model_folder
from tiny_task_models import tiny_bert_folder

FIXTURES = Path(__file__).parents[1] / "fixtures"
COMMANDS = ("show", "show --json", "doctor", "doctor --json")
WORDS_OF_LIBRARIES = ("pydantic", "validation error", "Input should", "yaml", "object is not", "has no attribute")


@pytest.fixture
def folder(tmp_path):
    """Makes a copy of one of the fixtures."""

    def copy(name):
        made = Path(shutil.copytree(FIXTURES / name, tmp_path / name))
        record = made / "adapter" / "quantization.json"
        if record.parent.is_dir():
            record.write_text('{"format": "nf4", "layers": ["model.layers.0.mlp.up_proj"], "sha256": null}', "utf-8")
        return made

    return copy


def damages(file, count):
    """Damaged contents of a JSON or JSON Lines file: ``count`` of those of its values, and all of its bytes."""
    content = file.read_bytes()
    if file.suffix == ".jsonl":
        found = [one for line in {0, content.count(b"\n") - 1} for one in of_lines(content, line)]
    else:
        found = list(of_json(content.decode()))
    chosen = found if count >= len(found) else random.Random(file.name).sample(found, count)
    return [*chosen, *of_bytes(content, seed=18, count=rounds(5))]


def ask(found, capsys, name, words):
    """Run a command in this process."""
    code = main(words)
    said = capsys.readouterr().err
    found.command(f"{words[0]} {name}", code, said)
    foreign = [word for word in WORDS_OF_LIBRARIES if word in said]
    if foreign:
        found.faults.append(f"{words[0]} {name}: {foreign[0]!r} in {said[:300]}")


@pytest.mark.parametrize("file", ["manifest.json", "metrics.jsonl", "evaluation.json", "predictions.jsonl"])
def test_show_and_doctor_of_a_damaged_run(folder, file, capsys):
    run, draw = folder("run-0.1"), random.Random(file)
    with tally("damaged run folders") as found:
        for name, content in damages(run / file, rounds(25)):
            with put(run / file, content):
                for one in COMMANDS if FACTOR > 1 else [draw.choice(COMMANDS)]:
                    ask(found, capsys, f"{file}: {name}", [*one.split(), str(run)])
        for what in INSTEAD:
            with instead_of(run / file, what):
                ask(found, capsys, f"{what} for {file}", ["show", str(run)])


@pytest.mark.parametrize("bundle", ["bundle-0.1", "multi-adapter-0.1"])
def test_show_and_doctor_of_a_damaged_bundle(folder, bundle, capsys):
    made, draw = folder(bundle), random.Random(bundle)
    file = made / "manifest.json"
    with tally("damaged bundles") as found:
        for name, content in damages(file, rounds(40)):
            with put(file, content):
                for one in COMMANDS if FACTOR > 1 else [draw.choice(COMMANDS)]:
                    ask(found, capsys, name, [*one.split(), str(made)])


def usage_of(run):
    return usage.snippet(RunView.read(run))


OF_A_RUN = {
    "manifest.json": [read_run, folder_kind, usage_of],
    "metrics.jsonl": [read_metrics, lambda run: RunFolder(run).truncate_metrics(10)],
    "evaluation.json": [read_evaluation],
    "predictions.jsonl": [read_predictions],
    "data/train.jsonl": [lambda run: read_kept_rows(run / "data" / "train.jsonl"), usage_of],
    "data/eval.jsonl": [lambda run: read_kept_rows(run / "data" / "eval.jsonl", "text/labels")],
    "adapter/adapter_config.json": [lambda run: read_config(run / "adapter"), usage_of],
    "adapter/quantization.json": [lambda run: read_record(run / "adapter")],
    "checkpoints/checkpoint-40/complete.json": [lambda run: is_whole(run / "checkpoints" / "checkpoint-40")],
    "model/config.json": [usage_of],
    "model/tokenizer_config.json": [usage_of],
}


def read_damaged(folder, file, readers, count, found):
    """Call each reader of ``folder`` with ``file`` damaged, or replaced by something that is not a file."""
    for name, content in damages(folder / file, count):
        for read in readers:
            with put(folder / file, content), found.case(f"{file}: {name}"):
                read(folder)
    for what in INSTEAD:
        for read in readers:
            with instead_of(folder / file, what), found.case(f"{what} for {file}"):
                read(folder)


@pytest.mark.parametrize("file", OF_A_RUN)
def test_readers_of_a_damaged_run(folder, file):
    with tally("damaged run folders") as found:
        read_damaged(folder("run-0.1"), file, OF_A_RUN[file], rounds(40), found)


def adapter_files(bundle):
    manifest = read_bundle(bundle)
    for name in ("tone", "base", None):
        adapter_file(bundle, name)
        template_of(bundle, manifest.prompt_of(name))


OF_A_BUNDLE = {
    "manifest.json": [folder_kind, adapter_files, _file_of],
    "genai_config.json": [read_decoder, end_tokens],
}


@pytest.mark.parametrize("file", OF_A_BUNDLE)
def test_readers_of_a_damaged_bundle(folder, file):
    with tally("damaged bundles") as found:
        read_damaged(folder("multi-adapter-0.1"), file, OF_A_BUNDLE[file], rounds(80), found)


def cases(made, files, commands, count):
    """``count`` cases for each of ``files``, and for each command one without a damage."""
    found = [
        Case(f"{words}: as it is", words.split(), made, files[0], (made / files[0]).read_bytes()) for words in commands
    ]
    for name in files:
        file, draw = made / name, random.Random(name)
        listed = damages(file, 4 * count) if file.suffix in {".json", ".jsonl"} else []
        listed = listed or list(of_bytes(file.read_bytes(), seed=18, count=2 * count))
        for damage, content in draw.sample(listed, min(count, len(listed))):
            words = draw.choice(commands)
            found.append(Case(f"{words.split()[0]} {name}: {damage}", words.split(), made, name, content))
    return found


def accepted_as_they_are(found, commands):
    """Whether the commands run where nothing is damaged: else they would prove nothing."""
    return found.accepted >= len(commands)


@pytest.fixture
def run(folder, tmp_path):
    """A run that can be resumed: its base and its data are where its settings say."""
    made = folder("run-0.1")
    shutil.copytree(made / "model", tmp_path / "base")
    shutil.copytree(FIXTURES / "rows", tmp_path, dirs_exist_ok=True)
    settings = made / "config.yaml"
    settings.write_text(settings.read_text("utf-8").replace("/home/user/models/tiny-llama", "base"), "utf-8")
    (made / "adapter" / "quantization.json").unlink()
    return made


READ_FROM_A_RUN = (
    *("manifest.json", "evaluation.json", "predictions.jsonl", "data/eval.jsonl"),
    *("adapter/adapter_config.json", "adapter/adapter_model.safetensors"),
)
CHAT = "chat FOLDER --prompt hello --max_new_tokens 4"


def test_chat_and_evaluate_of_a_damaged_run(run, tmp_path):
    commands = [CHAT, "evaluate FOLDER --bootstrap_samples 100"]
    with tally("damaged run folders") as found:
        run_cases(cases(run, READ_FROM_A_RUN, commands, rounds(1)), found, tmp_path)
        assert accepted_as_they_are(found, commands)


READ_BY_RESUME = (
    *("manifest.json", "config.yaml", "metrics.jsonl"),
    *(f"checkpoints/checkpoint-60/{name}" for name in ("trainer_state.json", "complete.json", "optimizer.pt")),
    *(f"checkpoints/checkpoint-60/{name}" for name in ("scheduler.pt", "rng_state.pth", "adapter_config.json")),
)


@pytest.mark.slow
def test_resuming_a_damaged_run(run, tmp_path):
    commands = ["finetune --resume --output_path FOLDER --max_steps 61"]
    with tally("damaged run folders") as found:
        run_cases(cases(run, READ_BY_RESUME, commands, rounds(1)), found, tmp_path)
        assert accepted_as_they_are(found, commands)


READ_FROM_A_BUNDLE = (
    *("manifest.json", "genai_config.json", "model.onnx", "model.onnx.data"),
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
)


@pytest.mark.parametrize("name", ["bundle-0.1", "multi-adapter-0.1"])
def test_chat_and_evaluate_of_a_damaged_bundle(folder, name, tmp_path):
    pytest.importorskip("onnxruntime")
    bundle = folder(name)
    files = (*READ_FROM_A_BUNDLE, *(["adapters/tone.onnx_adapter"] if (bundle / "adapters").is_dir() else []))
    rows = FIXTURES / "rows" / "eval.jsonl"
    commands = [CHAT, f"evaluate FOLDER --data_files {rows} --bootstrap_samples 100"]
    with tally("damaged bundles") as found:
        run_cases(cases(bundle, files, commands, rounds(2)), found, tmp_path)
        assert accepted_as_they_are(found, commands)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs and bundles of today: a classifier, a model tuned in full, a model folder, and a GGUF file."""
    folder = tmp_path_factory.mktemp("trained")
    rows = folder / "classes.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS["classes"]()), "utf-8")
    classes = {"max_steps": 1, "task": "text-classification", "max_length": 12, "evaluate": True}
    tune(tiny_bert_folder(folder), rows, folder / "classes", **classes)
    tune(tiny_model_folder(folder), rows, folder / "full", method="full", max_steps=1, evaluate=True)
    for name in ("hf", "gguf"):
        given = {"model_name_or_path": str(folder / "full"), "format": name, "precision": "float32"}
        export_model({**given, "output_path": str(folder / name), "skip_parity": True})
    return folder


OF_TODAY = {
    "classes": ("manifest.json", "evaluation.json", "data/eval.jsonl", "adapter/adapter_config.json"),
    "full": ("manifest.json", "evaluation.json", "data/eval.jsonl", "model/generation_config.json"),
    "hf": ("manifest.json", "config.json", "generation_config.json", "tokenizer.json", "model.safetensors"),
    "gguf": ("manifest.json", "full-f32.gguf"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_TODAY)
def test_chat_and_evaluate_of_what_is_made_today(trained, name, tmp_path):
    if name == "gguf":
        pytest.importorskip("xllamacpp")
    rows = f" --data_files {trained / 'classes.jsonl'}" if name in ("hf", "gguf") else ""
    commands = [CHAT, f"evaluate FOLDER --bootstrap_samples 100{rows}"]
    with tally("damaged bundles" if rows else "damaged run folders") as found:
        run_cases(cases(trained / name, OF_TODAY[name], commands, rounds(1)), found, tmp_path)
        assert accepted_as_they_are(found, commands)


@pytest.mark.parametrize("place", ["../outside.data", "/etc/hostname", "link.data"])
def test_the_weights_of_a_graph_are_read_from_its_folder_only(folder, tmp_path, place):
    onnx = pytest.importorskip("onnx")
    session = pytest.importorskip("graft.export.onnx.session")
    bundle = folder("bundle-0.1")
    session.OnnxSession(bundle)
    shutil.copy(bundle / "model.onnx.data", tmp_path / "outside.data")
    try:
        (bundle / "link.data").symlink_to(tmp_path / "outside.data")
    except OSError:
        pytest.skip("no links here")
    graph = onnx.load(str(bundle / "model.onnx"), load_external_data=False)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            entry.value = place if entry.key == "location" else entry.value
    (bundle / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(InputError, match="onnxruntime cannot load this file"):
        session.OnnxSession(bundle)


def test_the_graph_of_a_bundle_is_in_its_folder(folder, tmp_path):
    session = pytest.importorskip("graft.export.onnx.session")
    bundle = folder("bundle-0.1")
    shutil.move(bundle / "model.onnx", tmp_path / "model.onnx")
    config = bundle / "genai_config.json"
    config.write_text(config.read_text("utf-8").replace('"model.onnx"', '"../model.onnx"'), "utf-8")
    with pytest.raises(InputError, match=r"the graph, '\.\./model\.onnx', is not a file in this folder"):
        session.OnnxSession(bundle)
