"""Each task, trained and judged as a user would."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from graft.commands.evaluate import evaluate_model
from graft.commands.finetune import finetune
from graft.errors import InputError
from graft.progress import SILENT
from graft.report.usage import snippet
from graft.runs.view import RunView

CASES = [
    ("bert", "lora", "classes", None, "text-classification", "accuracy"),
    ("bert", "full", "several", None, "text-classification", "label_f1"),
    ("bert", "lora", "tagged", None, "token-classification", "entity_f1"),
    ("bert", "full", "spans", None, "token-classification", "entity_f1"),
    ("bert", "lora", "pairs", None, "feature-extraction", "pearson"),
    ("t5", "lora", "summaries", None, "summarization", "perplexity"),
    ("t5", "full", "summaries", None, "summarization", "perplexity"),
    ("llama", "lora", "classes", "text-classification", "text-classification", "accuracy"),
    ("llama", "full", "tagged", "token-classification", "token-classification", "entity_f1"),
    ("llama", "lora", "pairs", None, "feature-extraction", "pearson"),
]


def document(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("model", "method", "kind", "named", "task", "metric"), CASES)
def test_a_task_is_learned_and_judged_again_from_disk(
    given, tmp_path, monkeypatch, model, method, kind, named, task, metric
):
    rate = 3e-3 if method == "full" and model == "bert" else 1e-2
    run = finetune(given(model, kind, method=method, learning_rate=rate, max_steps=20, task=named))
    manifest, first = document(run, "manifest.json"), document(run, "evaluation.json")
    assert manifest["status"] == "finished"
    assert manifest["task"]["name"] == task
    base, tuned = (first["predictors"][name][metric]["value"] for name in ("base", "tuned"))
    assert tuned < base if metric == "perplexity" else tuned > base
    again = evaluate_model(run, output_path=tmp_path / "again", bootstrap_samples=100)
    assert again["predictors"] == first["predictors"]
    assert again["baselines"] == first["baselines"]
    of_classes = ["most_common", "tfidf"]
    baselines = {"classes": of_classes, "several": of_classes, "summaries": ["copied_input"]}
    assert list(first["baselines"]) == baselines.get(kind, [])
    assert ("forgetting" in first) == (kind == "summaries")  # a head writes no text

    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("<table")
    counts_entities = 'class="number">Entities</th>' in page and 'class="number">Rows</th>' not in page
    assert counts_entities == (metric == "entity_f1")
    card = (run / "README.md").read_text(encoding="utf-8")
    assert f"pipeline_tag: {'sentence-similarity' if task == 'feature-extraction' else task}\n" in card
    monkeypatch.chdir(run.parent)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet(RunView.read(run)), {})
    assert printed.getvalue().endswith("\n")


def test_a_run_goes_on_where_it_stopped(given):
    class StopAt(Exception):
        pass

    class Stopping:
        def note(self, text):
            pass

        def advance(self, what, done, total, detail=""):
            pass

        def step(self, step, steps, figures):
            if step == 8:
                raise StopAt

    settings = given("bert", "tagged", evaluate=False)
    with pytest.raises(Exception, match="StopAt"):
        finetune(settings, Stopping())
    resumed = finetune({"output_path": settings["output_path"], "resume": True})
    weights = (resumed / "adapter" / "adapter_model.safetensors").read_bytes()
    whole = finetune(settings | {"overwrite": True})
    assert (whole / "adapter" / "adapter_model.safetensors").read_bytes() == weights


def test_other_rows_are_judged_in_the_runs_own_shape(given, write, tmp_path):
    run = finetune(given("bert", "classes", evaluate=False))
    rows = [{"text": f"good cake {i}", "label": "yes"} for i in range(5)] + [{"text": "rain", "label": "maybe"}]
    found = evaluate_model(run, write("other", rows), output_path=tmp_path / "other", bootstrap_samples=100)
    assert found["labels"] == ["no", "yes", "maybe"]
    assert found["predictors"]["tuned"]["accuracy"]["value"] <= 5 / 6
    with pytest.raises(Exception, match="this run's task is text-classification"):
        evaluate_model(run, task="token-classification")


def test_a_folder_with_a_head_is_judged_by_it(given, tmp_path):
    """What ``--method full`` saves is an ordinary folder of transformers; its configuration says what it does."""
    from transformers import AutoModelForSequenceClassification

    settings = given("bert", "classes", method="full", learning_rate=3e-3)
    run = finetune(settings)
    model = AutoModelForSequenceClassification.from_pretrained(run / "model")
    assert model.config.id2label == {0: "no", 1: "yes"}
    by_run = document(run, "evaluation.json")["predictors"]["tuned"]["accuracy"]["value"]
    held_out = run / "data" / "eval.jsonl"
    rows = [json.loads(line) for line in held_out.read_text(encoding="utf-8").splitlines()]
    plain = tmp_path / "plain.jsonl"
    texts = [{"text": row["text"], "label": row["label"]} for row in rows]
    plain.write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf-8")
    found = evaluate_model(run / "model", plain, output_path=tmp_path / "x", bootstrap_samples=100)
    assert found["predictors"]["base"]["accuracy"]["value"] == by_run


def test_an_adapters_base_keeps_its_own_configuration(given, models):
    before = (models["bert"] / "config.json").read_bytes()
    run = finetune(given("bert", "classes", evaluate=False))
    assert (models["bert"] / "config.json").read_bytes() == before
    assert document(run, "model/config.json")["id2label"] == {"0": "no", "1": "yes"}
    saved = document(run, "adapter/adapter_config.json")
    assert saved["task_type"] == "SEQ_CLS" and "classifier" in saved["modules_to_save"]


def test_chat_answers_with_the_class(given):
    from graft.commands.chat import Conversation
    from graft.config import ModelSettings

    run = finetune(given("bert", "classes", evaluate=False))
    talk = Conversation.open(str(run), ModelSettings(), 16, SILENT)
    ((name, answer),) = talk.say("good cake")
    assert name == "tuned" and answer in {"yes", "no"}
    talk.say("bad rain")
    assert talk.say("good cake") == [(name, answer)]  # each text is judged by itself


def test_chat_answers_with_a_tag_for_each_word_that_is_typed(given):
    from graft.commands.chat import Conversation
    from graft.config import ModelSettings

    run = finetune(given("bert", "tagged", evaluate=False))
    ((_, answer),) = Conversation.open(str(run), ModelSettings(), 16, SILENT).say("she lives in Bahn street")
    known = set(document(run, "manifest.json")["task"]["label_space"]["names"])
    words, tags = zip(*(part.rsplit("/", 1) for part in answer.split()), strict=True)
    assert words == ("she", "lives", "in", "Bahn", "street") and set(tags) <= known


def test_no_one_can_chat_with_a_model_of_pairs(given):
    from graft.commands.chat import Conversation
    from graft.config import ModelSettings

    run = finetune(given("bert", "pairs", evaluate=False, max_steps=2))
    with pytest.raises(InputError, match="graft evaluate"):
        Conversation.open(str(run), ModelSettings(), 16, SILENT)


OWN = """
from dataclasses import replace

