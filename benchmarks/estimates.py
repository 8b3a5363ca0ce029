"""How far ``graft plan``'s estimates are from what a training takes, in memory and in time.

Random models of known shapes are made in a temporary folder, and trained for a few steps, each in a fresh process. Its
peak of resident memory and the CPU seconds of its steps stand beside the estimate, which another process made before.
CPU seconds count where other work runs on the machine; with OMP_NUM_THREADS=1 they are the seconds of a quiet machine.

    OMP_NUM_THREADS=1 python benchmarks/estimates.py --models qwen3-0.6b --methods lora full

prints a table and writes ``benchmarks/results/estimates-LABEL.json``. For Linux.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plan import add_output, processor, written

HERE = Path(__file__).parent
EMBEDDED = "smollm2-135m-instruct"
WORDS = "the of and to in is that it was for on are with as at be this have from or had by but some what there we can"
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3-0.6b": {
        "model_type": "qwen3",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    "llama-3.2-1b": {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 128_256,
        "tie_word_embeddings": True,
    },
    "minilm": {
        "model_type": "bert",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "vocab_size": 30_522,
    },
    "t5-small": {
        "model_type": "t5",
        "d_model": 512,
        "d_ff": 2048,
        "d_kv": 64,
        "num_layers": 6,
        "num_heads": 8,
        "vocab_size": 32_128,
        "decoder_start_token_id": 0,
    },
}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "lora plain": {"method": "lora", "engine": "plain"},
    "lora int8": {"method": "lora", "engine": "int8"},
    "lora checkpointed": {"method": "lora", "gradient_checkpointing": True},
    "qlora": {"method": "qlora"},
    "adapters": {"method": "adapters"},
    "full": {"method": "full"},
    "full plain": {"method": "full", "engine": "plain"},
}
TIME_LIMIT = 900


def model_folder(name: str, folder: Path) -> str:
    """A random model of a shape in ``SHAPES``, saved in bfloat16 as most models are; another name stands for itself."""
    if name not in SHAPES:
        return name
    path = folder / name
    if not path.exists():
        subprocess.run([sys.executable, __file__, "--make", name, str(path)], check=True)
    return str(path)


def make_model(name: str, path: Path) -> None:
    import torch
    import transformers

    sys.path.insert(0, str(HERE.parent / "tests"))
    from tiny_models import tiny_model_tokenizer

    tokenizer = tiny_model_tokenizer()
    shape = dict(SHAPES[name])
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = transformers.AutoConfig.for_model(shape.pop("model_type"), **{**shape, **ids})
    kinds = {"bert": transformers.AutoModel, "t5": transformers.AutoModelForSeq2SeqLM}
    auto = kinds.get(config.model_type, transformers.AutoModelForCausalLM)
    auto.from_config(config, dtype=torch.bfloat16).save_pretrained(path)
    tokenizer.save_pretrained(path)


def write_rows(file: Path, kind: str, count: int, tokens: int) -> None:
    """Rows of about ``tokens`` tokens for what a model of this kind does."""
    chance, words = random.Random(0), WORDS.split()

    def text(length: int) -> str:
        return " ".join(chance.choices(words, k=length))

    with file.open("w", encoding="utf-8") as lines:
        for number in range(count):
            long = f"{number} {text(tokens // 2)}"
            row: dict[str, Any] = {"prompt": long, "completion": text(tokens // 12)}
            if kind == "minilm":
                row = {"text": long, "label": chance.choice(["good", "bad"])}
            elif kind == "t5-small":
                row = {"document": long, "summary": text(tokens // 12)}
            lines.write(json.dumps(row) + "\n")


def worker(task: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Estimate a run, or carry it out; in a process of its own."""
    from graft.commands import finetune as command
    from graft.hardware.machine import peak_memory_mb
    from graft.planning.settings import finetune_settings

    settings = dict(settings)
    with_time = settings.pop("with_time")
    plan = command.plan(finetune_settings(settings))
    if task == "estimate":
        from graft.hardware.machine import memory_mb
        from graft.planning.estimate import counted_or_guessed, memory_of, time_of

        began, runtime = time.process_time(), memory_mb().used_by_process
        found = counted_or_guessed(plan)
        memory = memory_of(plan, found, runtime)
        spent = time_of(plan, found) if with_time else None
        return {
            "memory_mb": memory.peak,
            "phases": vars(memory),
            "step_seconds": None if spent is None else spent.step.cpu,
            "busy": None if spent is None else spent.busy,
            "took": round(time.process_time() - began, 1),
        }
    from graft.training.trainer import GraftTrainer

    starts: list[float] = []
    before = GraftTrainer.get_batch_samples

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        starts.append(time.process_time())
        return before(self, *args, **kwargs)

    GraftTrainer.get_batch_samples = noted  # type: ignore[method-assign]
    command.carry_out(plan)
    seconds = [later - earlier for earlier, later in itertools.pairwise(starts[1:])]
    return {"memory_mb": round(peak_memory_mb()), "step_seconds": min(seconds), "steps": seconds}


