"""Render examples as a prompt text and a completion text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.data.example import AnswerExample, Example, Message, expect
from graft.errors import InputError


@dataclass(frozen=True)
class Rendered:
    """The text of a prompt, and of the completion, which ends with the model's end token."""

    prompt: str
    completion: str


class Renderer:
    """Renders with the tokenizer's chat template; a model without one gets the contents alone, a line each."""

    def __init__(self, tokenizer: Any, loss_on: str = "completion") -> None:
        self.tokenizer = tokenizer
        self.loss_on = loss_on
        self.end: str = tokenizer.eos_token or ""
        self._chat = bool(tokenizer.chat_template)
        self.turn_end = self._end_of_turn() if self._chat else self.end

    def render(self, example: Example) -> Rendered:
        """Return the text of an ``AnswerExample``.

        Raises:
            InputError: When the chat template refuses the messages.
        """
        example = expect(example, AnswerExample)
        if isinstance(example.prompt, str):
            return Rendered(example.prompt, self._ended(example.completion))
        if not self._chat:
            return Rendered(_bare(example.prompt), self._ended(example.completion))
        prompt = self._template(example.prompt, example, prompt=True)
        answer = example.answer
        if answer is None and not example.completion:
            return Rendered(prompt, self.turn_end)
        message = answer or {"role": "assistant", "content": example.completion}
        whole = self._template([*example.prompt, message], example, prompt=False)
        if whole.startswith(prompt):
            completion = self._cut(whole[len(prompt) :])
            if example.answer is not None or completion.startswith(example.completion):
                return Rendered(prompt, completion)
        # Templates may render an answer differently once it is in the past (trimmed, without its thinking): then the
        # completion is what the model would write after the prompt.
        return Rendered(prompt, example.completion + self.turn_end)

    def generation_prompt(self) -> str | None:
        """Return what the template puts before an answer; None without a template."""
        if not self._chat:
            return None
        messages = [{"role": "user", "content": "x"}]
        prompt = self._apply(messages, None, True)
        return prompt[len(self._apply(messages, None, False)) :]

    def _ended(self, completion: str) -> str:
        ends = {self.end, self.turn_end} - {""}
        bare = completion.rstrip("\n") if any(completion.rstrip("\n").endswith(end) for end in ends) else completion
        return bare if any(bare.endswith(end) for end in ends) else bare + self.end

    def _cut(self, completion: str) -> str:
        """The completion up to the end of the turn: what a template puts after it is not part of the answer."""
        end = self.turn_end
        place = completion.rfind(end) if end else -1
        return completion[: place + len(end)] if place >= 0 else completion.rstrip("\n") + self.end

    def _end_of_turn(self) -> str:
        """The token with which the template ends the assistant's turn; the end token if there is none."""
        mark = "graft-answer"
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
        try:
            after = self._apply(messages, None, False).rpartition(mark)[2]
        except InputError:
            return self.end
        ids = self.tokenizer(after, add_special_tokens=False)["input_ids"]
        special = set(self.tokenizer.all_special_ids)
        special |= {i for i, token in self.tokenizer.added_tokens_decoder.items() if token.special or "<" in str(token)}
        closing = [token for token in ids if token in special]
        return str(self.tokenizer.convert_ids_to_tokens(closing[0])) if closing else self.end

    def _template(self, messages: Sequence[Message], example: AnswerExample, prompt: bool) -> str:
        try:
            return self._apply(messages, example.tools, prompt)
        except InputError as error:
            raise InputError(str(error), where=str(example.origin)) from error.__cause__

    def _apply(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, prompt: bool) -> str:
        import jinja2

        try:
            text = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] if tools else None,
                add_generation_prompt=prompt,
                tokenize=False,
            )
        except (jinja2.TemplateError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"the model's chat template refuses these messages: {error}") from error
        return str(text)


def _bare(messages: Sequence[Message]) -> str:
    """The prompt of a model without a chat template: the contents, and the speakers' names if there are several."""
    turns = [message for message in messages if message["role"] != "system"]
    system = [str(message["content"]) for message in messages if message["role"] == "system"]
    if len(turns) == 1:
        return "\n\n".join([*system, str(turns[0]["content"])]) + "\n"
    spoken = [f"{str(turn['role']).capitalize()}: {turn['content']}" for turn in turns]
    return "\n".join([*system, *spoken, "Assistant:"])
