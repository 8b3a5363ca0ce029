"""A bundle in onnxruntime-genai, as it runs where it is deployed."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.errors import GraftError, need_extra
from graft.export.onnx.genai_check import check_genai_config
from graft.inference.predictor import Progress
from graft.processes import without_telemetry

Ids = Sequence[int]
ROWS_AT_ONCE = 8


class GenaiAnswer(NamedTuple):
    """An answer's tokens without the end token, and whether an end token, and not the limit, ended it."""

    tokens: list[int]
    ended: bool


class GenaiPrompt(NamedTuple):
    """A prompt's text by the bundle's chat template, and its tokens, as onnxruntime-genai makes them."""

    text: str
    tokens: list[int]


class GenaiModel:
    """A bundle loaded in onnxruntime-genai, with at most one of its adapters active.

    Raises:
        MissingExtra: If onnxruntime-genai is not installed.
        InputError: If genai_config.json would have it load a library, or files from elsewhere.
        GraftError: If it does not load the folder.
    """

    def __init__(self, folder: Path) -> None:
        check_genai_config(folder)
        try:
            without_telemetry()
            import onnxruntime_genai
        except ImportError as error:
            raise need_extra("cpu", "onnxruntime_genai") from error
        self._og: Any = onnxruntime_genai
        try:
            self.model = self._og.Model(str(folder))
            self.tokenizer = self._og.Tokenizer(self.model)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise GraftError(f"onnxruntime-genai cannot load this folder: {reason}", where=str(folder)) from error
        self._adapters = self._og.Adapters(self.model)
        self._loaded: set[str] = set()
        self.adapter: str | None = None
        self.template: str | None = None

    def use(self, name: str | None, file: Path | None = None, template: str | None = None) -> None:
        """Activate the adapter ``name``, loaded from ``file`` the first time; None is the base without an adapter.

        ``template`` is its chat template, where that is not the bundle's own.
        """
        self.template = template
        if name is not None and name not in self._loaded:
            self._adapters.load(str(file), name)
            self._loaded.add(name)
        self.adapter = name

    def read(self, messages: Sequence[dict[str, Any]]) -> GenaiPrompt:
        """Render and tokenize a conversation."""
        more = {"template_str": self.template} if self.template is not None else {}
        text = self.tokenizer.apply_chat_template(json.dumps(list(messages)), add_generation_prompt=True, **more)
        return GenaiPrompt(str(text), self.encode(text))

    def encode(self, text: str) -> list[int]:
        """The token ids of ``text`` by onnxruntime-genai's tokenizer, not that of transformers."""
        return [int(token) for token in self.tokenizer.encode(text)]

    def generate(
        self, prompts: Sequence[Ids], max_new_tokens: int, progress: Progress | None = None
    ) -> list[GenaiAnswer]:
        """The greedy answer to each prompt."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        found: dict[int, GenaiAnswer] = {}
        for start in range(0, len(order), ROWS_AT_ONCE):
            batch = order[start : start + ROWS_AT_ONCE]
            written = self._batch([prompts[index] for index in batch], max_new_tokens)
            found |= dict(zip(batch, written, strict=True))
            if progress:
                progress(len(found), len(prompts))
        return [found[index] for index in range(len(prompts))]

    def generator(self, rows: int, max_length: int, **options: Any) -> Any:
        """A greedy ``og.Generator`` for ``rows`` prompts, with the active adapter."""
        parameters = self._og.GeneratorParams(self.model)
        parameters.set_search_options(
            max_length=max_length, batch_size=rows, do_sample=False, num_beams=1, repetition_penalty=1.0, **options
        )
        generator = self._og.Generator(self.model, parameters)
        if self.adapter is not None:
            generator.set_active_adapter(self._adapters, self.adapter)
        return generator

    def _batch(self, prompts: Sequence[Ids], limit: int) -> list[GenaiAnswer]:
        longest = max(map(len, prompts))
        generator = self.generator(len(prompts), longest + limit)
        pad = self.tokenizer.pad_token_id
        padded = np.array([[*prompt, *[pad] * (longest - len(prompt))] for prompt in prompts], np.int32)
        generator.append_tokens(padded if len(prompts) > 1 else padded[0])
        while not generator.is_done():
            generator.generate_next_token()
        # A finished row gets padding until all rows are finished; its end token may or may not be kept.
        ends = {int(token) for token in self.tokenizer.eos_token_ids} | {pad}
        answers = [_before_end(generator.get_sequence(row)[longest:], ends) for row in range(len(prompts))]
        return [GenaiAnswer(answer, len(answer) < limit) for answer in answers]

    def last_logits(self, prompt: Ids) -> list[float]:
        """The logits (vocabulary) after ``prompt``."""
        generator = self.generator(1, len(prompt) + 1)
        generator.append_tokens(np.array(prompt, np.int32))
        return [float(value) for value in generator.get_logits().reshape(-1)]


def _before_end(tokens: Sequence[int], ends: Collection[int]) -> list[int]:
    answer = [int(token) for token in tokens]
    return answer[: next((place for place, token in enumerate(answer) if token in ends), len(answer))]
