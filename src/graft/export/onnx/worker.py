"""``python -m graft.export.onnx.worker BUNDLE``: a bundle in a process of its own, asked by lines of JSON.

What is checked is then what will be deployed: nothing of PyTorch, of the training process or of its threads is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from graft.errors import GraftError
from graft.export.onnx.session import Ids, Progress, Scored


class OnnxWorker:
    """The other side: starts the process, asks, and ends it. Use as a context manager."""

    def __init__(self, folder: Path, adapter: str | None = None) -> None:
        self._command = [sys.executable, "-m", "graft.export.onnx.worker", str(folder), *([adapter] if adapter else [])]
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
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._process = None

    def ask(self, what: str, progress: Progress | None = None, **arguments: Any) -> Any:
        """Raises:
        GraftError: when the bundle fails, with what onnxruntime said.
        """
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"what": what, **arguments}) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        for line in process.stdout:
            answer = json.loads(line)
            if "progress" in answer:
                if progress:
                    progress(*answer["progress"])
            elif "error" in answer:
                raise GraftError(f"the bundle fails: {answer['error']}", where=str(self._folder))
            else:
                return answer["result"]
        raise self._failure()

    def _failure(self) -> GraftError:
        assert self._process is not None
        assert self._process.stderr is not None
        said = " ".join(self._process.stderr.read().split())[-400:]
        return GraftError(f"the bundle's process ended: {said}", where=str(self._folder))

    def score(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[Scored]]:
        found = self.ask("score", progress, prompts=list(prompts), completions=list(completions))
        return [[(float(nats), int(tokens), bool(greedy)) for nats, tokens, greedy in row] for row in found]

    def generate(
        self, prompts: Sequence[Ids], max_new_tokens: int, ends: Collection[int], progress: Progress | None = None
    ) -> list[list[int]]:
        found = self.ask("generate", progress, prompts=list(prompts), max_new_tokens=max_new_tokens, ends=sorted(ends))
        return [list(row) for row in found]


class _Served:
    """What the process answers; the graph is loaded by whoever is first asked, genai or the session."""

    def __init__(self, folder: Path, adapter: str | None) -> None:
        self.folder, self.adapter = folder, adapter
        self._genai: Any = None
        self._session: Any = None

    @property
    def _file(self) -> Path | None:
        from graft.export.bundle import adapter_file

        return adapter_file(self.folder, self.adapter) if self.adapter else None

    @property
    def genai(self) -> Any:
        if self._genai is None:
            from graft.export.onnx.genai import GenaiModel

            self._genai = GenaiModel(self.folder)
            self._genai.use(self.adapter, self._file)
        return self._genai

    @property
    def session(self) -> Any:
        if self._session is None:
            from graft.export.onnx.session import OnnxSession

            self._session = OnnxSession(self.folder, self._file)
        return self._session

    def score(self, progress: Progress, prompts: Any, completions: Any) -> Any:
        return self.session.score(prompts, completions, progress)

    def generate(self, progress: Progress, prompts: Any, max_new_tokens: int, ends: Any) -> Any:
        return self.session.generate(prompts, max_new_tokens, ends, progress)

    def answer(self, progress: Progress, prompts: Any, max_new_tokens: int) -> Any:
        """Through onnxruntime-genai: tokens and the end token of each answer."""
        return self.genai.generate(prompts, max_new_tokens, progress)

    def read(self, progress: Progress, conversations: Any) -> Any:
        return [self.genai.read(messages) for messages in conversations]

    def encode(self, progress: Progress, texts: Any) -> Any:
        return [self.genai.encode(text) for text in texts]

    def logits(self, progress: Progress, prompts: Any) -> Any:
        return [self.genai.last_logits(prompt) for prompt in prompts]

    def speed(self, progress: Progress, prompt: Any, tokens: int) -> dict[str, float]:
        """Seconds to load, tokens a second reading and writing, peak MB of the process; nothing else is loaded yet."""
        import numpy as np

        from graft.hardware.machine import peak_memory_mb

        before = peak_memory_mb()
        started = time.perf_counter()
        genai = self.genai
        loaded = time.perf_counter() - started
        for warm in (True, False):
            length = len(prompt) + (2 if warm else tokens)
            generator = genai.generator(1, length, min_length=length)
            started = time.perf_counter()
            generator.append_tokens(np.array(prompt, np.int32))
            generator.generate_next_token()
            read = time.perf_counter() - started
            started, written = time.perf_counter(), 0
            while not generator.is_done():
                generator.generate_next_token()
                written += 1
            wrote = time.perf_counter() - started
        return {
            "load_seconds": round(loaded, 2),
            "prompt_tokens_per_second": round(len(prompt) / read, 1),
            "tokens_per_second": round(written / wrote, 1),
            "peak_mb": round(peak_memory_mb(), 1),
            "peak_mb_before_loading": round(before, 1),
        }


def main() -> int:
    served = _Served(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)

    def say(document: dict[str, Any]) -> None:
        print(json.dumps(document), flush=True)

    def progress(done: int, total: int) -> None:
        say({"progress": [done, total]})

    for line in sys.stdin:
        request = json.loads(line)
        try:
            say({"result": getattr(served, request.pop("what"))(progress, **request)})
        except Exception as error:
            say({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
