"""A bundle in a process of its own, asked by lines of JSON (``graft.export.onnx.worker_process``).

What is checked is then what will be deployed, without PyTorch and without the threads of the training process.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from graft.errors import GraftError
from graft.export.onnx.genai import GenaiAnswer
from graft.export.onnx.session import Ids
from graft.inference.predictor import CompletionScore, Progress
from graft.inference.worker import Worker


class OnnxWorker(Worker):
    """Starts the process, asks it, and ends it: a context manager.

    Args:
        folder: The bundle.
        adapter: The adapter to activate, by name.
    """

    def __init__(self, folder: Path, adapter: str | None = None) -> None:
        super().__init__("graft.export.onnx.worker_process", [str(folder), *([adapter] if adapter else [])], folder)

    def ended(self, log: str) -> GraftError:
        """The process ended: the end of what it wrote."""
        return GraftError(f"the process of the bundle ended: {_last(log)}", where=str(self.where))

    def refused(self, said: str) -> GraftError:
        """What onnxruntime said."""
        return GraftError(f"the bundle failed: {said}", where=str(self.where))

    def silent(self, seconds: float, log: str) -> GraftError:
        """No answer came."""
        return GraftError(f"the bundle gave no answer in {seconds:.0f} seconds: {_last(log)}", where=str(self.where))

    def score(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """As ``OnnxSession.score``."""
        found = self.ask("score", progress, prompts=list(prompts), completions=list(completions))
        return [[CompletionScore(*scored) for scored in row] for row in found]

    def generate(
        self, prompts: Sequence[Ids], max_new_tokens: int, ends: Collection[int], progress: Progress | None = None
    ) -> list[list[int]]:
        """As ``OnnxSession.generate``."""
        found = self.ask("generate", progress, prompts=list(prompts), max_new_tokens=max_new_tokens, ends=sorted(ends))
        return [list(row) for row in found]

    def answer(
        self, prompts: Sequence[Ids], max_new_tokens: int, progress: Progress | None = None
    ) -> list[GenaiAnswer]:
        """As ``GenaiModel.generate``."""
        found = self.ask("answer", progress, prompts=list(prompts), max_new_tokens=max_new_tokens)
        return [GenaiAnswer(list(tokens), bool(ended)) for tokens, ended in found]

    def speed(self, prompt: Ids, tokens: int) -> dict[str, float]:
        """As ``worker_process.Served.speed``."""
        found: dict[str, float] = self.ask("speed", prompt=list(prompt), tokens=tokens)
        return found


def _last(log: str) -> str:
    return " ".join(log.split())[-400:]
