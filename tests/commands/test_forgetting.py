"""What a run has forgotten: neutral prompts after each run of a model that writes."""

from __future__ import annotations

import json
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from graft.cli.main import main
from graft.commands.evaluate import evaluate_model
from graft.commands.finetune import finetune
from graft.evaluation.forgetting import FILE, forgotten, judgment, prompts, reference
from graft.evaluation.store import add_section
from graft.inference.predictor import CompletionScore
from graft.progress import SILENT
from graft.report import card, page, write_pages
from graft.report.doctor import diagnose
from graft.runs.folder import RunFolder
from graft.runs.forgetting_record import CHANGED, KEPT, LOST
from graft.runs.view import RunView


def section(run: Path) -> dict:
    return json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["forgetting"]


def asked(run: Path) -> set[str]:
    """The models that were asked neutral prompts."""
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    named = (json.loads(line).get("what", "") for line in lines)
    return {what.partition(":")[0] for what in named if what.endswith("neutral prompts")}


def test_the_prompts_are_of_several_kinds_and_have_an_origin():
    document = json.loads(files("graft.evaluation").joinpath(FILE).read_text(encoding="utf-8"))
    assert document["license"] == "Apache-2.0" and document["origin"]
    kinds = Counter(one.kind for one in prompts())
    assert {"facts", "arithmetic", "rewriting", "code", "refusal", "languages"} <= set(kinds)
    assert len({one.text for one in prompts()}) == sum(kinds.values()) >= 40 and min(kinds.values()) >= 3


@pytest.fixture
def new_base(given, tiny_llama, tmp_path):
    """A base that no run has had before, so that nothing is known of it."""
    folder = tmp_path / "base"
    folder.mkdir()
    for file in Path(tiny_llama).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        model.model.norm.weight += time.time_ns() % 1_000_003 * 1e-9
    model.save_pretrained(folder)
    return {**given, "model_name_or_path": str(folder)}


def test_the_base_is_asked_once_and_the_tuned_model_after_each_run(new_base, tmp_path):
    first = finetune(new_base)
    found = section(first)
    assert asked(first) == {"base", "tuned"}
    assert found["prompts"] == len(found["answers"]) == len(prompts())
    assert 0 <= found["same_answers"] <= 1 and found["low"] <= found["rise"] <= found["high"]
    assert found["label_answers"] >= found["base_label_answers"] == 0
    assert sum(kind["prompts"] for kind in found["kinds"].values()) == found["prompts"]
    second = finetune({**new_base, "output_path": str(tmp_path / "second")})
    assert asked(second) == {"tuned"} and section(second) == found
    whole = {name: value for name, value in new_base.items() if name != "lora_dropout"} | {"method": "full"}
    without = finetune({**whole, "output_path": str(tmp_path / "without"), "evaluate": False})
    assert not (without / "evaluation.json").exists()
    probed = finetune({**whole, "output_path": str(tmp_path / "probed"), "evaluate": False, "probe": True})
    assert section(probed)["base_nats"] == found["base_nats"] and asked(probed) == {"tuned"}


class Writer:
    """Writes one answer, and finds every given one as likely as it is told to."""

    name, tokenizer, can_score = "tuned", None, True

    def __init__(self, answer, nats):
        self.answer, self.nats = answer, nats

    def generate(self, examples, max_new_tokens, progress=None):
        """The same answer to all prompts."""
        return [self.answer for _ in examples]

    def score(self, examples, completions, progress=None):
        """``nats`` for each of ten tokens."""
        return [[CompletionScore(-10 * self.nats, 10) for _ in texts] for texts in completions]


def test_what_was_lost_is_said_with_remedies_and_what_was_kept_too(given, capsys):
    run = finetune({**given, "max_steps": 2, "learning_rate": 1e-5})
    assert section(run)["judgment"] == KEPT and abs(section(run)["rise"]) < 0.1
    assert [found for found in diagnose(RunView.read(run)) if found.kind == "forgetting"] == []
    assert main(["doctor", str(run)]) == 0
    assert "kept the general abilities of its base: on 41 neutral prompts" in " ".join(capsys.readouterr().out.split())

    known = reference(Writer("It is Paris.", 0.5), prompts(), SILENT)
    broken = forgotten(Writer("good", 2.25), known, prompts(), ["good", "bad"], SILENT)
    assert broken["judgment"] == LOST and broken["rise"] == broken["low"] == broken["high"] == 1.75
    assert broken["label_answers"] == 1 and broken["base_label_answers"] == 0 and broken["length_ratio"] == 0.3333
    with RunFolder.open(run).lock():
        add_section(RunFolder.open(run), "forgetting", broken)
        write_pages(run)
    (finding,) = [found for found in diagnose(RunView.read(run)) if found.kind == "forgetting"]
    assert finding.severity == "warning" and "lost general abilities" in finding.title
    assert finding.remedies[0] == "--learning_rate 3.3e-06: a third of the rate"
    assert finding.remedies[1] == "--max_steps 1: half the steps" and "general rows" in finding.remedies[2]
    assert (
        "nats a token and the base 0.50 (+1.75, +1.75 to +1.75); 0% of its answers are the same" in finding.evidence[0]
    )
    shown = (run / "report.html").read_text(encoding="utf-8")
    assert "General abilities" in shown and "What is the capital of France?" in shown and "It is Paris." in shown
    assert "lost general abilities" in (run / "README.md").read_text(encoding="utf-8")
    assert main(["show", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["forgetting"]["judgment"] == LOST
    evaluate_model(run, bootstrap_samples=100)
    assert section(run)["judgment"] == LOST  # a new evaluation keeps it


def test_the_probe_can_be_omitted(given):
    run = finetune({**given, "probe": False})
    assert "forgetting" not in json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert asked(run) == set()


def test_a_run_without_a_comparison_is_printed(given, capsys):
    rows = ["--max_steps", "2", "--evaluate", "false", "--probe", "true", "-o", given["output_path"]]
    assert main(["finetune", given["model_name_or_path"], given["data_files"], *rows]) == 0
    assert "neutral prompts, the base's own answers cost it" in " ".join(capsys.readouterr().out.split())
    assert "predictors" not in json.loads((Path(given["output_path"]) / "evaluation.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("rise", "labels", "expected"),
    [
        (0.1, 0.0, KEPT),
        (0.6, 0.0, CHANGED),
        (2.0, 0.0, LOST),
        (0.1, 0.3, CHANGED),
        (0.1, 0.9, LOST),
        (-0.1, None, KEPT),
    ],
)
def test_the_thresholds(rise, labels, expected):
    assert judgment({"rise": rise, "label_answers": labels, "base_label_answers": 0.0}) == expected


def test_answers_stay_text(given):
    run = finetune(given)
    path = run / "evaluation.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["forgetting"]["answers"][0]["tuned"] = "<script>alert(1)</script>\x1b[31m"
    path.write_text(json.dumps(document), encoding="utf-8")
    shown = page.render(RunView.read(run))
    assert "&lt;script&gt;alert(1)" in shown and "<script>alert" not in shown and "\x1b" not in shown
    assert "<script>" not in card.render(RunView.read(run))
