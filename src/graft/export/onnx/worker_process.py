"""``python -m graft.export.onnx.worker_process BUNDLE [ADAPTER]``: answers for ``OnnxWorker``, a line of JSON each."""

from __future__ import annotations

import sys
import time
from dataclasses import astuple
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from graft.inference.predictor import Progress
from graft.inference.worker import serve


class _Timing(NamedTuple):
    read_seconds: float
    write_seconds: float
    written: int


class Served:
    """What the process can be asked; the graph is loaded by the first question, in onnxruntime-genai or onnxruntime."""

    def __init__(self, folder: Path, adapter: str | None) -> None:
        self.folder, self.adapter = folder, adapter

    @property
    def _file(self) -> Path | None:
        from graft.export.onnx.genai_folder import adapter_file

        return adapter_file(self.folder, self.adapter) if self.adapter else None

    @property
    def _template(self) -> str | None:
        from graft.export.onnx.adapter_prompt import template_of
        from graft.runs.manifest import read_bundle

        return template_of(self.folder, read_bundle(self.folder).prompt_of(self.adapter)) if self.adapter else None

    @cached_property
    def genai(self) -> Any:
        """The bundle in onnxruntime-genai, with the adapter active; loaded at the first use."""
        from graft.export.onnx.genai import GenaiModel

        model = GenaiModel(self.folder)
        model.use(self.adapter, self._file, self._template)
        return model

    @cached_property
    def session(self) -> Any:
        """The bundle in onnxruntime, with the adapter active; loaded at the first use."""
        from graft.export.onnx.session import OnnxSession

        return OnnxSession(self.folder, self._file)

    def score(self, progress: Progress, prompts: Any, completions: Any) -> Any:
        """For each prompt the fields of a ``CompletionScore`` for each of its completions, by onnxruntime."""
        return [[astuple(one) for one in row] for row in self.session.score(prompts, completions, progress)]

    def generate(self, progress: Progress, prompts: Any, max_new_tokens: int, ends: Any) -> Any:
        """Greedy answers as token ids, by onnxruntime."""
        return self.session.generate(prompts, max_new_tokens, ends, progress)

    def answer(self, progress: Progress, prompts: Any, max_new_tokens: int) -> Any:
        """Greedy answers as ``GenaiAnswer``, by onnxruntime-genai."""
        return self.genai.generate(prompts, max_new_tokens, progress)

    def read(self, progress: Progress, conversations: Any) -> Any:
        """Each conversation as ``GenaiPrompt``: rendered by the bundle's chat template, and tokenized."""
        return [self.genai.read(messages) for messages in conversations]

    def encode(self, progress: Progress, texts: Any) -> Any:
        """The token ids of each text, by onnxruntime-genai's tokenizer."""
        return [self.genai.encode(text) for text in texts]

    def logits(self, progress: Progress, prompts: Any) -> Any:
        """The logits (vocabulary) after each prompt, by onnxruntime-genai."""
        return [self.genai.last_logits(prompt) for prompt in prompts]

    def speed(self, progress: Progress, prompt: Any, tokens: int) -> dict[str, float]:
        """Seconds to load, tokens per second reading and writing, and peak MB of the process.

        It must be the first question: what is loaded already would not be measured.
        """
        from graft.hardware.machine import peak_memory_mb

        before = peak_memory_mb()
        started = time.perf_counter()
        genai = self.genai
        loaded = time.perf_counter() - started
        _time(genai, prompt, 2)  # warm-up
        timing = _time(genai, prompt, tokens)
        return {
            "load_seconds": round(loaded, 2),
            "prompt_tokens_per_second": round(len(prompt) / timing.read_seconds, 1),
            "tokens_per_second": round(timing.written / timing.write_seconds, 1),
            "peak_mb": round(peak_memory_mb(), 1),
            "peak_mb_before_loading": round(before, 1),
        }


def _time(genai: Any, prompt: list[int], tokens: int) -> _Timing:
    import numpy as np

    length = len(prompt) + tokens
    generator = genai.generator(1, length, min_length=length)
    started = time.perf_counter()
    generator.append_tokens(np.array(prompt, np.int32))
    generator.generate_next_token()
    read = time.perf_counter() - started
    started, written = time.perf_counter(), 0
    while not generator.is_done():
        generator.generate_next_token()
        written += 1
    return _Timing(read, time.perf_counter() - started, written)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def main() -> NoReturn:
    """Answer the questions of ``OnnxWorker`` until stdin closes."""
    folder, *more = sys.argv[1:]
    serve(lambda: Served(Path(folder), more[0] if more else None), Exception, _described)


if __name__ == "__main__":
    main()
