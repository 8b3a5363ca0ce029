"""What is measured in the driver, by the same code for all: rows, held-out loss, accuracy, the machine's GEMM rate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from graft.config import config_of
from graft.data.chat_template import Renderer
from graft.data.tokenize import TokenizedExample, text_ids
from graft.engine import pack, packed_loss, plan_batches, score
from graft.methods import METHODS
from graft.models.base import load_model
from graft.planning.plan import RunPlan

GEMM_TOKENS = 1088
ROWS_AT_ONCE = 32


def in_order(plan: RunPlan, rows_a_step: int, steps: int, seed: int) -> list[TokenizedExample]:
    """The rows of so many steps, as graft's Trainer takes them."""
    order: list[int] = []
    epoch = 0
    while len(order) < rows_a_step * steps:
        order += [i for batch in plan_batches(plan.rows, rows_a_step, seed, epoch) for i in batch]
        epoch += 1
    return [plan.rows[i] for i in order[: rows_a_step * steps]]


class Judge:
    """The base in evaluation mode; each adapter is loaded over it in turn."""

    def __init__(self, plan: RunPlan, held_out: int | None) -> None:
        self.plan, self.rows = plan, plan.held_out[:held_out]
        base = load_model(plan.base)
        method = METHODS.get("lora")
        self.model: Any = method.prepare(base, config_of(plan.settings, method.Config), plan.settings.seed, ())
        named = self.model.named_modules()
        frozen = [module for name, module in named if name.endswith("base_layer")]
        self.linear_parameters = sum(module.weight.numel() for module in frozen)
        self.lora_parameters = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        head = self.model.get_output_embeddings()
        self.head_parameters = head.weight.numel()

    def save_adapter(self, folder: Path) -> Path:
        """The adapter all begin with: the one graft makes from this seed."""
        self.model.save_pretrained(folder, save_embedding_layers=False)
        return folder

    def products(self, steps: Sequence[Sequence[TokenizedExample]]) -> dict[str, list[float]]:
        """GFLOP of the matrix products that each step needs at least, without padding and repeated prefixes.

        ``frozen``: 4 a parameter of the layers under the adapters and a token, forward and to the input.
        ``all``: the adapters' own too (6), and the head's (4 a target).
        """
        found: dict[str, list[float]] = {"frozen": [], "all": []}
        for rows in steps:
            batch = pack(rows)
            tokens, targets = batch["input_ids"].shape[1], len(batch["labels"])
            frozen = 4 * self.linear_parameters * tokens
            more = 6 * self.lora_parameters * tokens + 4 * self.head_parameters * targets
            found["frozen"].append(frozen / 1e9)
            found["all"].append((frozen + more) / 1e9)
        return found

    def loss(self, adapter: Path) -> float:
        """Nats a trained token of the held-out rows, with the adapter in float32."""
        model = self._with(adapter)
        total = 0.0
        tokens = sum(len(row.input_ids) - max(1, row.prompt_length) for row in self.rows)
        with torch.no_grad():
            for start in range(0, len(self.rows), ROWS_AT_ONCE):
                total += float(packed_loss(model, pack(self.rows[start : start + ROWS_AT_ONCE]), num_items=1))
        return total / tokens

    def accuracy(self, adapter: Path) -> float:
        """Share of the rows whose label is the likeliest of the labels."""
        model, renderer = self._with(adapter), Renderer(self.plan.tokenizer)
        labels = self.plan.data.mapping.labels or []
        answers = [text_ids(self.plan.tokenizer, label + renderer.turn_end) for label in labels]
        prompts = [row.input_ids[: row.prompt_length] for row in self.rows]
        found = score(model, prompts, [answers] * len(prompts))
        chosen = [labels[max(range(len(labels)), key=lambda i, s=scores: s[i][0])] for scores in found]
        return statistics.mean(a == e.label for a, e in zip(chosen, self.plan.data.eval, strict=False))

    def _with(self, adapter: Path) -> Any:
        if "judged" in self.model.peft_config:
            self.model.set_adapter("default")
            self.model.delete_adapter("judged")
        self.model.load_adapter(str(adapter), "judged")
        self.model.set_adapter("judged")
        return self.model.eval()


def gemm_rate(plan: RunPlan, seconds: float = 0.5) -> float:
    """GFLOP/s of float32 products of the model's own shape, the best of half a second."""
    config = plan.base.text_config
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    a, b = torch.randn(GEMM_TOKENS, hidden), torch.randn(inner, hidden)
    best, end = float("inf"), time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        a @ b.t()
        best = min(best, time.perf_counter() - began)
    return 2 * GEMM_TOKENS * hidden * inner / best / 1e9
