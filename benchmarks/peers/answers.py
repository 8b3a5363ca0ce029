"""One deployed model in a process of its own: seconds to load, tokens per second, peak memory, greedy answers.

    python answers.py config.json

``runtime`` is ``torch`` (transformers' ``generate``), ``onnx`` (onnxruntime-genai) or ``llama`` (llama-cpp-python).
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memory import peak_mb

Ids = Sequence[int]


class Torch:
    batches, libraries = True, ("torch", "peft", "transformers")

    def __init__(self, config: dict[str, Any]) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(config["threads"])
        self.torch, self.config = torch, config
        model: Any = AutoModelForCausalLM.from_pretrained(config["model"], dtype=torch.float32)
        if config["adapter"]:
            model = PeftModel.from_pretrained(model, config["adapter"]).merge_and_unload()
        self.model = model.eval()

    def write(self, prompts: Sequence[Ids], tokens: int) -> list[float]:
        stamps: list[float] = []

        def stamp(*_: Any, **__: Any) -> Any:
            stamps.append(time.perf_counter())
            return self.torch.zeros(len(prompts), dtype=self.torch.bool)

        self._generate(prompts, max_new_tokens=tokens, min_new_tokens=tokens, stopping_criteria=[stamp])
        return stamps

    def answer(self, prompts: Sequence[Ids], limit: int) -> list[list[int]]:
        return self._generate(prompts, max_new_tokens=limit)  # type: ignore[no-any-return]

    def _generate(self, prompts: Sequence[Ids], **options: Any) -> Any:
        longest, pad = max(map(len, prompts)), self.config["pad"]
        ids = self.torch.tensor([[*[pad] * (longest - len(prompt)), *prompt] for prompt in prompts])
        mask = self.torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        with self.torch.inference_mode():
            found = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                eos_token_id=self.config["ends"],
                pad_token_id=pad,
                **options,
            )
        return found[:, longest:].tolist()


class Onnx:
    batches, libraries = True, ("graft.export.onnx.genai", "onnxruntime_genai")

    def __init__(self, config: dict[str, Any]) -> None:
        from graft.export.onnx.genai import GenaiModel

        self.genai = GenaiModel(Path(config["model"]))

    def write(self, prompts: Sequence[Ids], tokens: int) -> list[float]:
        import numpy as np

        longest, pad = max(map(len, prompts)), self.genai.tokenizer.pad_token_id
        generator = self.genai.generator(len(prompts), longest + tokens, min_length=longest + tokens)
        padded = np.array([[*prompt, *[pad] * (longest - len(prompt))] for prompt in prompts], np.int32)
        generator.append_tokens(padded if len(prompts) > 1 else padded[0])
        stamps = []
        while not generator.is_done():
            generator.generate_next_token()
            stamps.append(time.perf_counter())
        return stamps

    def answer(self, prompts: Sequence[Ids], limit: int) -> list[list[int]]:
        return [answer.tokens for answer in self.genai.generate(prompts, limit)]


class Llama:
    batches, libraries = False, ("llama_cpp",)
    """llama-cpp-python answers one prompt at a time."""

    def __init__(self, config: dict[str, Any]) -> None:
        from llama_cpp import Llama as Model

        threads = config["threads"]
        self.ends = set(config["ends"])
        self.model = Model(config["model"], n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)

    def write(self, prompts: Sequence[Ids], tokens: int) -> list[float]:
        self.model.reset()
        stamps = []
        for _ in self.model.generate(list(prompts[0]), temp=0.0):
            stamps.append(time.perf_counter())
            if len(stamps) == tokens:
                break
        return stamps

    def answer(self, prompts: Sequence[Ids], limit: int) -> list[list[int]]:
        found = []
        for prompt in prompts:
            self.model.reset()
            answer: list[int] = []
            for token in self.model.generate(list(prompt), temp=0.0, repeat_penalty=1.0):
                if token in self.ends or len(answer) == limit:
                    break
                answer.append(int(token))
            found.append(answer)
        return found


RUNTIMES = {"torch": Torch, "onnx": Onnx, "llama": Llama}


def main() -> None:
    line = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    runtime: Any = RUNTIMES[config["runtime"]]
    began = time.perf_counter()
    for name in runtime.libraries:
        importlib.import_module(name)
    found: dict[str, Any] = {"import_seconds": round(time.perf_counter() - began, 2)}
    began = time.perf_counter()
    model: Any = runtime(config)
    found["load_seconds"] = round(time.perf_counter() - began, 2)
    prompts, tokens, batch = config["prompts"], config["write_tokens"], config["batch"]
    model.write(prompts[:1], 2)
    read, wrote = [], []
    for prompt in prompts[: config["speed_prompts"]]:
        began = time.perf_counter()
        stamps = model.write([prompt], tokens)
        read.append(len(prompt) / (stamps[0] - began))
        wrote.append((len(stamps) - 1) / (stamps[-1] - stamps[0]))
    found["prompt_tokens_per_second"] = round(statistics.median(read), 1)
    found["tokens_per_second"] = round(statistics.median(wrote), 1)
    found["peak_mb"] = round(peak_mb())
    found["batched_tokens_per_second"] = None
    if model.batches:
        stamps = model.write(prompts[:batch], tokens)
        found["batched_tokens_per_second"] = round(
            len(prompts[:batch]) * (len(stamps) - 1) / (stamps[-1] - stamps[0]), 1
        )
    if config["limit"]:
        began = time.perf_counter()
        answers: list[list[int]] = []
        for start in range(0, len(prompts), batch):
            answers += model.answer(prompts[start : start + batch], config["limit"])
        found["rows_per_second"] = round(len(prompts) / (time.perf_counter() - began), 2)
        found["answers"] = answers
    print(json.dumps(found), file=line, flush=True)


if __name__ == "__main__":
    main()
