"""The parity gate: a bundle against the PyTorch model it was made from, on the run's held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from graft.config import ExportSettings
from graft.data.chat_template import Renderer
from graft.data.example import Example
from graft.data.tokenize import prompt_token_ids
from graft.engine import generate
from graft.evaluation.compare import Evaluation, evaluate
from graft.evaluation.metrics import metric_info
from graft.evaluation.predict import default_max_new_tokens
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.table import metric_names
from graft.export.bundle import ends_of
from graft.export.onnx.parity_checks import ROWS_ANSWERED, ROWS_OF_LOGITS, Reference, compare, verdict
from graft.export.onnx.predictor import OnnxPredictor
from graft.export.onnx.worker import OnnxWorker
from graft.inference.cached import CachedPredictor
from graft.inference.predictor import Predictor
from graft.progress import Reporter


@dataclass
class ParityCheck:
    """The rows, and what PyTorch makes of them: ``base`` where there is one to compare with, and ``tuned``."""

    rows: EvaluationRows
    tokenizer: Any
    predictors: list[CachedPredictor]
    reference: Reference
    metrics: Sequence[str] | None = None
    max_new_tokens: int | None = None
    evaluations: dict[str, Evaluation] = field(default_factory=dict)

    def judge(
        self, folder: Path, name: str, settings: ExportSettings, reporter: Reporter, adapter: str | None = None
    ) -> dict[str, Any]:
        """The parity document of the bundle in ``folder`` with its ``adapter`` active.

        The evaluation beside the other predictors is kept by ``name``.
        """
        with OnnxWorker(folder, adapter) as worker:
            bundle = OnnxPredictor(name, worker, self.tokenizer, ends_of(folder))
            found = compare(
                self.reference, worker, bundle, lambda done, total: reporter.advance(f"{name}: answering", done, total)
            )
            asked = CachedPredictor(bundle)
            self.evaluations[name] = self._evaluate([*self.predictors, asked], reporter)
            pair = self._evaluate([self.predictors[-1], asked], reporter)
        return {"rows": len(self.rows.examples), **found, **gate(pair.document, settings.max_accuracy_drop)}

    def _evaluate(self, predictors: Sequence[Predictor], reporter: Reporter) -> Evaluation:
        return evaluate(
            predictors,
            self.rows,
            metrics=self.metrics,
            max_new_tokens=self.max_new_tokens,
            reporter=reporter,
        )


def gate(document: dict[str, Any], allowed: float | None) -> dict[str, Any]:
    """The first metric of PyTorch's model and of the bundle, the paired difference, and whether it is allowed."""
    metric = metric_info(document, metric_names(document)[0])
    before, after = (figures[metric.name] for figures in document["predictors"].values())
    difference = next(d for d in document["differences"] if d["metric"] == metric.name)
    passed, drop, why = verdict(metric, before["value"], after["value"], difference["p"], allowed)
    return {
        "metric": metric.name,
        "pytorch": before,
        "bundle": after,
        "difference": {name: difference[name] for name in ("value", "low", "high", "p")},
        "drop": round(drop, 6),
        "passed": passed,
        "why": why,
    }


def reference(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    ends: set[int],
    reporter: Reporter,
    max_new_tokens: int | None = None,
) -> Reference:
    """What ``model`` answers to the first rows, greedily, and its logits after the first few prompts."""
    renderer = Renderer(tokenizer)
    chosen = list(examples[:ROWS_ANSWERED])
    prompts = [prompt_token_ids(example, renderer) for example in chosen]
    longest = max_new_tokens or default_max_new_tokens([example.reference for example in examples], tokenizer)
    answers = generate(
        model,
        prompts,
        longest,
        ends,
        tokenizer.pad_token_id,
        lambda done, total: reporter.advance("PyTorch: answering", done, total),
    )
    with torch.no_grad():
        logits = [
            model(input_ids=torch.tensor([ids])).logits[0, -1].float().tolist() for ids in prompts[:ROWS_OF_LOGITS]
        ]
    texts = [renderer.render(example).prompt for example in chosen]
    return Reference(chosen, prompts, texts, answers, logits, longest)
