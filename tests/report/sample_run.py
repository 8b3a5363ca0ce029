"""Run folders as ``finetune`` leaves them, made by code: the numbers fit together and are always the same."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from graft.evaluation.metrics import get_metric
from graft.runs.evaluation_document import EvaluationDocument, MetricsRecord, PredictionRecord
from graft.runs.manifest import RunManifest
from graft.runs.record import Record, dump, dump_lines, validate

LABELS = ["negative", "neutral", "positive"]
INSTRUCTION = "Classify the tone of the text as one of: negative, neutral, positive.\n\n"
HOSTILE = "<script>document.title='owned'</script><img src=\"https://example.org/x.png\" onerror=alert(1)> & </style>"

_SENTENCES = {
    "negative": [
        "papercuts suck worse. RT @anonymous: I hate paperwork.",
        "I'm starting to wonder if my old landlord really owned the building we were in.",
        "Yet again, an HP employee almost runs me over in the parking lot #stillbitter",
        "I am okay with losing when it's my lack of skill. But I hate losing due to technical difficulty. So mad",
        "My hometown paper misspells the former president's name, and has *classy* comments: http://url_removed",
    ],
    "neutral": [
        "Down on east sixth supervising Team Bartlett.",
        'The word "just" is a complicated word.',
        "Can someone recommend a good DocBook XML editor, preferably free? Would like a nice GUI. #techcomm",
        "Might use Volpaia",
        "Blah Blah Blah, soccer, blah blah angry stand-off, blah blah. Whatever.",
    ],
    "positive": [
        "Today I'm grateful for good food, good wine and good friends. #gratitude #fb",
        "Somehow I was blessed with some really amazing friends who send encouragement when I'm not feeling awesome.",
        "whew, long day. now to bowling!",
        "Dogs + Puppets + Brits = Win! Win! Win! Thanks, @anonymous for #Mongrels",
        "Yay. Another good phone interview.",
    ],
}
_SUPPORTS = {"negative": 213, "neutral": 101, "positive": 257}
_RIGHT = {  # chance that (base, tuned) find the label
    "negative": (0.55, 0.89),
    "neutral": (0.11, 0.61),
    "positive": (0.79, 0.92),
}


def classification(folder: Path) -> Path:
    """The tone of 571 texts, base and tuned, with everything a finished run has."""
    draw = random.Random(7)
    rows = _answered_labels(draw)
    _write_records(folder / "predictions.jsonl", PredictionRecord, rows)
    _write_record(folder / "evaluation.json", EvaluationDocument, _label_evaluation(rows))
    _write_records(folder / "metrics.jsonl", MetricsRecord, _metrics(110, 1.9, 0.31, draw))
    _write_record(folder / "manifest.json", RunManifest, _manifest("classification", "finished", "tone of tweets"))
    _write_jsonl(
        folder / "data" / "train.jsonl", [_kept(text, label) for label in LABELS for text in _SENTENCES[label]]
    )
    _adapter(folder)
    return folder


def free_text(folder: Path) -> Path:
    """One-line summaries of descriptions: long texts, no labels, ROUGE and perplexity."""
    draw = random.Random(11)
    rows = _answered_texts(draw)
    _write_records(folder / "predictions.jsonl", PredictionRecord, rows)
    values = {"rougeL": (0.214, 0.341), "rouge1": (0.243, 0.379), "rouge2": (0.071, 0.148), "bleu": (3.2, 9.7)}
    values |= {"token_f1": (0.231, 0.366), "exact_match": (0.0, 0.013), "perplexity": (38.4, 11.9)}
    document = _evaluation(values, 316, "synopsis-test.jsonl")
    _write_record(folder / "evaluation.json", EvaluationDocument, document)
    _write_records(folder / "metrics.jsonl", MetricsRecord, _metrics(240, 64.0, 1.7, draw))
    manifest = _manifest("prompt_completion", "finished", None)
    manifest["data"] |= {"labels": None, "summary": {"warnings": []}}
    manifest["base"] |= {"name": "meta-llama/Llama-3.2-1B-Instruct", "license": "llama3.2"}
    _write_record(folder / "manifest.json", RunManifest, manifest)
    _adapter(folder)
    return folder


def right_to_left(folder: Path) -> Path:
    """A run with many long labels and texts in Arabic and Hebrew, and one word that is longer than a line."""
    classification(folder)
    titles = {"negative": "سلبي جدا " * 6, "neutral": "x" * 90, "positive": "חיובי"}
    for name in ("evaluation.json", "predictions.jsonl", "manifest.json"):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        for label, title in titles.items():
            text = text.replace(f'"{label}"', json.dumps(title.strip(), ensure_ascii=False))
        for sentence in _SENTENCES["neutral"][:3]:
            arabic = "هذا نص عربي طويل، وفيه English أيضا! " * 9
            text = text.replace(json.dumps(sentence, ensure_ascii=False)[1:-1], arabic)
        path.write_text(text, encoding="utf-8")
    return folder


def failed(folder: Path) -> Path:
    """A run that ended in an error after some steps: no evaluation, a torn last line in its metrics."""
    manifest = _manifest("classification", "failed", "tone of tweets")
    manifest |= {"error": "the disk is full; the last whole checkpoint is kept\n    free some room, then --resume"}
    for name in ("training", "adapter", "scores"):
        del manifest[name]
    _write_record(folder / "manifest.json", RunManifest, manifest)
    _write_records(folder / "metrics.jsonl", MetricsRecord, _metrics(40, 1.9, 0.6, random.Random(3)))
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 41, "lo')
    return folder


def _kept(text: str, label: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": INSTRUCTION + text}]
    return {"prompt": messages, "completion": label, "origin": "tone-train.jsonl:1", "label": label}


def _answered_labels(draw: random.Random) -> list[dict[str, Any]]:
    references = [label for label in LABELS for _ in range(_SUPPORTS[label])]
    draw.shuffle(references)
    rows = []
    for index, reference in enumerate(references):
        text = draw.choice(_SENTENCES[reference])
        prompt = INSTRUCTION + (HOSTILE if index == 3 else text)
        labels = {name: _label(draw, reference, index, column) for column, name in enumerate(("base", "tuned"))}
        answers = {"base": f"The tone is {labels['base']}.", "tuned": labels["tuned"]}
        scores = {name: {"accuracy": float(labels[name] == reference)} for name in labels}
        rows.append(
            {"origin": f"tone-test.jsonl:{index + 1}", "prompt": prompt, "reference": reference}
            | {"answers": answers, "labels": labels, "scores": scores}
        )
    return rows


def _label(draw: random.Random, reference: str, index: int, column: int) -> str:
    if index == 3:  # the hostile row is one that was fixed
        return reference if column else next(label for label in LABELS if label != reference)
    if draw.random() < _RIGHT[reference][column]:
        return reference
    return draw.choice([label for label in LABELS if label != reference])


def _label_evaluation(rows: list[dict[str, Any]]) -> dict[str, Any]:
    confusion = {
        name: [
            [sum(r["reference"] == wanted and r["labels"][name] == given for r in rows) for given in LABELS]
            for wanted in LABELS
        ]
        for name in ("base", "tuned")
    }
    classes = {name: _classes(matrix) for name, matrix in confusion.items()}
    accuracy = [sum(matrix[i][i] for i in range(3)) / len(rows) for matrix in confusion.values()]
    macro = [sum(entry["f1"] for entry in by_label.values()) / 3 for by_label in classes.values()]
    values = {"accuracy": tuple(accuracy), "macro_f1": tuple(macro)}
    values |= {"exact_match": (0.0, accuracy[1] - 0.004), "perplexity": (4.81, 1.42)}
    return _evaluation(values, len(rows), "tone-test.jsonl") | {
        "labels": LABELS,
        "classes": classes,
        "confusion": confusion,
    }


def _classes(matrix: list[list[int]]) -> dict[str, dict[str, float]]:
    found = {}
    for index, label in enumerate(LABELS):
        right, support = matrix[index][index], sum(matrix[index])
        precision, recall = right / (sum(row[index] for row in matrix) or 1), right / support
        f1 = 2 * precision * recall / ((precision + recall) or 1)
        found[label] = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    return found


def _evaluation(values: Mapping[str, tuple[float, ...]], n: int, path: str) -> dict[str, Any]:
    predictors = {
        name: {metric: _estimate(metric, pair[column], n) for metric, pair in values.items()}
        for column, name in enumerate(("base", "tuned"))
    }
    differences = []
    for metric, (before, after) in values.items():
        half = 1.1 * max(_half(metric, before, n), _half(metric, after, n))
        value = after - before
        ends = {"value": value, "low": value - half, "high": value + half, "p": 0.001 if abs(value) > half else 0.24}
        differences.append({"metric": metric, "from": "base", "to": "tuned", **ends})
    return {
        "data": {"path": path, "rows": n, "sha256": "ab" * 32},
        "labels": None,
        "predictors": predictors,
        "metrics": {name: get_metric(name).as_record() for name in values},
        "differences": differences,
    }


def _estimate(metric: str, value: float, n: int) -> dict[str, float]:
    half = _half(metric, value, n)
    return {"value": value, "low": max(value - half, 0.0), "high": value + half, "n": n}


def _half(metric: str, value: float, n: int) -> float:
    """Half the width of the normal interval of a share; a tenth of what has no bounds."""
    return 1.96 * math.sqrt(max(value * (1 - value), 0.002) / n) if value <= 1 else value / 10


def _answered_texts(draw: random.Random) -> list[dict[str, Any]]:
    long = (
        "The colormap package provides simple utilities to convert colors between RGB, HEX, HLS, HUV and a class to "
        "easily build colormaps for matplotlib. All colormaps of matplotlib and some of R are available altogether. "
        "The plot_colormap method (see below) is handy to pick up a colormap. This package installs the library "
        "for Python 3."
    )
    rambling = (
        "colormap is a package for Python that can be used for many things.\n\nIt has many features:\n- it is easy\n"
    )
    samples = [
        (
            long,
            "ease manipulation of matplotlib colormaps and color codecs (Python 3)",
            rambling + "- it is easy\n" * 30,
            "convert colors and build colormaps for matplotlib (Python 3)",
        ),
        (
            "Low resource window manager ideal for older PCs. It uses a minimum of external libraries.",
            "very small lightweight pure X11 window manager",
            "Low resource window manager ideal for older PCs.",
            "small lightweight X11 window manager for older PCs",
        ),
        (
            "日本語の形態素解析エンジンです。辞書を切り替えられます。" + HOSTILE,
            "Japanese morphological analysis engine",
            "This is a text in Japanese.",
            "Japanese morphological analysis engine with dictionaries",
        ),
    ]
    rows = []
    for index in range(316):
        prompt, reference, base, tuned = samples[index % len(samples)]
        scores = {
            "base": {"rougeL": round(draw.betavariate(2, 7), 3)},
            "tuned": {"rougeL": round(draw.betavariate(3, 6), 3)},
        }
        rows.append(
            {"origin": f"synopsis-test.jsonl:{index + 1}", "prompt": f"Summarise in one line:\n{prompt}"}
            | {"reference": reference, "answers": {"base": base, "tuned": tuned}, "scores": scores}
        )
    return rows


def _metrics(steps: int, first: float, last: float, draw: random.Random) -> list[dict[str, float]]:
    lines: list[dict[str, float]] = []
    for step in range(1, steps + 1):
        done = step / steps
        loss = last + (first - last) * math.exp(-6 * done)
        noisy = max(loss * (1 - 0.12 * done) * draw.uniform(0.85, 1.15), 0.01)
        line = {"step": step, "epoch": done, "loss": noisy, "learning_rate": 2e-4 * (1 - done), "grad_norm": 1.1}
        lines.append(
            line | {"tokens_per_second": 690.0, "rows_per_second": 9.6, "rss_mb": 3350.0, "cpu_percent": 196.0}
        )
        if step % max(steps // 10, 1) == 0:
            lines.append({"step": step, "epoch": done, "eval_loss": loss * 1.06 + 0.5 * last * max(done - 0.8, 0)})
    return lines


def _manifest(kind: str, status: str, task: str | None) -> dict[str, Any]:
    inferences = [
        ("prompt", "text", "the column text beside label, with an instruction that names the labels"),
        ("instruction", INSTRUCTION.strip(), "the answers are 3 classes: the model must be told which"),
        ("eval_share", 0.1, "3,012 rows: a tenth is enough for tight intervals"),
        ("learning_rate", 2e-4, "the usual one for lora on small data"),
        ("per_device_train_batch_size", 16, "95 % of the rows have at most 96 tokens, and 21 GB are free"),
        ("eval_steps", 11, "about 10 evaluations in 110 steps"),
    ]
    settings: dict[str, Any] = {
        "model_name_or_path": "smollm2-135m-instruct",
        "data_files": ["tone-train.jsonl"],
        "method": "lora",
        "max_steps": 110,
        "lora_r": 16,
        "lora_dropout": 0.0,
        "seed": 42,
        "learning_rate": None,
        "loss_on": "completion",
        "output_path": "runs/tone",
        "report_to": [],
        "training_arguments": {"adam_beta2": 0.98},
    }
    versions = {"python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2", "graft": "0.1.0"}
    return {
        "kind": "run",
        "schema_version": "1.0",
        "graft": "0.1.0",
        "status": status,
        "command": "finetune",
        "task_name": task,
        "settings": settings,
        "inferred_settings": [{"name": name, "value": value, "why": why} for name, value, why in inferences],
        "versions": versions,
        "seed": 42,
        "machine": {"cpu": "Some Processor at 2.50 GHz", "cores": 2, "memory_gb": 23.5, "gpu": None, "os": "Linux 6.1"},
        "base": {
            "name": "smollm2-135m-instruct",
            "path": "cache/smollm2",
            "sha256": "cd" * 32,
            "license": "apache-2.0",
        },
        "adapter": {"sha256": "ef" * 32},
        "data": {
            "train": {"path": "tone-train.jsonl", "rows": 3012, "sha256": "01" * 32},
            "eval": None,
            "train_rows": 2711,
            "held_out_rows": 301,
            "labels": LABELS if kind == "classification" else None,
            "kind": kind,
            "trained_token_share": 0.0271,
            "tokens": 197_903,
            "summary": {
                "labels": {"positive": 1223, "negative": 998, "neutral": 490},
                "warnings": ["4 texts occur twice with different labels, first tone-train.jsonl:17 and :904"],
            },
        },
        "training": {
            "steps": 110,
            "best_step": 99,
            "best_eval_loss": 0.3517,
            "early_stopped": False,
            "rows_per_second": 9.61,
            "tokens_per_second": 702.0,
            "seconds": 183.0,
            "peak_rss_mb": 3391.0,
            "trainable_parameters": 4_884_480,
            "parameters": 139_399_488,
            "engine": "packed",
            "engine_reason": None,
        },
        "scores": {"metric": "accuracy" if kind == "classification" else "rougeL"},
        "started": "2026-05-04T10:21:07+00:00",
        "finished": "2026-05-04T10:25:31+00:00",
    }


def _adapter(folder: Path) -> None:
    """An adapter, and the base under it, as a run leaves them."""
    (folder / "model").mkdir(parents=True, exist_ok=True)
    save_file({"weight": np.zeros(1, np.float32)}, folder / "model" / "model.safetensors")
    (folder / "adapter").mkdir(parents=True, exist_ok=True)
    _write_json(folder / "adapter" / "adapter_config.json", {"peft_type": "LORA", "r": 16})


def _write_record(path: Path, model: type[Record], document: dict[str, Any]) -> None:
    """Write ``document`` as graft would: with the types of ``model``, and no key that it does not have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(_known(validate(model, document, str(path)))), encoding="utf-8")


def _write_records(path: Path, model: type[Record], documents: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [_known(validate(model, document, str(path))) for document in documents]
    path.write_text(dump_lines(records), encoding="utf-8")


def _known(record: Record) -> Record:
    assert not record.model_extra, record.model_extra
    for _, value in record:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Record):
                _known(part)
    return record


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def _write_jsonl(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
