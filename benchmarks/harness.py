"""graft's language model beside lm-evaluation-harness's own: processor seconds for the same requests, in one process.

    python benchmarks/harness.py [--model smollm2-135m-instruct] [--rows 40] [--shots 5] [--batch_size 1 8]

Both get the same model in memory, the same tasks and the same rows, in turn. The tasks are made of the demo's tweets:
``choice`` asks for one of three labels behind few-shot examples that are the same for each row (the harness's sampler
``first_n``, which gsm8k and mmlu use); ``drawn`` draws other examples for each row, as most tasks do; ``answer``
generates. The largest difference of a log-likelihood is printed, too. Compare ratios within one run only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

ASKED = "Tone of the text, in one sentence.\n\n{{ text }}\nTone:"
CHOICES = ["the tone is negative", "the tone is neutral", "it is a positive text"]


def task(name: str, kind: str, sampler: str, shots: int, folder: Path) -> dict[str, Any]:
    """A task of the harness over the demo's rows."""
    made: dict[str, Any] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {side: str(folder / f"{side}.jsonl") for side in ("train", "test")},
            "cache_dir": str(folder),
        },
        "test_split": "test",
        "fewshot_split": "train",
        "fewshot_config": {"sampler": sampler},
        "num_fewshot": shots,
        "output_type": kind,
        "doc_to_text": ASKED,
        "doc_to_target": "{{ ['negative', 'neutral', 'positive'].index(label) }}",
        "doc_to_choice": CHOICES,
        "metric_list": [{"metric": "acc" if kind == "multiple_choice" else "exact_match"}],
    }
    if kind == "generate_until":
        made |= {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 32, "do_sample": False}}
    return made


def main() -> None:
    """Time both, and print the ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="smollm2-135m-instruct")
    options.add_argument("--rows", type=int, default=40)
    options.add_argument("--shots", type=int, default=5)
    options.add_argument("--batch_size", type=int, nargs="+", default=[1, 8])
    given = options.parse_args()

    from graft.commands.open_predictors import open_model_by_name
    from graft.config import ModelSettings
    from graft.evaluation.benchmark.harness import harness_version, offline, require_harness
    from graft.evaluation.benchmark.judge import Criteria, judge
    from graft.progress import Silent

    require_harness()
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from graft.evaluation.benchmark.language_model import PredictorLM

    opened = open_model_by_name(given.model, ModelSettings(), Silent())
    (predictor,) = opened.predictors(Silent(), with_base=False, name="model").values()
    contenders: dict[str, Any] = {"graft": PredictorLM(predictor, Silent())}
    for size in given.batch_size:
        contenders[f"HFLM, batch size {size}"] = HFLM(
            pretrained=predictor.model, tokenizer=predictor.tokenizer, batch_size=size, device="cpu"
        )
    print(f"{given.model}, {given.rows} rows, {given.shots} examples, lm-eval {harness_version()}")
    with tempfile.TemporaryDirectory() as place, offline():
        folder = Path(place)
        for side in ("train", "test"):
            rows = files("graft.demo_data").joinpath(f"tone-{side}.jsonl").read_text(encoding="utf-8")
            (folder / f"{side}.jsonl").write_text(rows, encoding="utf-8")
        for name, kind, sampler in (
            ("choice", "multiple_choice", "first_n"),
            ("drawn", "multiple_choice", "default"),
            ("answer", "generate_until", "first_n"),
        ):
            found: dict[str, Any] = {}
            for who, model in contenders.items():
                loaded = TaskManager(include_defaults=False).load([task(name, kind, sampler, given.shots, folder)])
                began = time.process_time()
                judged = judge(model, loaded, Criteria(limit=given.rows))
                found[who] = time.process_time() - began, [sample["resps"] for sample in judged.samples[name]]
                (seconds, theirs), (mine, answers) = found[who], found["graft"]
                line = f"{name:<7} {who:<20} {seconds:7.1f} s"
                if who != "graft":
                    line += f"  {seconds / mine:5.2f} times graft's; {difference(kind, answers, theirs)}"
                print(line, flush=True)


def difference(kind: str, ours: list[Any], theirs: list[Any]) -> str:
    """What differs between the answers."""
    if kind == "generate_until":
        return f"{sum(a == b for a, b in zip(ours, theirs, strict=True))} of {len(ours)} answers equal"
    pairs = [(a[0][0], b[0][0]) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    return f"log-likelihoods differ by at most {max(abs(a - b) for a, b in pairs):.1e}"


if __name__ == "__main__":
    main()
