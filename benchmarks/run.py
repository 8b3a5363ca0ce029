"""Graft's engines against its padded path, in turn in one process: rows/s, share of the GEMM rate, held-out loss.

    python benchmarks/run.py                                  # the demo's tweets
    python benchmarks/run.py --data rows.jsonl --batch_size 16 --turns 5 --output result.json

Each engine trains its own adapter on the same batches in the same order; a turn is one step of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from graft.engine import fused, pack, packed_loss, plain_collate, plain_loss, plan_batches
from graft.hardware import machine
from graft.methods import METHODS
from graft.models.base import load_model
from graft.settings import FinetuneSettings
from graft.workflow.plan import plan_run

ENGINES = ("plain", "packed, PEFT's layers", "exact", "int8", "bf16")


class Trained:
    """One engine's model and optimizer. ``plain`` pads; its layers and the second's are PEFT's own."""

    def __init__(self, engine: str, plan: Any, settings: FinetuneSettings) -> None:
        self.engine, self.pad = engine, plan.tokenizer.pad_token_id
        self.model = METHODS.get("lora").prepare(load_model(plan.base), settings).train()
        weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(weights, lr=2e-4, weight_decay=0.0)
        self.seconds: list[float] = []
        self.context = fused(self.model, engine) if engine in {"exact", "int8", "bf16"} else None
        if self.context:
            self.context.__enter__()

    def loss(self, rows: list[Any]) -> torch.Tensor:
        if self.engine == "plain":
            return plain_loss(self.model, plain_collate(rows, self.pad))
        return packed_loss(self.model, pack(rows))

    def step(self, rows: list[Any]) -> None:
        began = time.perf_counter()
        self.loss(rows).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.seconds.append(time.perf_counter() - began)
        print(f"{self.engine}: {len(rows) / self.seconds[-1]:.2f} rows/s", file=sys.stderr, flush=True)


def gemm_rate() -> float:
    """GFLOP/s of float32 products of the model's shapes, the best of some."""
    a, b = torch.randn(1088, 576), torch.randn(1536, 576)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        a @ b.t()
        times.append(time.perf_counter() - began)
    return 2 * 1088 * 576 * 1536 / min(times) / 1e9


def linear_parameters(model: Any) -> int:
    return sum(m.weight.numel() for n, m in model.named_modules() if n.endswith("base_layer"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(files("graft.demo_data") / "tone-train.jsonl"))
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    settings = FinetuneSettings(model_name_or_path=given.model, data_files=(given.data,), output_path="unused")
    plan = plan_run(settings, lambda text: None)
    batches = [b for b in plan_batches(plan.rows, given.batch_size, 42, 0) if len(b) == given.batch_size]
    held_out = plan.held_out[:64]
    trained = [Trained(engine, plan, settings) for engine in given.engines]
    rates: list[float] = []
    for turn in range(given.turns + 1):  # the first is to warm up
        rates.append(gemm_rate())
        for one in trained:
            one.step([plan.rows[i] for i in batches[turn % len(batches)]])
    tokens = [
        pack([plan.rows[i] for i in batches[t % len(batches)]])["input_ids"].shape[1] for t in range(given.turns + 1)
    ]
    result: dict[str, Any] = {"machine": machine(), "gemm_gflops": [round(rate) for rate in rates], "engines": {}}
    for one in trained:
        one.model.eval()
        with torch.no_grad():
            loss = float(one.loss(held_out))
        times = one.seconds[1:]
        flops = [4 * linear_parameters(one.model) * count for count in tokens[1:]]
        result["engines"][one.engine] = {
            "rows_per_second_best": round(given.batch_size / min(times), 2),
            "rows_per_second_median": round(given.batch_size / statistics.median(times), 2),
            "necessary_gflops_median": round(statistics.median(f / t / 1e9 for f, t in zip(flops, times, strict=True))),
            "held_out_loss": round(loss, 5),
        }
    text = json.dumps(result, indent=2)
    print(text)
    if given.output:
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
