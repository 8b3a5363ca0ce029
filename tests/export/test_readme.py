"""The Python in a bundle's README, run in the bundle's folder, answers as graft does."""

import json
import re
import subprocess
import sys

import pytest

from graft.commands.evaluate import evaluate_model
from graft.commands.export import export_model, generate_adapter
from graft.data.example import AnswerExample, Origin
from graft.data.rows import from_row
from graft.export.onnx.adapter_prompt import template_of
from graft.export.onnx.predictor import OnnxPredictor
from graft.runs.manifest import read_bundle
from small_runs import tune
from tiny_models import CHATML, tiny_model_folder

WORDS = ["fine day", "awful rain", "what a joy", "burnt toast", "great work", "cold soup", "so happy", "all grey"]
GOOD = {"fine day", "what a joy", "great work", "so happy"}
LABELED = [{"text": f"{text} {n}", "label": "good" if text in GOOD else "bad"} for n in range(8) for text in WORDS]
MOODS = [{"text": row["text"], "mood": row["label"]} for row in LABELED]
RENDERED = [{"text": f"### Instruction:\nIs it good? {r['text']}\n\n### Response:\n{r['mood']}"} for r in MOODS]
OTHER_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + ': ' + message['content'] }}<|endoftext|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"
)
TOOL = {"type": "function", "function": {"name": "look", "description": "Look it up", "parameters": {"type": "object"}}}
TOOLED = "{% if tools is defined and tools %}{{ tools | tojson }}{% endif %}" + CHATML
CALLED = [
    {
        "messages": [{"role": "user", "content": row["text"]}, {"role": "assistant", "content": row["mood"]}],
        "tools": [TOOL],
    }
    for row in MOODS
]
SWITCHED = CHATML.replace("{% if add", "{% if mood is defined %}{{ mood }}{% endif %}{% if add")

