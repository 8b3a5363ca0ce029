"""The tokenizer and the chat template in a GGUF file, with the part of transformers' interface that graft uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from graft.data.template_bounds import bound_chat_templates
from graft.errors import InputError, refusing
from graft.inference.llama_cpp import LlamaCpp
from graft.models.gguf_scan import REMEDY, scan

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
"""llama.cpp's types of tokens."""


class _Added(str):
    """An added token with ``special`` as in ``tokenizers.AddedToken``: whether it is left out of decoded text."""

    special: bool

    def __new__(cls, text: str, special: bool) -> _Added:
        """The token ``text``."""
        made = super().__new__(cls, text)
        made.special = special
        return made


class _Encoding(dict[str, Any]):
    """A dictionary whose keys can be read as attributes, as ``BatchEncoding``."""

    @property
    def input_ids(self) -> Any:
        """The token ids."""
        return self["input_ids"]


class GgufTokenizer:
    """Texts become tokens in llama.cpp; the vocabulary and the chat template are read from the file.

    What is judged is then what ships: nothing here comes from another folder. Templates are rendered by transformers,
    which also knows tools and the variables of a template.

    Args:
        file: The GGUF file.
        runtime: llama.cpp with this file.

    Raises:
        InputError: If the file is damaged, or has no vocabulary.
    """

    def __init__(self, file: Path, runtime: LlamaCpp) -> None:
        values = _metadata(file)
        self.name_or_path, self._runtime = str(file), runtime
        self._tokens: list[str] = values["tokenizer.ggml.tokens"]
        self._types: list[int] = values.get("tokenizer.ggml.token_type") or [1] * len(self._tokens)
        self.chat_template: str | None = values.get("tokenizer.chat_template")
        named = {name: values.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "unknown", "padding")}
        self.bos_token_id, self.eos_token_id = named["bos"], named["eos"]
        self.unk_token_id, self.pad_token_id = named["unknown"], named["padding"]

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def bos_token(self) -> str | None:
        """The token that begins a text."""
        return self._text(self.bos_token_id)

    @property
    def eos_token(self) -> str | None:
        """The token that ends a text."""
        return self._text(self.eos_token_id)

    @cached_property
    def added_tokens_decoder(self) -> dict[int, _Added]:
        """The tokens that are found in a text before it is split: control tokens, which are special, and others."""
        return {
            number: _Added(self._tokens[number], kind == _CONTROL)
            for number, kind in enumerate(self._types)
            if kind in (_CONTROL, _USER_DEFINED)
        }

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of the named special tokens."""
        named = (self.bos_token_id, self.eos_token_id, self.unk_token_id, self.pad_token_id)
        return [number for number in dict.fromkeys(named) if number is not None]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self._tokens)}

    def __call__(self, text: str | Sequence[str], add_special_tokens: bool = True) -> _Encoding:
        """``input_ids`` of a text, or of several."""
        texts = [text] if isinstance(text, str) else list(text)
        found = self._runtime.tokenize(texts, begin=add_special_tokens)
        return _Encoding(input_ids=found[0] if isinstance(text, str) else found)

    def convert_tokens_to_ids(self, token: str | None) -> int | None:
        """The id of a token of the vocabulary; that of the unknown token, or None, for another."""
        return self._ids.get(token or "", self.unk_token_id)

    def convert_ids_to_tokens(self, number: int) -> str:
        """The token of an id, as the vocabulary has it."""
        return self._tokens[number]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of ``ids``."""
        hidden = {_CONTROL, _UNKNOWN} if skip_special_tokens else set()
        return self._runtime.detokenize([[token for token in ids if self._types[token] not in hidden]])[0]

    def get_chat_template(self, tools: Any = None) -> str:
        """The chat template."""
        return self.chat_template or ""

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> Any:
        """A conversation as text.

        With ``return_assistant_tokens_mask`` it is a dictionary, in which each character stands for a token.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        bound_chat_templates()
        named = {f"{name}_token": getattr(self, f"{name}_token") for name in ("bos", "eos") if self._has(name)}
        found: Any = render_jinja_template(
            conversations=[[dict(message) for message in messages]],
            tools=[dict(tool) for tool in tools] if tools else None,
            chat_template=self.get_chat_template(),
            add_generation_prompt=add_generation_prompt,
            return_assistant_tokens_mask=return_assistant_tokens_mask,
            **{**named, **variables},
        )
        texts, spans = found
        return _masked(texts[0], spans[0]) if return_assistant_tokens_mask else texts[0]

    def _has(self, name: str) -> bool:
        return getattr(self, f"{name}_token_id") is not None

    def _text(self, number: int | None) -> str | None:
        return None if number is None else self._tokens[number]


def _masked(text: str, spans: Collection[tuple[int, int]]) -> dict[str, Any]:
    marked = [0] * len(text)
    for start, end in spans:
        marked[start:end] = [1] * (end - start)
    return {"assistant_masks": marked, "offset_mapping": [(place, place + 1) for place in range(len(text))]}


def _metadata(file: Path) -> dict[str, Any]:
    """The values of a GGUF file that say how text becomes tokens."""
    from gguf import GGUFReader

    scan(file)
    with refusing("the GGUF file is truncated or damaged", file, REMEDY):
        reader = GGUFReader(file)
        found = {name: field.contents() for name, field in reader.fields.items() if name.startswith("tokenizer.")}
    if "tokenizer.ggml.tokens" not in found:
        raise InputError("the GGUF file has no vocabulary", where=str(file))
    return found
