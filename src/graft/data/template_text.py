"""A tokenizer's chat template: conversations as text, and where in the text the last answer is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graft.data.content import REASONING
from graft.data.example import Message
from graft.data.template_bounds import bound_chat_templates
from graft.data.template_growth import TemplateLimit
from graft.errors import InputError, reason_of

RESERVED = frozenset(
    (
        *("messages", "tools", "documents", "add_generation_prompt", "conversation", "chat_template", "tokenize"),
        *("continue_final_message", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
        *("return_assistant_tokens_mask", "tokenizer_kwargs"),
    )
)
"""What ``chat_template_kwargs`` cannot set: it is graft's, or an option of transformers and no variable."""
_MARK = "graftanswer"
_CALLED = f'{{"{_MARK}": 1}}'
_ASKED: tuple[Message, ...] = ({"role": "user", "content": "graftquestion"},)
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class Turn:
    """How a template writes an assistant's turn without reasoning.

    Attributes:
        generation: What ``add_generation_prompt`` puts before an answer; it may be empty.
        opening: What stands between the conversation and the text of the answer, as the template renders the answer.
        closing: What stands behind the text of the answer.
    """

    generation: str
    opening: str
    closing: str

    @property
    def asked(self) -> str:
        """What is put before an answer to ask for it: the generation prompt, as far as rendered answers follow it.

        A template without a generation prompt gives its header; a blank before the answer is left to the answer,
        because tokenizers join it with the first word.
        """
        if not self.generation:
            return self.opening.rstrip(" \t")
        if (self.opening + _MARK).startswith(self.generation) or not self.opening:
            return self.generation
        return shared_prefix(self.generation, self.opening) or self.generation


class ChatTemplate:
    """Renders messages; what a template needs in another form (parts, names) is found out by rendering once.

    Args:
        tokenizer: A tokenizer of transformers that has a chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        bound_chat_templates()
        self.tokenizer = tokenizer

    @cached_property
    def turn(self) -> Turn | None:
        """How the template writes an answer; None if it can't be found out."""
        answer = {"role": "assistant", "content": _MARK}
        try:
            before, generation = self.render(_ASKED), self.render(_ASKED, prompt=True)
            whole = self.render((*_ASKED, answer))
        except InputError:
            return None
        place = whole.rfind(_MARK)
        if place < 0:
            return None
        asked, answered = (len(shared_prefix(before, text)) for text in (generation, whole[:place]))
        return Turn(generation[asked:], whole[answered:place], whole[place + len(_MARK) :])

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
        prompt: bool = False,
    ) -> str:
        """Return the conversation as text.

        Args:
            messages: The conversation.
            tools: What the model may call.
            variables: Further variables of the template, such as ``enable_thinking``.
            prompt: Whether an answer is asked for at the end.

        Raises:
            InputError: If the template refuses the messages.
        """
        return str(self._applied(messages, tools, variables, add_generation_prompt=prompt, tokenize=False))

    def trained_spans(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> list[tuple[int, int]] | None:
        """Return the characters that the template itself marks by ``{% generation %}``; None if it marks nothing.

        Raises:
            InputError: If the template refuses the messages.
        """
        if not _GENERATION.search(self.tokenizer.get_chat_template(tools=_plain(tools))):
            return None
        options = {"return_dict": True, "return_assistant_tokens_mask": True}
        offsets = {"tokenizer_kwargs": {"return_offsets_mapping": True}}
        found = self._applied(messages, tools, variables, **options, **offsets)
        return _runs(found["assistant_masks"], found["offset_mapping"])

    def _applied(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, Any] | None,
        **options: Any,
    ) -> Any:
        reserved = sorted(RESERVED & (variables or {}).keys())
        if reserved:
            raise InputError(f"chat_template_kwargs cannot set {', '.join(reserved)}", remedy="remove it from the row")
        try:
            made = [self._message(message) for message in messages]
            return self.tokenizer.apply_chat_template(made, tools=_plain(tools), **options, **(variables or {}))
        except Exception as error:  # a template is a program of somebody else's
            raise refused(error) from error

    @cached_property
    def _source(self) -> str:
        template = self.tokenizer.chat_template
        return "\n".join(template.values()) if isinstance(template, dict) else str(template)

    @cached_property
    def _content_in_parts(self) -> bool:
        """Whether the template shows the text of a message only where it is given in parts."""
        return not self._shows(_MARK) and self._shows([{"type": "text", "text": _MARK}])

    @cached_property
    def _arguments_as_text(self) -> bool:
        """Whether a tool call's arguments must be JSON text: given an object, the template fails or writes Python."""
        written = {kind: self._called(arguments) for kind, arguments in (("object", {_MARK: 1}), ("text", _CALLED))}
        right = written["object"] is not None and f"'{_MARK}'" not in written["object"]
        return not right and written["text"] is not None and _MARK in written["text"]

    def _called(self, arguments: Any) -> str | None:
        function = {"name": "graftcall", "arguments": arguments}
        call = {"type": "function", "id": "graftcall0", "function": function}
        messages = [*map(dict, _ASKED), {"role": "assistant", "content": "", "tool_calls": [call]}]
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception:
            return None

    def _shows(self, content: Any) -> bool:
        try:
            return _MARK in self.tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
        except Exception:
            return False

    def _message(self, message: Message) -> dict[str, Any]:
        """``message`` with the role, the reasoning and the content in the form that the template reads."""
        made = dict(message)
        if made.get("role") == "developer" and "developer" not in self._source:
            made["role"] = "system"
        reasoning = made.get("reasoning_content")
        if reasoning is not None:
            name = next((name for name in REASONING if name in self._source), None)
            if name is not None and name != "reasoning_content":
                made[name] = reasoning
        if made.get("tool_calls") and self._arguments_as_text:
            made["tool_calls"] = [_with_text(call) for call in made["tool_calls"]]
        if self._content_in_parts and isinstance(made.get("content"), str):
            made["content"] = [{"type": "text", "text": made["content"]}]
        return made


def _runs(mask: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The characters of each run of tokens with a 1 in ``mask``."""
    runs: list[tuple[int, int]] = []
    inside = False
    for one, (start, end) in zip(mask, offsets, strict=True):
        if one and inside:
            runs[-1] = (runs[-1][0], end)
        elif one:
            runs.append((start, end))
        inside = bool(one)
    return runs


def _with_text(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function") or {})
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
    return {**call, "function": function}


def refused(error: BaseException) -> InputError:
    """Return what a template that fails says."""
    if isinstance(error, TemplateLimit):
        return InputError(f"the model's chat template {error}", remedy="give another one with --chat_template")
    lines = str(error).strip().splitlines()
    return InputError(f"the model's chat template refuses these messages: {lines[0] if lines else reason_of(error)}")


def shared_prefix(one: str, other: str) -> str:
    """Return the characters with which both texts begin; where they part within a ``<tag>``, it is left out."""
    length = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if length is None:
        return min(one, other, key=len)
    shared = one[:length]
    return shared[: shared.rfind("<")] if shared.rfind("<") > shared.rfind(">") else shared


def _plain(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    return [dict(tool) for tool in tools] if tools else None
