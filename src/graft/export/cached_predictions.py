"""What a run's evaluation has already asked of PyTorch, so that nothing is asked twice."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graft.config import DataSettings
from graft.data.chat_template import Renderer
from graft.data.example import Example
from graft.data.sources import sha256_of
from graft.data.tokenize import completion_ids
from graft.errors import GraftError
from graft.evaluation.metrics import select_metrics
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.table import metric_references
from graft.export.parity import ParityCheck, reference
from graft.inference.cached import CachedPredictor
from graft.inference.predictor import CompletionScore, Progress
from graft.inference.torch import TorchPredictor
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.tasks.evaluation_rows import load_evaluation_rows

UNLIKELY = -1e6
"""Nats of a label that was neither chosen nor right: no metric asks for more than that it is not the likeliest."""


class CachedEvaluation:
    """A predictor that answers from the lines of predictions.jsonl."""

    def __init__(
        self, name: str, examples: Sequence[Example], lines: Sequence[Mapping[str, Any]], renderer: Renderer
    ) -> None:
        self.name, self.renderer, self.tokenizer = name, renderer, renderer.tokenizer
        self._lines = {id(example): line for example, line in zip(examples, lines, strict=True)}

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        return [str(self._lines[id(example)]["answers"][self.name]) for example in examples]

    def score(
        self, examples: Sequence[Example], completions: Sequence[Sequence[str]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        return [
            [self._score(example, text) for text in texts] for example, texts in zip(examples, completions, strict=True)
        ]

    def _score(self, example: Example, text: str) -> CompletionScore:
        line = self._lines[id(example)]
        chosen = (line.get("labels") or {}).get(self.name)
        answered = (line.get("answers") or {}).get(self.name)
        tokens = len(completion_ids(self.renderer.tokenizer, self.renderer.render(example).completion))
        nats = -tokens * math.log(line["scores"][self.name].get("perplexity", math.e))
        if text != example.reference:
            nats = nats + 1.0 if text == chosen else UNLIKELY
        return CompletionScore(nats, tokens, text == answered)


@dataclass(frozen=True)
class RecordedEvaluation:
    """The rows that ``base`` and ``tuned`` were judged on, by which metrics, and both as they answered."""

    rows: EvaluationRows
    metrics: list[str]
    predictors: list[CachedEvaluation]


def recorded_evaluation(run: RunFolder, tokenizer: Any) -> RecordedEvaluation | None:
    """The evaluation of a run, where it is of the weights and of the rows that are there now."""
    try:
        document = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
        lines = (run.path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        return _checked(run, document, [json.loads(line) for line in lines], tokenizer)
    except (OSError, ValueError, KeyError, TypeError, GraftError):
        return None  # none was made, or its rows are gone: PyTorch is asked


def _checked(run: RunFolder, document: Any, lines: list[Any], tokenizer: Any) -> RecordedEvaluation | None:
    source, weights = document["data"], run.path / "adapter" / "adapter_model.safetensors"
    path = Path(source["path"])
    if run.manifest["adapter"]["sha256"] != sha256_of(weights) or source["sha256"] != sha256_of(path):
        return None
    own = path.resolve() == (run.path / "data" / "eval.jsonl").resolve()
    rows = load_evaluation_rows(run, None if own else [str(path)], DataSettings())
    rows, examples = replace(rows, source=source), rows.examples
    metrics = metric_references(document)
    select_metrics(metrics, rows.references, rows.labels)
    names = [name for name in ("base", "tuned") if name in document["predictors"]]
    same = [(e.prompt_text, e.reference) for e in examples] == [(x["prompt"], x["reference"]) for x in lines]
    if not same or len(names) < 2:
        return None
    renderer = Renderer(tokenizer)
    return RecordedEvaluation(rows, metrics, [CachedEvaluation(n, examples, lines, renderer) for n in names])


def cached_parity_check(
    run: RunFolder, known: RecordedEvaluation, model: Any, tokenizer: Any, rows: int, reporter: Reporter
) -> ParityCheck:
    """The gate's parity_check with at most ``rows`` rows; ``model`` is asked only what no evaluation keeps."""
    chosen, limit = known.rows.first(rows), run.manifest["settings"].get("max_new_tokens")
    ends = TorchPredictor("", model, tokenizer, Renderer(tokenizer)).ends()
    answered = reference(model, tokenizer, chosen.examples, ends, reporter, limit)
    asked = [CachedPredictor(one) for one in known.predictors]
    return ParityCheck(chosen, tokenizer, asked, answered, known.metrics, limit)
