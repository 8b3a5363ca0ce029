"""Judging rows by the likelihood of their labels: row by row, and as graft does it. Ratios within one run.

    python benchmarks/score.py                     # SmolLM2-135M, the demo's 571 tweets, three turns
    python benchmarks/score.py --rows 100 --turns 1

``labels apart`` is a loop over transformers: a forward pass for each row and label, in float32. ``rows apart`` gives
each row its labels in one pass, its prompt computed once. ``graft`` is what ``graft evaluate`` does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from graft.cli.main import let_threads_sleep

let_threads_sleep()  # before torch is imported

import torch  # noqa: E402

import tables  # noqa: E402
from graft.config import FinetuneSettings  # noqa: E402
from graft.data.chat_template import Renderer  # noqa: E402
from graft.data.tokenize import text_ids  # noqa: E402
from graft.engine import score  # noqa: E402
from graft.hardware.machine import machine  # noqa: E402
from graft.models.base import load_model  # noqa: E402
from graft.planning.plan import plan_run  # noqa: E402

Ids = Sequence[int]


@torch.no_grad()
def labels_apart(model: Any, prompts: Sequence[Ids], answers: Sequence[Ids]) -> list[list[float]]:
    found = []
    for prompt in prompts:
        sums = []
        for answer in answers:
            logits = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
            nats = logits[len(prompt) - 1 : -1].log_softmax(-1)
            sums.append(float(nats.gather(1, torch.tensor(answer)[:, None]).sum()))
        found.append(sums)
    return found


def rows_apart(model: Any, prompts: Sequence[Ids], answers: Sequence[Ids]) -> list[list[float]]:
    return [row for prompt in prompts for row in together(model, [prompt], answers)]


def together(model: Any, prompts: Sequence[Ids], answers: Sequence[Ids]) -> list[list[float]]:
    return [[nats for nats, _, _ in row] for row in score(model, prompts, [answers] * len(prompts))]


WAYS = {"labels apart": labels_apart, "rows apart": rows_apart, "graft": together}


def main() -> None:
    tone = files("graft.demo_data")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--train", default=str(tone / "tone-train.jsonl"), help="says how rows are put to the model")
    parser.add_argument("--test", default=str(tone / "tone-test.jsonl"))
    parser.add_argument("--rows", type=int, help="of the test file (default: all)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/score-PROCESSOR.json")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        settings = FinetuneSettings(
            model_name_or_path=given.model,
            data_files=(given.train,),
            eval_data_files=(given.test,),
            output_path=Path(folder) / "unused",
        )
        plan = plan_run(settings)
    model, renderer = load_model(plan.base).eval(), Renderer(plan.tokenizer)
    answers = [text_ids(plan.tokenizer, label + renderer.turn_end) for label in plan.data.mapping.labels or []]
    prompts = [row.input_ids[: row.prompt_length] for row in plan.held_out[: given.rows]]
    for way in WAYS.values():
        way(model, prompts[:8], answers)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    found: dict[str, torch.Tensor] = {}
    for _ in range(given.turns):
        for name, way in WAYS.items():
            began = time.perf_counter()
            found[name] = torch.tensor(way(model, prompts, answers))
            seconds[name].append(round(time.perf_counter() - began, 3))
    off = max(float((one - found["labels apart"]).abs().max()) for one in found.values())
    document = {
        "machine": machine(),
        "rows": len(prompts),
        "labels": len(answers),
        "seconds": seconds,
        "greatest_difference_nats": off,
    }
    if given.output:
        given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if given.store:
        print(tables.store("score", document), file=sys.stderr)
    print(tables.score_table(document))


if __name__ == "__main__":
    main()
