"""A GGUF file in llama.cpp as a predictor, so that the code that evaluates the PyTorch model evaluates it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path

from graft.data.chat_template import Renderer
from graft.data.example import Example
from graft.data.tokenize import candidate_token_ids, prompt_token_ids
from graft.inference.gguf_tokenizer import GgufTokenizer
from graft.inference.lengths import check_lengths
from graft.inference.llama_cpp import LlamaCpp
from graft.inference.predictor import CompletionScore, Progress


class LlamaCppPredictor:
    """A GGUF file with its own tokenizer, its own chat template and its own end tokens.

    Args:
        name: The name in reports.
        runtime: llama.cpp, started.
        tokenizer: The tokenizer in the file.
    """

    def __init__(self, name: str, runtime: LlamaCpp, tokenizer: GgufTokenizer) -> None:
        self.name, self.runtime, self.tokenizer = name, runtime, tokenizer
        self.renderer = Renderer(tokenizer)
        self._positions = runtime.model().positions

    @classmethod
    def open(cls, file: Path, name: str, lora: Path | None = None) -> LlamaCppPredictor:
        """Start llama.cpp with ``file`` and with the adapter ``lora``; it ends with the predictor.

        Raises:
            MissingExtra: If llama.cpp is not installed.
            InputError: If llama.cpp does not load the file, with its message.
        """
        runtime = LlamaCpp(file, lora)
        runtime.__enter__()
        try:
            runtime.model()
            found = cls(name, runtime, GgufTokenizer(file, runtime))
        except BaseException:
            runtime.close()
            raise
        weakref.finalize(found, runtime.close)
        return found

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """The greedy answers; they end where llama.cpp ends them."""
        prompts = [prompt_token_ids(example, self.renderer) for example in examples]
        check_lengths(examples, [len(prompt) + 1 for prompt in prompts], self._positions)
        answers = self.runtime.generate(prompts, max_new_tokens, (), progress)
        return [self.renderer.answer_text(answer) for answer in answers]

    def score(
        self, examples: Sequence[Example], completions: Sequence[Sequence[str]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """The likelihood of each completion, with its end token, as the chat template renders it."""
        prompts = [prompt_token_ids(example, self.renderer) for example in examples]
        answers = candidate_token_ids(examples, completions, self.renderer)
        longest = [len(p) + max(map(len, given), default=0) for p, given in zip(prompts, answers, strict=True)]
        check_lengths(examples, longest, self._positions)
        return self.runtime.score(prompts, answers, progress)
