"""A bundle that was moved away from its run is asked, and judged, as in place: with the tokens that PyTorch reads."""

import json
import shutil
from pathlib import Path

import pytest

from graft import api
from graft.cli.main import main
from graft.commands.evaluate import evaluate_model
from graft.commands.evaluate_bundle import BundleEvaluation
from graft.commands.export import export_model, generate_adapter
from graft.commands.open_predictors import open_model_by_name
from graft.config import DataSettings, EvaluationSettings, ModelSettings
from graft.data.chat_template import Renderer
from graft.data.tokenize import prompt_token_ids
from graft.errors import InputError
from graft.export.made_from import run_of_bundle
from graft.progress import SILENT
from graft.runs.manifest import read_bundle
from graft.tasks.evaluation_rows import load_evaluation_rows
from small_runs import tune
from tiny_models import CHATML, tiny_model_folder

TEXTS = [f"{text} {n}" for n in range(8) for text in ("fine day", "awful rain", "what a joy", "burnt toast")]
LABELED = [{"text": text, "label": "good" if "a" in text.split()[0] else "bad"} for text in TEXTS]
MOODS = [{"text": row["text"], "mood": row["label"]} for row in LABELED]
ASKED = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(32)]
NUMBERED = [{"text": row["text"], "label": int(row["label"] == "good")} for row in LABELED]
RENDERED = [{"text": f"### Instruction:\nSay {n}\n\n### Response:\n{n}"} for n in range(32)]
OTHER_TEMPLATE = (
    "{% for message in messages %}{{ '[' + message['role'] + ': ' + message['content'] + ']' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant: ' }}{% endif %}"
)
SWITCHED = CHATML.replace("{% if add", "{% if mood is defined %}{{ mood }}{% endif %}{% if add")

