"""Olive's LoRA pass as ``olive finetune`` configures it, on the same texts. See ``turns.py``.

Olive makes its adapter itself, and trains on all tokens: it has no loss on the answers alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import turns

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    config = turns.given()
    import torch
    from olive.workflows import run

    torch.set_num_threads(config["threads"])
    options: dict[str, Any] = dict(config["options"])
    output = Path(config["output"])
    texts = output / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in turns.rows(config)), encoding="utf-8")
    training = {name: options.pop(name) for name in list(options) if name in TRAINING}
    preprocess = {"text_cols": "text", **options.pop("preprocess", {})}
    turns.watch(config)
    run(
        {
            "input_model": {"type": "HfModel", "model_path": config["model"]},
            "systems": {
                "local_system": {
                    "type": "LocalSystem",
                    "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
                }
            },
            "data_configs": [
                {
                    "name": "train_data",
                    "type": "HuggingfaceContainer",
                    "load_dataset_config": {"data_name": "json", "data_files": [str(texts)], "split": "train"},
                    "pre_process_data_config": preprocess,
                }
            ],
            "passes": {
                "f": {
                    "type": "lora",
                    "train_data_config": "train_data",
                    "r": 16,
                    "alpha": 32,
                    "target_modules": LINEARS,
                    "training_args": {
                        "max_steps": config["stops"][-1],
                        "learning_rate": config["learning_rate"],
                        "seed": config["seed"],
                        "train_sampling_strategy": "sequential",
                        "save_strategy": "no",
                        "use_cpu": True,
                        "dataloader_pin_memory": False,
                        **training,
                    },
                    **options,
                }
            },
            "host": "local_system",
            "target": "local_system",
            "no_artifacts": True,
            "cache_dir": str(output / "cache"),
            "output_dir": str(output / "olive"),
        }
    )


TRAINING = ("per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing")

if __name__ == "__main__":
    main()
