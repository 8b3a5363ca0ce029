"""Runs of a few steps, for tests of what comes after training."""

import json

from graft.commands.finetune import finetune


def bundle_document(folder):
    """The manifest of a bundle, as it is on disk."""
    found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert found["kind"] == "bundle" and found["schema_version"] == "1.0"
    return found


def tone_file(folder, count):
    """A JSON Lines file with ``count`` short texts of each of two classes."""
    rows = [{"text": f"{text} {n}", "label": text[:4]} for n in range(count) for text in ("fine day", "poor work")]
    path = folder / "tone.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def question_file(folder):
    """A JSON Lines file with 24 questions and their answers."""
    rows = [{"input": f"How are you, {name}?", "output": f"{name} is fine"} for name in map(chr, range(97, 121))]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tune(model, data, folder, **settings):
    given = {
        "model_name_or_path": str(model),
        "data_files": str(data),
        "output_path": str(folder),
        "max_steps": 10,
        "eval_share": 0.5,
        "eval_steps": 120,
        "per_device_train_batch_size": 16,
        "learning_rate": 1e-2,
        **({"lora_r": 8} if settings.get("method", "lora") == "lora" else {}),
        "early_stopping_patience": 0,
        "bootstrap_samples": 100,
        "evaluate": False,
    }
    return finetune(given | settings)
