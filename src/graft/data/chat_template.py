"""Render examples as a prompt text and a completion text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from graft.data.example import AnswerExample, Example, Message, expect, without_reasoning
from graft.data.render_checks import check_rendered, pieces_of
from graft.data.template_text import ChatTemplate, shared_prefix
from graft.errors import InputError


@dataclass(frozen=True)
class Rendered:
    """A row as text.

    Attributes:
        prompt: What is read only.
        completion: What is trained on; it ends with the model's end token.
        asked: The beginning of the two after which the model is asked to answer. It is longer than ``prompt`` where
            the template trains a header that it does not ask with.
        templated: Whether the chat template wrote it.
    """

    prompt: str
    completion: str
    asked: str = ""
    templated: bool = False

    @property
    def text(self) -> str:
        """Prompt and completion."""
        return self.prompt + self.completion

    @property
    def answer(self) -> str:
        """What the model writes when it is asked."""
        return self.text[len(self.asked) :]


class Renderer:
    """Renders with the tokenizer's chat template; a model without one gets the contents alone, a line each.

    A conversation is rendered whole, and the last answer is cut out of the text: by the template's own
    ``{% generation %}`` marks where it has such, else where the rendering of the prompt ends.

    Args:
        tokenizer: A tokenizer of transformers.
        loss_on: ``"completion"`` or ``"all"``: the tokens that are trained on.
    """

    def __init__(self, tokenizer: Any, loss_on: str = "completion") -> None:
        self.tokenizer = tokenizer
        self.loss_on = loss_on
        self.end: str = tokenizer.eos_token or ""
        self.template = ChatTemplate(tokenizer) if tokenizer.chat_template else None

    @cached_property
    def turn_end(self) -> str:
        """The token with which the template ends the assistant's turn; the end token if there is none."""
        return self._closing_token or self.end

    @property
    def template_ends(self) -> bool:
        """Whether the template ends the assistant's turn with a token; without one, graft adds the end token."""
        return bool(self._closing_token)

    @cached_property
    def _closing_token(self) -> str:
        turn = self.template.turn if self.template else None
        closing = turn.closing.lstrip() if turn else ""
        ends = self._specials(closing)
        while len(ends) > 1 and closing.partition(ends[0])[2].startswith(ends[1]):  # ends of a part and of the turn
            closing, ends = closing.partition(ends[0])[2], ends[1:]
        return ends[0] if ends else ""

    def render(self, example: Example) -> Rendered:
        """Return the text of an ``AnswerExample``.

        Raises:
            InputError: When the chat template refuses the messages, or loses a part of them.
        """
        example = expect(example, AnswerExample)
        if isinstance(example.prompt, str):
            return Rendered(example.prompt, self._ended(example.completion), example.prompt)
        answer = example.answer or {"role": "assistant", "content": example.completion}
        if self.template is None:
            prompt = _bare(example.prompt)
            found = Rendered(prompt, self._ended(str(answer.get("content") or "")), prompt)
        elif example.answer is None and not example.completion:
            asked = self.prompt(example)
            return Rendered(asked, self.turn_end, asked, True)
        else:
            found = self._whole(example, answer)
        check_rendered(example, answer, found.text, found.completion)
        bare = found.completion.rstrip()
        once = self._once(bare)
        return found if once == bare else replace(found, completion=once)

    def prompt(self, example: Example) -> str:
        """Return the text after which the model is asked to answer.

        Raises:
            InputError: When the chat template refuses the messages.
        """
        example = expect(example, AnswerExample)
        if isinstance(example.prompt, str):
            return example.prompt
        if self.template is None:
            return _bare(example.prompt)
        return self._asked(self._apply(example.prompt, example, prompt=True))

    def generation_prompt(self) -> str | None:
        """Return what is put before an answer to ask for it; None without a template."""
        if self.template is None:
            return None
        return self.template.turn.asked if self.template.turn else ""

    def answer_text(self, ids: Sequence[int]) -> str:
        """Return a generated answer as text: without special tokens, and without the reasoning before it."""
        ids = list(ids)
        start = self._answer_opening
        for place in range(len(ids) - len(start), -1, -1) if start else ():
            if ids[place : place + len(start)] == start:
                ids = ids[place + len(start) :]
                break
        return without_reasoning(str(self.tokenizer.decode(ids, skip_special_tokens=True))).strip()

    @cached_property
    def _answer_opening(self) -> list[int]:
        """Special tokens with which the template opens the answer after the prompt, such as a channel's header."""
        turn = self.template.turn if self.template else None
        if turn is None or not turn.opening.startswith(turn.asked):
            return []
        opening = turn.opening[len(turn.asked) :].strip()
        ids: list[int] = self.tokenizer(opening, add_special_tokens=False)["input_ids"]
        hidden = {number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        return ids if hidden & set(ids) else []

    def _whole(self, example: AnswerExample, answer: Message) -> Rendered:
        """The whole conversation, cut where the answer begins and ends."""
        assert not isinstance(example.prompt, str) and self.template is not None
        conversation = (*example.prompt, answer)
        generation = self._apply(example.prompt, example, prompt=True)
        whole = self._apply(conversation, example)
        asked = self._asked(generation)
        with _at(example):
            spans = self.template.trained_spans(conversation, example.tools, example.template_kwargs)
        begin = next((len(text) for text in (generation, asked) if whole.startswith(text)), None)
        if begin is None:
            begin = self._begin(example, answer, generation, whole)
        text = whole[:begin] + self._cut(whole[begin:])
        if not text.startswith(asked):
            asked = whole[:begin]
        marked = [span for span in spans or () if span[1] > len(asked)]
        if marked:  # with the end of the turn, even where the template does not mark it: the model must learn to stop
            before = self._apply(example.prompt, example)
            floor = len(before) if whole.startswith(before) else 0  # marks of answers that touch are one run
            begin, text = max(marked[0][0], floor), max(text, whole[: marked[-1][1]], key=len)
        return Rendered(text[:begin], text[begin:], asked, True)

    def _begin(self, example: AnswerExample, answer: Message, generation: str, whole: str) -> int:
        """Where the answer begins in a rendering that doesn't begin with its prompt's: where the two part."""
        before = self._apply(example.prompt, example)  # type: ignore[arg-type]
        shared = max((shared_prefix(text, whole) for text in (before, generation)), key=len)
        first = next((whole.rfind(piece) for piece in pieces_of(answer) if piece in whole), -1)
        asked = str(example.prompt[-1].get("content") or "").strip()  # type: ignore[union-attr]
        if first >= 0 and (len(shared) > first or (asked and asked in whole[len(shared) : first])):
            return first
        return len(shared)

    def _asked(self, generation: str) -> str:
        """A prompt that ends as the template's own answers go on; see ``Turn.asked``."""
        turn = self.template.turn if self.template else None
        if turn is None or not generation.endswith(turn.generation):
            return generation
        return generation[: len(generation) - len(turn.generation)] + turn.asked

    def _ended(self, completion: str) -> str:
        """``completion`` with one end token, whatever it ends with."""
        bare = completion.rstrip()
        return self._once(bare) if bare.endswith(self.ends) else completion + self.end

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The tokens that may end an answer; one that an answer has already is not written twice."""
        return tuple(end for end in dict.fromkeys((self.turn_end, self.end)) if end)

    def _once(self, completion: str) -> str:
        """``completion``, which ends with an end token, with that one alone: an answer may have one of its own."""
        end = next((end for end in self.ends if completion.endswith(end)), "")
        before = completion.removesuffix(end).rstrip()
        return self._once(before) if end and before.endswith(self.ends) else completion

    def _cut(self, completion: str) -> str:
        """The completion up to the end of the turn: what a template puts after it is not part of the answer."""
        end = self.turn_end
        place = completion.rfind(end) if end else -1
        if place >= 0:
            return completion[: place + len(end)]
        bare = completion.rstrip("\n")
        last = self._specials(bare)[-1:]
        return bare if last and bare.endswith(last[0]) else bare + self.end

    def _specials(self, text: str) -> list[str]:
        """The tokens of ``text`` that are special, or look like such."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [self._special_ids[token] for token in ids if token in self._special_ids]

    @cached_property
    def _special_ids(self) -> dict[int, str]:
        added = self.tokenizer.added_tokens_decoder
        special = set(self.tokenizer.all_special_ids)
        special |= {number for number, token in added.items() if token.special or "<" in str(token)}
        return {number: str(self.tokenizer.convert_ids_to_tokens(number)) for number in special}

    def _apply(self, messages: Sequence[Message], example: AnswerExample, prompt: bool = False) -> str:
        assert self.template is not None
        with _at(example):
            return self.template.render(messages, example.tools, example.template_kwargs, prompt)


@contextmanager
def _at(example: Example) -> Iterator[None]:
    """Say in which row the template failed."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error), where=str(example.origin)) from error.__cause__


def _bare(messages: Sequence[Message]) -> str:
    """The prompt of a model without a chat template: the contents, and the speakers' names if there are several."""
    turns = [message for message in messages if message["role"] != "system"]
    system = [str(message["content"]) for message in messages if message["role"] == "system"]
    if len(turns) == 1:
        return "\n\n".join([*system, str(turns[0]["content"])]) + "\n"
    spoken = [f"{str(turn['role']).capitalize()}: {turn['content']}" for turn in turns]
    return "\n".join([*system, *spoken, "Assistant:"])
