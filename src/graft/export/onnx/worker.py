"""A bundle in a process of its own, asked by lines of JSON (``graft.export.onnx.worker_process``).

What is checked is then what will be deployed, without PyTorch and without the threads of the training process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any, cast

from graft.errors import GraftError
from graft.export.onnx.genai import GenaiAnswer
from graft.export.onnx.session import Ids
from graft.inference.predictor import CompletionScore, Progress

SECONDS_TO_END = 10


class OnnxWorker:
    """Starts the process, asks it, and ends it: a context manager.

    Args:
        folder: The bundle.
        adapter: The adapter to activate, by name.
    """

    def __init__(self, folder: Path, adapter: str | None = None) -> None:
        module = "graft.export.onnx.worker_process"
        self._command = [sys.executable, "-m", module, str(folder), *([adapter] if adapter else [])]
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> OnnxWorker:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._running, None
        streams = [cast(IO[str], stream) for stream in (process.stdin, process.stdout, process.stderr)]
        streams[0].close()
        try:
            process.wait(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in streams[1:]:
            stream.close()

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the worker is used outside its `with` block")
        return self._process

    def ask(self, what: str, progress: Progress | None = None, **arguments: Any) -> Any:
        """Call a method of ``worker_process.Served`` and return its result as JSON gives it.

        Raises:
            GraftError: If the bundle fails, with what onnxruntime said.
        """
        process = self._running
        stdin, stdout = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
        try:
            stdin.write(json.dumps({"what": what, **arguments}) + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._failure(process) from None
        for line in stdout:
            answer = json.loads(line)
            if "progress" in answer:
                if progress:
                    progress(*answer["progress"])
            elif "error" in answer:
                raise GraftError(f"the bundle failed: {answer['error']}", where=str(self._folder))
            else:
                return answer["result"]
        raise self._failure(process)

    def _failure(self, process: subprocess.Popen[str]) -> GraftError:
        said = " ".join(cast(IO[str], process.stderr).read().split())[-400:]
        return GraftError(f"the process of the bundle ended: {said}", where=str(self._folder))

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
