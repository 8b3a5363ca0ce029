"""A generative bundle as a predictor, so that the code that evaluates the PyTorch model evaluates it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from graft.data.chat_template import Renderer
from graft.data.example import Example
from graft.data.tokenize import candidate_token_ids, prompt_token_ids
from graft.errors import InputError
from graft.export.bundle_task import bundle_tokenizer
from graft.export.onnx.adapter_prompt import end_ids, template_of, with_template
from graft.export.onnx.genai_folder import GENAI_CONFIG, adapter_file, context_length, end_tokens
from graft.export.onnx.session import Ids, OnnxSession
from graft.inference.predictor import CompletionScore, Progress
from graft.runs.manifest import MANIFEST, BundleManifest, read_bundle


class Runtime(Protocol):
    """What runs the graph: an ``OnnxSession`` in this process, or an ``OnnxWorker`` in another."""

    def generate(
        self, prompts: Sequence[Ids], max_new_tokens: int, ends: Collection[int], progress: Progress | None = None
    ) -> list[list[int]]:
        """The greedy answer to each prompt, as token ids without the one of ``ends`` that ended it."""

    def score(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """For each prompt a score for each of its completions."""


class OnnxPredictor:
    """A bundle as a predictor.

    Args:
        name: The name in reports.
        runtime: What runs the graph.
        tokenizer: The bundle's tokenizer, of transformers.
        ends: The token ids that end an answer.
    """

    def __init__(self, name: str, runtime: Runtime, tokenizer: Any, ends: Collection[int]) -> None:
        self.name, self.runtime, self.tokenizer, self.ends = name, runtime, tokenizer, set(ends)
        self.renderer = Renderer(tokenizer)
        self.context_length: int | None = None

    @classmethod
    def open(cls, folder: Path, adapter: str | None = None) -> OnnxPredictor:
        """Load the bundle in ``folder``, with one of its adapters by name.

        Raises:
            InputError: If there is no such adapter, a file is damaged, or the folder is not for onnxruntime-genai.
        """
        if not (folder / GENAI_CONFIG).is_file():
            raise InputError(f"this folder is not for onnxruntime-genai: it has no {GENAI_CONFIG}", where=str(folder))
        session = OnnxSession(folder, adapter_file(folder, adapter))
        tokenizer = bundle_tokenizer(folder)
        return cls(adapter or "onnx", session, tokenizer, end_tokens(folder)).asked_as(folder, adapter)

    def asked_as(self, folder: Path, adapter: str | None) -> OnnxPredictor:
        """Return this predictor, asked as the manifest of its bundle says of ``adapter``.

        Args:
            folder: The bundle.
            adapter: The adapter by name; None for the bundle's default.

        Raises:
            InputError: If its chat template is not in the bundle.
        """
        manifest = read_bundle(folder) if (folder / MANIFEST).is_file() else BundleManifest()
        prompt = manifest.prompt_of(manifest.default_adapter if adapter is None else adapter)
        tokenizer = with_template(self.tokenizer, template_of(folder, prompt))
        found = OnnxPredictor(self.name, self.runtime, tokenizer, end_ids(folder, prompt, tokenizer))
        found.context_length = context_length(folder)
        return found

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """The greedy answers, rendered and tokenized by transformers' tokenizer as for the PyTorch model."""
        prompts = [prompt_token_ids(example, self.renderer) for example in examples]
        return [self.text(ids) for ids in self.runtime.generate(prompts, max_new_tokens, self.ends, progress)]

    def score(
        self,
        examples: Sequence[Example],
        completions: Sequence[Sequence[str]],
        progress: Progress | None = None,
    ) -> list[list[CompletionScore]]:
        """The likelihood of each completion, rendered and tokenized as for the PyTorch model."""
        prompts = [prompt_token_ids(example, self.renderer) for example in examples]
        return self.runtime.score(prompts, candidate_token_ids(examples, completions, self.renderer), progress)

    def generate_ids(
        self,
        prompts: Sequence[Ids],
        max_new_tokens: int,
        is_done: Callable[[Sequence[int]], bool] | None = None,
        progress: Progress | None = None,
    ) -> list[list[int]]:
        """The greedy answers to prompts of token ids. In another process they go on to an end token."""
        if isinstance(self.runtime, OnnxSession):
            return self.runtime.generate(prompts, max_new_tokens, self.ends, progress, is_done)
        return self.runtime.generate(prompts, max_new_tokens, self.ends, progress)

    def score_ids(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """The likelihood of token ids after token ids."""
        return self.runtime.score(prompts, completions, progress)

    def text(self, ids: Sequence[int]) -> str:
        """An answer's tokens as text."""
        return self.renderer.answer_text(ids)
