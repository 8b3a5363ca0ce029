"""TRL's SFTTrainer on rows that are tokenised already, from an adapter that is given. See ``turns.py``."""

from __future__ import annotations

from typing import Any

import turns

IGNORED = -100


def main() -> None:
    config = turns.given()
    import torch
    from datasets import Dataset
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(config["threads"])
    options: dict[str, Any] = dict(config["options"])
    lora = LoraConfig.from_pretrained(config["adapter"])
    lora.lora_dropout = options.pop("lora_dropout")
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(config["model"]), config["adapter"], is_trainable=True, config=lora
    )
    data = [{"input_ids": row["input_ids"], "labels": labels(row)} for row in turns.rows(config)]
    arguments = SFTConfig(
        output_dir=config["output"],
        max_steps=config["stops"][-1],
        learning_rate=config["learning_rate"],
        lr_scheduler_type="constant",
        seed=config["seed"],
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **{"train_sampling_strategy": "sequential", "max_length": None, **options},
    )
    turns.watch(config)
    SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(data),
        processing_class=AutoTokenizer.from_pretrained(config["model"]),
    ).train()


def labels(row: dict[str, Any]) -> list[int]:
    first = max(1, row["prompt_length"])
    return [IGNORED] * first + row["input_ids"][first:]


if __name__ == "__main__":
    main()
