"""What evaluation writes is what the report reads: the page of a real evaluation, by two rules instead of models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from graft.data.example import ClassExample, Example, Origin
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows
from graft.inference.predictor import CompletionScore, Progress
from graft.report import run_summary, write_card, write_report


class Rule:
    """Answers what ``answer`` says of the prompt, and finds nothing else likely."""

    def __init__(self, name: str, answer: Callable[[str], str]) -> None:
        self.name, self.answer, self.tokenizer = name, answer, None

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        return [self.answer(example.input_text) for example in examples]

    def score(
        self, examples: Sequence[Example], completions: Sequence[Sequence[str]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        return [
            [
                CompletionScore(-0.1 if completion == self.answer(example.input_text) else -4.0, 2)
                for completion in choices
            ]
            for example, choices in zip(examples, completions, strict=True)
        ]


def test_page_and_card_of_a_real_evaluation(tmp_path: Path) -> None:
    texts = [(f"text {index}: {'good' if index % 3 else 'bad'}", "yes" if index % 3 else "no") for index in range(60)]
    examples = [ClassExample(text, label, Origin("a.jsonl", i + 1)) for i, (text, label) in enumerate(texts)]
    base = Rule("base", lambda prompt: "no")
    tuned = Rule("tuned", lambda prompt: "yes" if "good" in prompt else "no")
    source = {"path": "a.jsonl", "rows": len(examples), "sha256": "0" * 64}
    found = evaluate([base, tuned], EvaluationRows(examples, ["no", "yes"], source), Criteria(bootstrap_samples=100))
    (tmp_path / "evaluation.json").write_text(json.dumps(found.document), encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in found.predictions)
    (tmp_path / "predictions.jsonl").write_text(lines, encoding="utf-8")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "The tuned model is better: accuracy 0.333 → 1.000" in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "40 rows that tuning fixed" in page and "0 rows that tuning broke" in page
    assert page.count('class="matrix"') == 2
    assert "| Accuracy | 0.333" in write_card(tmp_path).read_text(encoding="utf-8")
    assert run_summary(tmp_path)["fixed"] == 40