def in_process(task: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The answer of ``worker`` in a fresh process."""
    words = [sys.executable, __file__, "--worker", task, json.dumps(settings)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(name: str, method: str, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    rows = folder / f"{name}.jsonl"
    write_rows(rows, name, 48, given.tokens)
    settings = {
        "model_name_or_path": model_folder(name, folder),
        "data_files": [str(rows)],
        "output_path": str(folder / "run"),
        "per_device_train_batch_size": given.rows,
        "max_steps": given.steps,
        "with_time": not given.memory,
        "save_strategy": "no",
        "evaluate": False,
        "eval_steps": 100,
        "eval_share": 0.1,
        "overwrite": True,
        **METHODS[method],
    }
    found: dict[str, Any] = {"model": name, "method": method}
    try:
        found |= {"estimate": in_process("estimate", settings), "measured": in_process("train", settings)}
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return {**found, "failed": str(error)}
    for figure in ("memory_mb", "step_seconds"):
        estimated, measured = found["estimate"][figure], found["measured"][figure]
        found[f"{figure}_error"] = None if estimated is None else round(estimated / measured - 1, 3)
    return found


def table(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| model | method | memory: estimate | measured | error | a step: estimate | measured | error |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in results:
        start = f"| {one['model']} | {one['method']} "
        if "failed" in one:
            lines.append(f"{start}| failed: {one['failed'].splitlines()[-1][:80]} | | | | | |")
            continue
        guess, real = one["estimate"], one["measured"]
        memory = f"| {guess['memory_mb']:,} MB | {real['memory_mb']:,} MB | {one['memory_mb_error']:+.0%} "
        seconds = "| – " if guess["step_seconds"] is None else f"| {guess['step_seconds']:.2f} s "
        error = one["step_seconds_error"]
        seconds += f"| {real['step_seconds']:.2f} s | {'–' if error is None else f'{error:+.0%}'} |"
        lines.append(start + memory + seconds)
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[EMBEDDED, *SHAPES])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--rows", type=int, default=4, help="rows of a batch")
    parser.add_argument("--tokens", type=int, default=240, help="about the tokens of a row")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps of a training; the first is not timed")
    parser.add_argument("--memory", action="store_true", help="estimate no time, which depends on what else runs")
    parser.add_argument("--folder", type=Path, help="where models are made (default: a temporary folder)")
    add_output(parser)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.worker:
        print(json.dumps(worker(given.worker[0], json.loads(given.worker[1]))))
        return
    if given.make:
        make_model(given.make[0], Path(given.make[1]))
        return
    results = []
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        for name in given.models:
            for method in given.methods:
                if name in {"minilm", "t5-small"} and "int8" in method:
                    continue  # which is for text generation alone
                results.append(measure(name, method, given, folder))
                print(table(results[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    document = {"processor": processor(), "threads": os.environ.get("OMP_NUM_THREADS"), "results": results}
    file = written(document, "estimates", given)
    print(f"{document['processor']}, {document['threads'] or 'all'} threads\n\n{table(results)}\n\n{file}")


if __name__ == "__main__":
    main()
