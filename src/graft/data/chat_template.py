"""Examples as the text a model reads and the text it should write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.data.example import AnswerExample, Example, Message, expect
from graft.errors import InputError


@dataclass(frozen=True)
class Rendered:
    """``completion`` ends with the model's end token."""

    prompt: str
    completion: str


class Renderer:
    """Renders by the tokenizer's chat template; a model without one gets the bare contents, a line each."""

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
        # Templates may write an answer otherwise once it is past (trimmed, without its thinking): then it is written
        # as the model would write it after the prompt.
        return Rendered(prompt, example.completion + self.turn_end)

    def generation_prompt(self) -> str | None:
        """What the template puts before an answer."""
        if not self._chat:
            return None
        messages = [{"role": "user", "content": "x"}]
        asked = self._apply(messages, None, True)
        return asked[len(self._apply(messages, None, False)) :]

    def _ended(self, completion: str) -> str:
        ends = {self.end, self.turn_end} - {""}
        bare = completion.rstrip("\n") if any(completion.rstrip("\n").endswith(end) for end in ends) else completion
        return bare if any(bare.endswith(end) for end in ends) else bare + self.end

    def _cut(self, completion: str) -> str:
        """Up to and with the end of the turn: what a template puts behind it is no one's answer."""
        end = self.turn_end
        place = completion.rfind(end) if end else -1
        return completion[: place + len(end)] if place >= 0 else completion.rstrip("\n") + self.end

    def _end_of_turn(self) -> str:
        """The token with which the template closes the assistant's turn; the end token where it writes none."""
        mark = "graft-answer"
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
        try:
            behind = self._apply(messages, None, False).rpartition(mark)[2]
        except InputError:
            return self.end
        ids = self.tokenizer(behind, add_special_tokens=False)["input_ids"]
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
    """For models without a chat template: the contents, the speakers named where there are several turns."""
    turns = [message for message in messages if message["role"] != "system"]
    system = [str(message["content"]) for message in messages if message["role"] == "system"]
    if len(turns) == 1:
        return "\n\n".join([*system, str(turns[0]["content"])]) + "\n"
    spoken = [f"{str(turn['role']).capitalize()}: {turn['content']}" for turn in turns]
    return "\n".join([*system, *spoken, "Assistant:"])
