"""A bundle as a predictor: what judges the PyTorch model judges it, on the same rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from graft.data.chat_template import Renderer
from graft.data.example import Example
from graft.data.tokenize import candidate_token_ids, prompt_token_ids
from graft.errors import InputError
from graft.export.bundle import GENAI, adapter_file, ends_of, read_manifest
from graft.export.onnx.session import Ids, OnnxSession, Scored
from graft.inference.predictor import CompletionScore, Progress


class Runtime(Protocol):
    """A ``OnnxSession`` in this process, or a ``OnnxWorker`` in another."""

    def generate(
        self, prompts: Sequence[Ids], max_new_tokens: int, ends: Collection[int], progress: Progress | None = None
    ) -> list[list[int]]: ...

    def score(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[Scored]]: ...


class OnnxPredictor:
    """``ends``: the tokens that end an answer, as genai_config.json lists them."""

    def __init__(self, name: str, runtime: Runtime, tokenizer: Any, ends: Collection[int]) -> None:
        self.name, self.runtime, self.tokenizer, self.ends = name, runtime, tokenizer, set(ends)
        self.renderer = Renderer(tokenizer)

    @classmethod
    def open(cls, folder: Path, adapter: str | None = None) -> OnnxPredictor:
        """The bundle in ``folder``, with one of its adapters by name.

        Raises:
            InputError: when there is no such adapter, or the bundle is for another runtime.
        """
        if not (folder / GENAI).is_file():
            kind = read_manifest(folder).get("format", "unknown")
            raise InputError(f"this bundle ({kind}) does not run in onnxruntime-genai", where=str(folder))
        from transformers import AutoTokenizer

        session = OnnxSession(folder, adapter_file(folder, adapter))
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return cls(adapter or "onnx", session, tokenizer, ends_of(folder))

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        prompts = [prompt_token_ids(example, self.renderer) for example in examples]
        return [self.text(ids) for ids in self.runtime.generate(prompts, max_new_tokens, self.ends, progress)]

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        prompts = [prompt_token_ids(example, self.renderer) for example in examples]
        answers = candidate_token_ids(examples, completions, self.renderer)
        return [[CompletionScore(*scored) for scored in row] for row in self.runtime.score(prompts, answers, progress)]

    def text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()