CASES = {
    "an inferred instruction": (LABELED, {}),
    "a system prompt with quotes": (LABELED, {"system_prompt": "Say \"good\" or\n'bad' — \\n, ಕನ್ನಡ."}),
    "a template": (MOODS, {"prompt_template": "{text}, is it good?", "completion_template": "{mood}"}),
    "rendered texts": (RENDERED, {"response_template": "### Response:\n"}),
    "tools": (CALLED, {"chat_template": TOOLED}),
    "variables of the chat template": (
        LABELED,
        {"chat_template": SWITCHED, "chat_template_kwargs": {"mood": "<calm>"}},
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("models"), "llama", width=64)


def tuned(base, folder, rows, settings):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return tune(base, file, folder / "run", **{"max_steps": 40, "lora_r": 32, "eval_share": 0.25, **settings})


def code_of(folder, heading="## Run it"):
    text = (folder / "README.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", text[text.index(heading) :], re.DOTALL)[1]


def printed(folder, code):
    options = {"cwd": folder, "capture_output": True, "text": True, "encoding": "utf-8"}
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", code], check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def answer_of(folder, run, adapter=None):
    """What graft answers to the row that the README shows."""
    row = json.loads((run / "data" / "eval.jsonl").read_text(encoding="utf-8").splitlines()[0])
    limit = read_bundle(folder).prompt_of(adapter).max_new_tokens or 256
    return OnnxPredictor.open(folder, adapter).generate([from_row(row)], limit)[0]


@pytest.mark.parametrize("case", list(CASES))
def test_the_code_answers_the_runs_first_held_out_row_as_graft_does(case, base, tmp_path):
    rows, settings = CASES[case]
    run = tuned(base, tmp_path, rows, settings)
    given = {"model_name_or_path": str(run), "precision": "float32", "output_path": tmp_path / "bundle"}
    bundle = export_model({**given, "skip_parity": case == "a template"})
    code = code_of(bundle)
    assert ("apply_chat_template" in code) == (case not in {"rendered texts", "tools"})
    assert "Hello" not in code
    answer = answer_of(bundle, run)
    assert printed(bundle, code) == answer != ""


def test_each_adapter_has_its_own_template_and_its_own_end(base, tmp_path):
    runs = {}
    for name, settings in {"plain": {}, "other": {"chat_template": OTHER_TEMPLATE}}.items():
        (tmp_path / name).mkdir()
        runs[name] = tuned(base, tmp_path / name, LABELED, {**settings, "evaluate": True})
    paths = ",".join(f"{name}={run}" for name, run in runs.items())
    given = {"base_model_path": str(base), "adapter_paths": paths, "output_path": str(tmp_path / "multi")}
    bundle = generate_adapter({**given, "precision": "float32"})
    manifest = read_bundle(bundle)
    assert manifest.prompt_of("plain").chat_template is None
    assert manifest.prompt_of("other").chat_template == "adapters/other.jinja"
    assert template_of(bundle, manifest.prompt_of("other")) == OTHER_TEMPLATE
    assert manifest.prompt_of("plain").stop == ["<|im_end|>"]
    assert manifest.prompt_of("other").stop == ["<|endoftext|>", "<|im_end|>"]
    for name, run in runs.items():
        parity = manifest.adapters[name].parity
        for counts in (
            parity.template_identical,
            parity.token_ids_identical,
            parity.ends_identical,
            parity.answers_equal,
        ):
            assert counts[0] == counts[1] > 0
        document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
        found = evaluate_model(bundle, run / "data" / "eval.jsonl", adapter=name)
        for twin, own in (("base", "base"), ("tuned", name)):
            then, now = document["predictors"][twin], found["predictors"][own]
            for metric in then:
                assert now[metric]["value"] == pytest.approx(then[metric]["value"], rel=1e-3), (name, twin, metric)
    for name, heading in (("plain", "## Run it"), ("other", "## Adapter other")):
        answer = answer_of(bundle, runs[name], name)
        assert printed(bundle, code_of(bundle, heading)) == answer != ""
    together = evaluate_model(bundle, runs["plain"] / "data" / "eval.jsonl")
    assert list(together["predictors"]) == ["base as plain", "base as other", "plain", "other"]


def test_a_template_is_taken_from_the_bundle_alone(base, tmp_path):
    run = tuned(base, tmp_path, LABELED, {"chat_template": OTHER_TEMPLATE, "max_steps": 1})
    given = {"base_model_path": str(base), "adapter_paths": f"a={run}", "output_path": str(tmp_path / "multi")}
    bundle = generate_adapter({**given, "precision": "float32", "skip_parity": True})
    (tmp_path / "outside.jinja").write_text(CHATML, encoding="utf-8")
    text = (bundle / "manifest.json").read_text(encoding="utf-8")
    (bundle / "manifest.json").write_text(text.replace("adapters/a.jinja", "../outside.jinja"), encoding="utf-8")
    with pytest.raises(Exception, match=r"\.\./outside\.jinja', is not a file in this folder"):
        OnnxPredictor.open(bundle, "a")


def test_a_model_whose_rows_are_not_known_is_greeted(base, tmp_path):
    bundle = export_model(
        {"model_name_or_path": str(base), "precision": "float32", "output_path": tmp_path / "b", "skip_parity": True}
    )
    example = AnswerExample(({"role": "user", "content": "Hello"},), "", Origin("x", 1))
    code = code_of(bundle).replace("+ 256", "+ 5")
    assert code != code_of(bundle)
    printed(bundle, code)
    assert OnnxPredictor.open(bundle).generate([example], 5)


def test_a_bundle_takes_and_gives_token_ids(base, tmp_path):
    given = {"model_name_or_path": str(base), "precision": "float32", "skip_parity": True}
    predictor = OnnxPredictor.open(export_model({**given, "output_path": tmp_path / "b"}))
    prompt = predictor.tokenizer.encode("good or bad?")
    (whole,) = predictor.generate_ids([prompt], 6)
    assert predictor.generate_ids([prompt], 6, lambda ids: len(ids) == 2) == [whole[:2]]
    ((score,),) = predictor.score_ids([prompt], [[whole[:2]]])
    assert score.is_greedy and score.tokens == 2
    assert predictor.context_length and predictor.context_length >= len(prompt)