CASES = {
    "an inferred instruction": (LABELED, {}),
    "a system prompt": (ASKED, {"system_prompt": "Be brief."}),
    "templates": (ASKED, {"prompt_template": "Q: {question} A:", "completion_template": "{answer}"}),
    "a chat template in a file": (ASKED, {"chat_template": OTHER_TEMPLATE}),
    "variables of the chat template": (ASKED, {"chat_template": SWITCHED, "chat_template_kwargs": {"mood": "<calm>"}}),
    "rendered texts": (RENDERED, {"response_template": "### Response:\n"}),
    "names of classes": (NUMBERED, {"label_names": ("bad", "good")}),
    "a text that the chat template cuts": (
        ASKED,
        {
            "chat_template": OTHER_TEMPLATE,
            "text_template": "[user: {question}][assistant: Well, {answer}]",
        },
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "llama", width=64)


def written(folder, rows):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def tuned(base, folder, rows, settings):
    if "chat_template" in settings:
        (folder / "own.jinja").write_text(settings["chat_template"], encoding="utf-8")
        settings = {**settings, "chat_template": str(folder / "own.jinja")}
    return tune(base, written(folder, rows), folder / "run", max_steps=2, evaluate=True, **settings)


def exported(run, output, **settings):
    given = {"model_name_or_path": str(run), "precision": "float32", "output_path": output, "skip_parity": True}
    return export_model(given | settings)


def tokens_of_bundle(folder, adapter, file):
    evaluation = BundleEvaluation(
        folder, None, str(file), ModelSettings(), DataSettings(), EvaluationSettings(), SILENT
    )
    (predictor,) = evaluation.opened([adapter]).values()
    rows = evaluation.rows(read_bundle(folder), adapter)
    return [prompt_token_ids(example, predictor.renderer) for example in rows.examples]


def tokens_of_run(folder, file):
    model = open_model_by_name(str(folder), ModelSettings(), SILENT)
    rows = load_evaluation_rows(model.run, str(file), DataSettings(), model.task, prompt=model.prompt)
    return [prompt_token_ids(example, Renderer(model.encoding.tokenizer)) for example in rows.examples]


def trained_tokens(folder):
    """The prompts of the rows as they were trained on and held out, by their line in the file."""
    model = open_model_by_name(str(folder), ModelSettings(), SILENT)
    found = {}
    for name in ("train", "eval"):
        rows = load_evaluation_rows(None, str(folder / "data" / f"{name}.jsonl"), DataSettings())
        lines = (folder / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        for line, example in zip(lines, rows.examples, strict=True):
            place = int(json.loads(line)["origin"].rpartition(":")[2])
            found[place] = prompt_token_ids(example, Renderer(model.encoding.tokenizer))
    return found


def values(document, name):
    return {metric: figure["value"] for metric, figure in document["predictors"][name].items()}


@pytest.mark.parametrize("case", list(CASES))
def test_a_bundle_that_is_moved_alone_is_judged_as_its_run(case, base, tmp_path):
    rows, settings = CASES[case]
    run = tuned(base, tmp_path, rows, settings)
    bundle = exported(run, tmp_path / "bundle")
    file = tmp_path / "rows.jsonl"
    tokens, document = tokens_of_run(run, file), evaluate_model(run, file, output_path=tmp_path / "of-run")
    trained = trained_tokens(run)
    assert {place: tokens[place - 1] for place in trained} == trained and len(trained) == len(rows)
    assert tokens_of_bundle(bundle, None, file) == tokens
    moved = Path(shutil.move(bundle, tmp_path / "elsewhere"))
    shutil.rmtree(run)
    (tmp_path / "own.jinja").unlink(missing_ok=True)
    assert tokens_of_bundle(moved, None, file) == tokens
    found = evaluate_model(moved, file)
    assert values(found, "onnx") == pytest.approx(values(document, "tuned"), rel=1e-3)
    assert found["labels"] == document["labels"] and found["max_new_tokens"] == document["max_new_tokens"]


@pytest.fixture(scope="module")
def three(base, tmp_path_factory):
    """Adapters over one base: two of one task whose prompts differ, and one of another task."""
    folder = tmp_path_factory.mktemp("three")
    given = {
        "tone": (LABELED, {}),
        "polite": (
            LABELED,
            {"system_prompt": "Be kind.", "prompt_template": "{text}?", "completion_template": "{label}"},
        ),
        "shout": (MOODS, {"prompt_template": "{text}!", "completion_template": "{mood}"}),
        "sums": (ASKED, {"prompt_template": "{question}", "completion_template": "{answer}"}),
    }
    for name, (rows, settings) in given.items():
        (folder / name).mkdir()
        tuned(base, folder / name, rows, settings)
    return folder


def together(base, three, output, *names):
    return generate_adapter(
        {
            "base_model_path": str(base),
            "adapter_paths": ",".join(f"{name}={three / name / 'run'}" for name in names),
            "output_path": str(output),
            "precision": "float32",
            "skip_parity": True,
        }
    )


def test_adapters_of_one_task_are_each_asked_in_their_own_form(base, three, tmp_path):
    bundle = together(base, three, tmp_path / "multi", "tone", "polite")
    file = three / "tone" / "rows.jsonl"
    tokens = {name: tokens_of_run(three / name / "run", file) for name in ("tone", "polite")}
    of_runs = {name: evaluate_model(three / name / "run", file, output_path=tmp_path / name) for name in tokens}
    away = Path(shutil.copytree(bundle, tmp_path / "elsewhere"))
    three.rename(three.with_name("hidden"))
    rows = shutil.copy(three.with_name("hidden") / "tone" / "rows.jsonl", tmp_path / "rows.jsonl")
    try:
        assert {name: tokens_of_bundle(away, name, rows) for name in tokens} == tokens
        found = evaluate_model(away, rows)
        one = evaluate_model(away, rows, adapter="tone", max_eval_samples=8)
    finally:
        three.with_name("hidden").rename(three)
    assert tokens["tone"] != tokens["polite"]
    for name, document in of_runs.items():
        assert values(found, name) == pytest.approx(values(document, "tuned"), rel=1e-3)
        assert values(found, f"base as {name}") == pytest.approx(values(document, "base"), rel=1e-3)
    pairs = {(entry["from"], entry["to"]) for entry in found["differences"]}
    assert pairs == {("base as tone", "tone"), ("base as polite", "polite")}
    assert list(one["predictors"]) == ["base", "tone"] and one["data"]["rows"] == 8


def test_the_base_is_asked_as_its_adapters_are(base, three, tmp_path):
    bundle = together(base, three, tmp_path / "multi", "tone")
    file = three / "tone" / "rows.jsonl"
    document = evaluate_model(three / "tone" / "run", file, output_path=tmp_path / "x")
    found = evaluate_model(bundle, file)
    assert list(found["predictors"]) == ["base", "tone"]
    for name, twin in (("base", "base"), ("tone", "tuned")):
        assert values(found, name) == pytest.approx(values(document, twin), rel=1e-3)


def test_adapters_of_other_tasks_are_evaluated_on_their_own(base, three, tmp_path, capsys):
    bundle = together(base, three, tmp_path / "multi", "shout", "sums")
    lines = [json.dumps({**row, **other}) for row, other in zip(MOODS, ASKED, strict=True)]
    both = tmp_path / "both.jsonl"
    both.write_text("\n".join(lines), encoding="utf-8")
    assert main(["evaluate", str(bundle), "--data_files", str(both), "-o", str(tmp_path / "x"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["adapters"]
    for name in ("shout", "sums"):
        document = evaluate_model(three / name / "run", both, output_path=tmp_path / name)
        assert values(found[name], name) == pytest.approx(values(document, "tuned"), rel=1e-3)
        assert list(found[name]["predictors"]) == ["base", name]
        assert json.loads((tmp_path / "x" / name / "evaluation.json").read_text(encoding="utf-8"))["predictors"]
    assert main(["evaluate", str(bundle), "--data_files", str(both)]) == 0
    said = capsys.readouterr()
    assert "different tasks" in said.err and said.out.count("of both.jsonl") == 2
    assert main(["evaluate", str(bundle), "--data_files", str(both), "--adapter", "sums"]) == 0
    assert "different tasks" not in capsys.readouterr().err
    assert set(api.evaluate(bundle, both)) == {"shout", "sums"}


def test_an_adapter_that_is_not_there_is_an_error(base, three, tmp_path):
    bundle = together(base, three, tmp_path / "multi", "tone", "sums")
    with pytest.raises(InputError, match=r"no adapter 'tune'; it has tone, sums, base\n.*did you mean tone"):
        evaluate_model(bundle, three / "tone" / "rows.jsonl", adapter="tune")
    with pytest.raises(InputError, match="not a bundle with adapters"):
        evaluate_model(three / "tone" / "run", adapter="tone")


def test_rows_that_are_read_otherwise_than_the_runs_are_said(base, three, tmp_path, capsys):
    bundle = together(base, three, tmp_path / "multi", "tone")
    assert main(["evaluate", str(bundle), "--data_files", str(three / "sums" / "rows.jsonl")]) == 0
    assert "these rows are read as question/answer; tone was trained on text/label" in capsys.readouterr().err


def test_a_bundle_in_a_run_that_is_moved_finds_the_runs_rows(base, tmp_path):
    run = tuned(base, tmp_path, LABELED, {})
    bundle = exported(run, None)
    before = evaluate_model(bundle)
    assert bundle.parent == run and read_bundle(bundle).run == ".."
    (tmp_path / "far").mkdir()
    moved = Path(shutil.move(run, tmp_path / "far" / "renamed"))
    found = evaluate_model(moved / bundle.name)
    assert found["predictors"] == before["predictors"] and found["data"]["sha256"] == before["data"]["sha256"]
    assert str(tmp_path / "run") not in json.dumps(found)


def test_what_a_run_says_of_its_own_files_has_no_absolute_path(base, tmp_path):
    run = tuned(base, tmp_path, LABELED, {})
    exported(run, None)
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert document["data"]["path"] == "data/eval.jsonl"
    manifest = json.loads((run / "onnx-float32" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["base"]["path"] == "../model"
    assert str(run) not in json.dumps({name: value for name, value in manifest.items() if name != "base"})


def test_a_folder_that_is_another_run_is_not_taken_for_the_bundles(base, three, tmp_path):
    run = tuned(base, tmp_path, LABELED, {})
    bundle = exported(run, tmp_path / "bundle")
    assert read_bundle(bundle).run == "../run"
    shutil.rmtree(run)
    shutil.copytree(three / "polite" / "run", run)  # another run has its name
    with pytest.raises(InputError, match=r"the run .* is not here, .* it was \.\./run\n.*--data_files rows\.jsonl"):
        evaluate_model(bundle)
    inside = Path(shutil.move(bundle, run / "bundle"))  # and it stands in another run
    with pytest.raises(InputError, match="is not here"):
        evaluate_model(inside)
    assert evaluate_model(inside, tmp_path / "rows.jsonl")["data"]["rows"] == len(LABELED)


def test_adapters_find_the_rows_of_their_own_runs_beside_them(base, three, tmp_path):
    runs = Path(shutil.copytree(three, tmp_path / "runs"))
    bundle = together(base, runs, runs / "multi", "tone", "sums")
    names = {name: entry.made_from.path for name, entry in read_bundle(bundle).adapters.items()}
    assert names == {"tone": "../tone/run", "sums": "../sums/run"}
    moved = Path(shutil.move(runs, tmp_path / "moved"))
    found = evaluate_model(moved / "multi")["adapters"]
    for name in names:
        document = evaluate_model(moved / name / "run", output_path=tmp_path / name)
        assert values(found[name], name) == pytest.approx(values(document, "tuned"), rel=1e-3)


def test_an_adapter_is_added_where_only_its_own_run_has_the_base(three, tmp_path):
    base = tiny_model_folder(tmp_path / "gone", "llama", width=64)
    bundle = together(base, three, tmp_path / "multi", "tone")
    shutil.rmtree(tmp_path / "gone")
    generate_adapter({"add": f"late={three / 'sums' / 'run'}", "output_path": str(bundle), "skip_parity": True})
    assert list(read_bundle(bundle).adapters) == ["tone", "late"]
    other = tiny_model_folder(tmp_path / "other", "llama", width=64, seed=5)
    given = {"add": f"more={three / 'sums' / 'run'}", "output_path": str(bundle), "base_model_path": str(other)}
    with pytest.raises(InputError, match="the base model has changed"):
        generate_adapter(given)


def test_a_bundle_of_graft_0_1_finds_its_run(tmp_path):
    fixtures = Path(__file__).parent.parent / "fixtures"
    run = Path(shutil.copytree(fixtures / "run-0.1", tmp_path / "renamed"))
    bundle = Path(shutil.copytree(fixtures / "bundle-0.1", run / "onnx"))
    assert run_of_bundle(bundle, read_bundle(bundle)) is None  # it was made from another run
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert not Path(manifest["run"]).is_dir()
    manifest["adapter"]["sha256"] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["adapter"]["sha256"]
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = run_of_bundle(bundle, read_bundle(bundle))
    assert found is not None and found.path.resolve() == run.resolve()


def test_a_bundle_runs_no_file_that_it_names(base, three, tmp_path, monkeypatch):
    bundle = together(base, three, tmp_path / "multi", "tone")
    (bundle / "evil.py").write_text("raise SystemExit('this was run')\n", encoding="utf-8")
    text = (bundle / "manifest.json").read_text(encoding="utf-8")
    text = text.replace('"pair_label"', '"column_mapping": "multi/evil.py:read", "pair_label"')
    (bundle / "manifest.json").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"multi/evil\.py:read\n.*--trust_remote_code"):
        evaluate_model(bundle, three / "tone" / "rows.jsonl")


def test_a_gguf_file_in_a_bundle_is_asked_as_the_bundle_records(base, tmp_path):
    pytest.importorskip("xllamacpp")
    run = tuned(base, tmp_path, LABELED, {"system_prompt": "Be kind."})
    bundle = export_model(
        {"model_name_or_path": str(run), "format": "gguf", "precision": "float32", "output_path": tmp_path / "g"}
    )
    (file,) = bundle.glob("*.gguf")
    rows = str(tmp_path / "rows.jsonl")
    of_bundle = values(evaluate_model(bundle, rows), "gguf")
    assert values(evaluate_model(file, rows), "base") == of_bundle
    alone = shutil.copy(file, tmp_path / "alone.gguf")
    assert values(evaluate_model(alone, rows), "base")["perplexity"] != of_bundle["perplexity"]
