"""llama.cpp, from the wheel ``xllamacpp``, in a process of its own (``graft.inference.llama_cpp_process``).

A file that makes llama.cpp abort or hang ends that process; here it is an error with what llama.cpp said last.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from graft.errors import GraftError, InputError, need_extra
from graft.inference.predictor import CompletionScore, Progress

EXTRA, PACKAGE = "gguf", "xllamacpp"
PATIENCE = 900.0
"""Seconds without an answer or progress after which llama.cpp is held to hang."""
SECONDS_TO_END = 5
Ids = Sequence[int]


def is_installed() -> bool:
    """Whether llama.cpp can be run here."""
    return importlib.util.find_spec(PACKAGE) is not None


def require() -> None:
    """Raises:
    MissingExtra: If llama.cpp cannot be run here.
    """
    if not is_installed():
        raise need_extra(EXTRA, PACKAGE)


@dataclass(frozen=True)
class LlamaCppModel:
    """What llama.cpp says of a file.

    Attributes:
        vocabulary: The number of tokens.
        positions: The number of positions that it was trained with.
        chat_template: The template in the file, in Jinja; empty without one.
    """

    vocabulary: int
    positions: int
    chat_template: str


class LlamaCpp:
    """A GGUF file in llama.cpp: starts the process, asks it, and ends it. A context manager.

    Args:
        file: The GGUF file.
        lora: A GGUF file of a LoRA adapter to activate.
        threads: The number of threads; None for one a core.
        patience: Seconds without an answer after which the process is ended.

    Raises:
        MissingExtra: If llama.cpp is not installed.
    """

    def __init__(
        self, file: Path, lora: Path | None = None, threads: int | None = None, patience: float = PATIENCE
    ) -> None:
        require()
        self.file, self._patience = file, patience
        module = "graft.inference.llama_cpp_process"
        given = [str(file), str(threads or os.cpu_count() or 1), *([str(lora)] if lora else [])]
        self._command = [sys.executable, "-m", module, *given]
        self._process: subprocess.Popen[str] | None = None
        self._said: IO[bytes] | None = None
        self._reader = threading.Thread()
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> LlamaCpp:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; nothing happens if it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        cast(IO[str], process.stdin).close()
        try:
            process.wait(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join()
        for stream in (process.stdout, self._said):
            cast(IO[Any], stream).close()

    # ---- questions

    def model(self) -> LlamaCppModel:
        """The file as llama.cpp understands it.

        Raises:
            InputError: If llama.cpp does not load it, with its message.
        """
        return LlamaCppModel(**self._ask("model"))

    def tokenize(self, texts: Sequence[str], special: bool = True, begin: bool = True) -> list[list[int]]:
        """The token ids of each text by the file's tokenizer.

        Args:
            texts: The texts.
            special: Whether names of special tokens in a text are those tokens.
            begin: Whether the beginning token is put first, if the file asks for one.
        """
        found: list[list[int]] = self._ask("tokenize", texts=list(texts), special=special, begin=begin)
        return found

    def detokenize(self, rows: Sequence[Ids]) -> list[str]:
        """The text of each row of ids."""
        found: list[str] = self._ask("detokenize", rows=[list(ids) for ids in rows])
        return found

    def apply_template(self, conversations: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
        """Each conversation as llama.cpp renders it with the file's chat template, ready for an answer.

        Raises:
            GraftError: If the template fails there.
        """
        given = [[dict(message) for message in messages] for messages in conversations]
        found: list[str] = self._ask("apply_template", conversations=given)
        return found

    def first_logprobs(self, prompts: Sequence[Ids]) -> list[list[float]]:
        """The log-probabilities (vocabulary) after each prompt: the logits after log-softmax, in nats."""
        found: list[list[float]] = self._ask("first_logprobs", prompts=[list(ids) for ids in prompts])
        return found

    def generate(
        self, prompts: Sequence[Ids], max_new_tokens: int, ends: Collection[int], progress: Progress | None = None
    ) -> list[list[int]]:
        """The greedy answer to each prompt as token ids, without the token that ended it.

        Args:
            prompts: Token ids; at least one each.
            max_new_tokens: The maximum number of tokens in an answer.
            ends: Tokens that end an answer besides the end tokens of the file itself.
            progress: Called after each row.
        """
        given = [list(ids) for ids in prompts]
        found: list[list[int]] = self._ask(
            "generate", progress, max_new_tokens, prompts=given, max_new_tokens=max_new_tokens, ends=sorted(ends)
        )
        return found

    def score(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """For each prompt a score for each of its completions: of each token, forced, after those before it."""
        given = [[list(ids) for ids in row] for row in completions]
        found = self._ask("score", progress, prompts=[list(ids) for ids in prompts], completions=given)
        return [[CompletionScore(*scored) for scored in row] for row in found]

    # ---- the process

    def _ask(self, what: str, progress: Progress | None = None, tokens: int = 0, **arguments: Any) -> Any:
        """Call a method of ``llama_cpp_process.Served``; each of the answer's ``tokens`` adds a second of patience."""
        if self._process is None:
            raise RuntimeError("llama.cpp is used outside its `with` block")
        stdin = cast(IO[str], self._process.stdin)
        try:
            stdin.write(json.dumps({"what": what, **arguments}) + "\n")
            stdin.flush()
        except (BrokenPipeError, OSError):
            raise self._ended() from None
        while True:
            answer = self._next(self._patience + tokens)
            if "error" in answer:
                raise GraftError(f"llama.cpp refused this: {answer['error']}", where=str(self.file))
            if "result" in answer:
                return answer["result"]
            if progress is not None:
                progress(*answer["progress"])

    def _next(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            assert self._process is not None
            self._process.kill()
            raise InputError(
                f"llama.cpp gave no answer in {seconds:.0f} seconds: {self._last_words()}", where=str(self.file)
            ) from None
        if line is None:
            raise self._ended()
        found: dict[str, Any] = json.loads(line)
        return found

    def _ended(self) -> InputError:
        return InputError(f"llama.cpp cannot run this file: {self._last_words()}", where=str(self.file))

    def _last_words(self) -> str:
        if self._process is not None:
            self._process.wait()
        if self._said is None:
            return ""
        self._said.seek(0)
        return last_message(self._said.read().decode("utf-8", "replace")) or "it said nothing"


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Put each line of ``stream`` into ``lines``, and None at its end."""
    for line in stream:
        lines.put(line)
    lines.put(None)


_STAMP = re.compile(r"^[\d.]+ (?P<level>[A-Z]) ")
_CAUSES = ("error loading model", "GGML_ASSERT", "what():", "failed to load", "failed to apply lora")


def last_message(log: str) -> str:
    """The line of llama.cpp's log that says why it ended: the cause, else the last error, else the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for cause in _CAUSES:
        found = [line for line in lines if cause in line]
        if found:
            return _without_stamp(found[-1])
    errors = [line for line in lines if (stamp := _STAMP.match(line)) and stamp["level"] == "E"]
    chosen = (errors or lines)[-1:]
    return _without_stamp(chosen[0]) if chosen else ""


def _without_stamp(line: str) -> str:
    return _STAMP.sub("", line)[:400]
