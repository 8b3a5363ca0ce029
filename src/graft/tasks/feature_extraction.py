"""Pairs of texts: the model makes an embedding of each, and the loss says how near the two should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import cosine_similarity, normalize

from graft.data.example import Example, PairExample, expect
from graft.data.labeled_columns import pair_columns, text_pairs
from graft.data.pipeline import Prepared
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError, Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import CompletionScore, Predictor, Progress
from graft.models.load import Kind
from graft.tasks.batching import Batch, evaluating, in_batches, placed, read, text_ids
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.training.objective import Objective


class FeatureExtraction:
    name = "feature-extraction"
    kinds: tuple[Kind, ...] = ("encoder", "causal")
    auto_class = "AutoModel"
    learning_rates: Mapping[str, float] = {}
    uses: frozenset[str] = frozenset({"pair_label"})
    recognize = staticmethod(text_pairs)

    def fits(self, columns: Sequence[str], row: Mapping[str, Any]) -> bool:
        return pair_columns(columns) is not None

    def label_space(self, data: Prepared) -> LabelSpace:
        return LabelSpace()

    def encode(self, examples: Sequence[Example], encoding: Encoding, problems: Problems) -> list[TokenizedExample]:
        """Both texts' tokens, one behind the other; ``prompt_length`` says where the second begins."""
        rows = []
        for example in examples:
            pair = expect(example, PairExample)
            first, first_cut = text_ids(encoding.tokenizer, pair.first, encoding.max_length)
            second, second_cut = text_ids(encoding.tokenizer, pair.second, encoding.max_length)
            different = 1 - pair.similarity
            rows.append(
                TokenizedExample([*first, *second], len(first), example.origin, first_cut + second_cut, different)
            )
        return rows

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        first, second = _split(row)
        decode = encoding.tokenizer.decode
        return f"{decode(first)} | {decode(second)}", f"different: {row.target:g}"

    def objective(self, label_space: LabelSpace) -> Objective:
        own = "graft.tasks.losses:"
        losses = {"cross-entropy": f"{own}Cosine", "cosine": f"{own}Cosine", "contrastive": f"{own}Contrastive"}
        return Objective(collate, outputs, "cosine", "pairs", losses=losses)

    def predictor(self, name: str, model: Any, encoding: Encoding, adapter: bool | None = None) -> Predictor:
        return Comparer(name, model, encoding, adapter)

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        return ("generation",)

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        return ("spearman", "pearson")


FEATURE_EXTRACTION = FeatureExtraction()


def _split(row: TokenizedExample) -> tuple[list[int], list[int]]:
    return row.input_ids[: row.prompt_length], row.input_ids[row.prompt_length :]


def collate(rows: Sequence[TokenizedExample], pad_token_id: int) -> Batch:
    """First texts, then second ones, (2 rows, longest); ``labels`` (rows) is 1 where the two differ."""
    pairs = [_split(row) for row in rows]
    texts = [first for first, _ in pairs] + [second for _, second in pairs]
    return {**read(texts, pad_token_id), "labels": torch.tensor([float(row.target) for row in rows])}


def outputs(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    """Two embeddings (rows, hidden), and whether they differ (rows)."""
    first, second = embed(model, batch["input_ids"], batch["attention_mask"]).chunk(2)
    return first, second, batch["labels"]


def embed(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """(rows, hidden): the mean over a text's tokens, brought to length 1 (Reimers & Gurevych 2019, section 3)."""
    hidden = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
    weights = attention_mask[..., None].to(hidden.dtype)
    return normalize((hidden * weights).sum(1) / weights.sum(1).clamp(min=1), dim=-1)


class Comparer:
    """An answer is the cosine of a pair's embeddings."""

    def __init__(self, name: str, model: Any, encoding: Encoding, adapter: bool | None) -> None:
        self.name, self.model, self.encoding, self.adapter = name, model, encoding, adapter
        self.tokenizer = encoding.tokenizer

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        rows = FEATURE_EXTRACTION.encode(examples, self.encoding, Problems())
        answers = [""] * len(rows)
        with evaluating(self.model, self.adapter) as model:
            for places, batch in in_batches(rows, progress):
                first, second, _ = outputs(model, placed(model, collate(batch, self.encoding.tokenizer.pad_token_id)))
                for place, cosine in zip(places, cosine_similarity(first, second).tolist(), strict=True):
                    answers[place] = f"{cosine:.6f}"
        return answers

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        raise InputError("the likelihood of a pair is not defined", where="--metrics", remedy="--metrics spearman")