from graft.tasks.text_classification import TextClassification


class Opening(TextClassification):
    \"\"\"Classes of texts by their first word alone.\"\"\"

    name = "opening"

    def encode(self, examples, encoding, problems):
        return super().encode([replace(e, text=e.text.split()[0]) for e in examples], encoding, problems)


OPENING = Opening()
"""


WITH_OPTION = """
from dataclasses import replace

from graft.config import Settings, setting
from graft.tasks.text_classification import TextClassification


class MarkedConfig(Settings):
    marker: str = setting("?", "what every text ends with")


class Marked(TextClassification):
    name, aliases, Config = "marked", (), MarkedConfig

    def recognize(self, rows, settings, generation_prompt=None, labels=None):
        mapping = super().recognize(rows, settings, generation_prompt, labels)

        def convert(row, origin):
            return [replace(e, text=f"{e.text} {settings.marker}") for e in mapping.convert(row, origin)]

        return replace(mapping, convert=convert)


MARKED = Marked()
"""


def test_a_task_of_ones_own_has_options_which_its_run_keeps(given, write, tmp_path):
    (tmp_path / "own_task.py").write_text(WITH_OPTION, encoding="utf-8")
    named = f"{tmp_path / 'own_task.py'}:MARKED"
    run = finetune(given("bert", "classes", task=named, evaluate=False, max_steps=2, marker="END"))
    assert all(row["text"].endswith(" END") for row in rows_of(run / "data" / "train.jsonl"))
    others = write("others", [{"text": "good cake", "label": "yes"}, {"text": "bad rain", "label": "no"}])
    evaluate_model(run, others, task=named, output_path=tmp_path / "out", bootstrap_samples=100)
    assert [row["prompt"] for row in rows_of(tmp_path / "out" / "predictions.jsonl")] == [
        "good cake END",
        "bad rain END",
    ]


def rows_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_task_of_ones_own(given, tmp_path):
    (tmp_path / "own_task.py").write_text(OWN, encoding="utf-8")
    named = f"{tmp_path / 'own_task.py'}:OPENING"
    run = finetune(given("bert", "classes", task=named, evaluate=False, max_steps=4))
    assert document(run, "manifest.json")["task"]["name"] == "opening"
    found = evaluate_model(run, task=named, bootstrap_samples=100)
    assert set(found["predictors"]["tuned"]) == {"accuracy", "macro_f1"}
    with pytest.raises(InputError, match="unknown task 'opening'"):  # whose code a run folder must not name
        evaluate_model(run)
