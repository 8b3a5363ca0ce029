"""Pairs of texts: the model makes an embedding of each, and the loss says how similar the two should be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch.nn.functional import cosine_similarity, normalize

from graft.data.columns.pairs import pair_columns, text_pairs
from graft.data.example import Example, PairExample, expect
from graft.data.pipeline import Prepared
from graft.data.spool import in_parts
from graft.data.tokenize import ROWS_AT_ONCE, TokenizedExample
from graft.errors import Problems
from graft.evaluation.metrics.base import Need
from graft.inference.predictor import Predictor, Progress, Within
from graft.models.load import Kind
from graft.tasks.base import Task
from graft.tasks.batching import Batch, TaskPredictor, pad_inputs, tokenize_texts
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.snippet import Usage, loading, python
from graft.training.objective import Objective

OTHER = "another text"


class FeatureExtraction(Task):
    """Two texts to their similarity."""

    name = "feature-extraction"
    title = "feature extraction"
    help = "A model embeds two texts, and is trained so that similar texts are close."
    aliases = ("sentence-similarity",)
    hub_tag = "sentence-similarity"
    kinds: tuple[Kind, ...] = ("encoder", "causal")
    priority = 20
    two_texts = True
    export_targets = ("onnx-encoder", "hf")
    auto_class = "AutoModel"
    learning_rates: Mapping[str, float] = {}
    uses: frozenset[str] = frozenset({"pair_label"})
    chat: Literal["multi-turn", "single-turn", "none"] = "none"
    recognize = staticmethod(text_pairs)

    def fits(self, columns: Sequence[str], row: Mapping[str, Any], kind: Kind | None = None) -> bool:
        """Return whether there are two columns with texts and one that says how similar they are (``pair_columns``)."""
        return pair_columns(columns) is not None

    def label_space(self, data: Prepared) -> LabelSpace:
        """Return an empty label space: embeddings need no head."""
        return LabelSpace()

    def encode(self, examples: Iterable[Example], encoding: Encoding, problems: Problems) -> Iterator[TokenizedExample]:
        """Both texts' tokens, one after the other; ``prompt_length`` is where the second begins."""
        for part in in_parts(examples, ROWS_AT_ONCE):
            pairs = [expect(example, PairExample) for example in part]
            firsts = tokenize_texts(encoding.tokenizer, [pair.first for pair in pairs], encoding.max_length)
            seconds = tokenize_texts(encoding.tokenizer, [pair.second for pair in pairs], encoding.max_length)
            for pair, first, second in zip(pairs, firsts, seconds, strict=True):
                ids, cut = [*first.ids, *second.ids], max(first.cut, second.cut)
                yield TokenizedExample(ids, len(first.ids), pair.origin, cut, 1 - pair.similarity)

    def preview(self, row: TokenizedExample, encoding: Encoding) -> tuple[str, str]:
        """Return the two texts with a bar between them, and the target: from 0 (the same) to 1 (different)."""
        first, second = row.parts
        decode = encoding.tokenizer.decode
        return f"{decode(first)} | {decode(second)}", f"different: {row.target:g}"

    def objective(self, label_space: LabelSpace) -> Objective:
        """Return an objective of pairs with the losses ``cosine``, the default, and ``contrastive``."""
        own = "graft.tasks.losses:"
        losses = {"cross-entropy": f"{own}Cosine", "cosine": f"{own}Cosine", "contrastive": f"{own}Contrastive"}
        return Objective(collate, outputs, "cosine", "pairs", losses=losses)

    def predictor(self, name: str, model: Any, encoding: Encoding, within: Within = nullcontext) -> Predictor:
        """Return a ``PairPredictor``, which answers with cosine similarities."""
        return PairPredictor(name, model, encoding, within)

    def provides(self, label_space: LabelSpace) -> tuple[Need, ...]:
        """Return ``generation`` alone: the likelihood of a similarity is not defined."""
        return ("generation",)

    def default_metrics(self, label_space: LabelSpace) -> tuple[str, ...] | None:
        """Return the correlations of the cosines with the labels: of ranks first, then the linear one."""
        return ("spearman", "pearson")

    def snippet(self, usage: Usage) -> str:
        """Return code that embeds two texts as ``embed`` does, and prints their cosine similarity."""
        texts = f"[{python(usage.text)}, {python(OTHER)}]"
        lines = [
            *loading(usage, self.auto_class, imports=["from torch.nn.functional import cosine_similarity"]),
            "",
            f'inputs = tokenizer({texts}, padding=True, return_tensors="pt")',
            'hidden, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]',
            "first, second = (hidden * mask).sum(1) / mask.sum(1)",
            "print(cosine_similarity(first, second, dim=0).item())  # 1: the same direction",
        ]
        return "\n".join(lines)


FEATURE_EXTRACTION = FeatureExtraction()


def collate(rows: Sequence[TokenizedExample], pad_token_id: int) -> Batch:
    """Return the first texts, then the second ones, (2 rows, longest); ``labels`` (rows) is 1 where the two differ."""
    pairs = [row.parts for row in rows]
    texts = [first for first, _ in pairs] + [second for _, second in pairs]
    return {**pad_inputs(texts, pad_token_id), "labels": torch.tensor([float(row.target) for row in rows])}


def outputs(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    """Return two embeddings, each (rows, hidden), and whether they differ (rows)."""
    first, second = embed(model, batch["input_ids"], batch["attention_mask"]).chunk(2)
    return first, second, batch["labels"]


def embed(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over a text's tokens, of length 1, (rows, hidden) (Reimers & Gurevych 2019, section 3)."""
    hidden = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
    weights = attention_mask[..., None].to(hidden.dtype)
    return normalize((hidden * weights).sum(1) / weights.sum(1).clamp(min=1), dim=-1)


class PairPredictor(TaskPredictor):
    """Answers with the cosine similarity of a pair's embeddings, as text."""

    no_scores = ("likelihoods are not defined for pairs", "--metrics spearman")

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """Return the cosine similarity of each pair with six decimals; ``max_new_tokens`` is ignored."""
        rows = list(FEATURE_EXTRACTION.encode(examples, self.encoding, Problems()))
        answers = [""] * len(rows)
        for places, batch in self.batches(rows, progress):
            first, second, _ = outputs(self.model, self.to_device(collate(batch, self.tokenizer.pad_token_id)))
            for place, cosine in zip(places, cosine_similarity(first, second).tolist(), strict=True):
                answers[place] = f"{cosine:.6f}"
        return answers
