"""llama.cpp, from the wheel ``xllamacpp``, in a process of its own (``graft.inference.llama_cpp_process``).

A file that makes llama.cpp abort or hang ends that process; here it is an error with what llama.cpp said last.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.errors import GraftError, InputError, need_extra
from graft.inference.predictor import CompletionScore, Progress
from graft.inference.worker import Worker

EXTRA, PACKAGE = "gguf", "xllamacpp"
PATIENCE = 900.0
"""Seconds without an answer or progress after which llama.cpp is held to hang."""
Ids = Sequence[int]


def is_installed() -> bool:
    """Whether llama.cpp can be run here."""
    return importlib.util.find_spec(PACKAGE) is not None


def require() -> None:
    """Check that llama.cpp can be run.

    Raises:
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


class LlamaCpp(Worker):
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
        self.file = file
        given = [str(file), str(threads or os.cpu_count() or 1), *([str(lora)] if lora else [])]
        super().__init__("graft.inference.llama_cpp_process", given, file, patience)

    # ---- questions

    def model(self) -> LlamaCppModel:
        """The file as llama.cpp understands it.

        Raises:
            InputError: If llama.cpp does not load it, with its message.
        """
        return LlamaCppModel(**self.ask("model"))

    def tokenize(self, texts: Sequence[str], special: bool = True, begin: bool = True) -> list[list[int]]:
        """The token ids of each text by the file's tokenizer.

        Args:
            texts: The texts.
            special: Whether names of special tokens in a text are those tokens.
            begin: Whether the beginning token is put first, if the file asks for one.
        """
        found: list[list[int]] = self.ask("tokenize", texts=list(texts), special=special, begin=begin)
        return found

    def detokenize(self, rows: Sequence[Ids]) -> list[str]:
        """The text of each row of ids."""
        found: list[str] = self.ask("detokenize", rows=[list(ids) for ids in rows])
        return found

    def apply_template(self, conversations: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
        """Each conversation as llama.cpp renders it with the file's chat template, ready for an answer.

        Raises:
            GraftError: If the template fails there.
        """
        given = [[dict(message) for message in messages] for messages in conversations]
        found: list[str] = self.ask("apply_template", conversations=given)
        return found

    def first_logprobs(self, prompts: Sequence[Ids]) -> list[list[float]]:
        """The log-probabilities (vocabulary) after each prompt: the logits after log-softmax, in nats."""
        found: list[list[float]] = self.ask("first_logprobs", prompts=[list(ids) for ids in prompts])
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
        found: list[list[int]] = self.ask(
            "generate", progress, max_new_tokens, prompts=given, max_new_tokens=max_new_tokens, ends=sorted(ends)
        )
        return found

    def score(
        self, prompts: Sequence[Ids], completions: Sequence[Sequence[Ids]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """For each prompt a score for each of its completions: of each token, forced, after those before it."""
        given = [[list(ids) for ids in row] for row in completions]
        found = self.ask("score", progress, prompts=[list(ids) for ids in prompts], completions=given)
        return [[CompletionScore(*scored) for scored in row] for row in found]

    # ---- what goes wrong

    def ended(self, log: str) -> GraftError:
        """The process ended: llama.cpp's last message."""
        return InputError(f"llama.cpp cannot run this file: {_last(log)}", where=str(self.file))

    def refused(self, said: str) -> GraftError:
        """llama.cpp's answer to what it refused."""
        return GraftError(f"llama.cpp refused this: {said}", where=str(self.file))

    def silent(self, seconds: float, log: str) -> GraftError:
        """No answer came: llama.cpp's last message."""
        return InputError(f"llama.cpp gave no answer in {seconds:.0f} seconds: {_last(log)}", where=str(self.file))


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


def _last(log: str) -> str:
    return last_message(log) or "it said nothing"


def _without_stamp(line: str) -> str:
    return _STAMP.sub("", line)[:400]
