"""A chat template as the fixed texts around its messages, found by rendering conversations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Message, Origin
from graft.errors import GraftError

_SYSTEM, _ASKED, _ANSWERED, _AGAIN = "graftsystem", "graftquestion", "graftanswer", "graftagain"
_TEXTS = ("What is the tone?", '12 + 30,\n東京 हिन्दी {{ x }} "quoted"', "-")
Conversation = Sequence[tuple[str, str]]
Shape = Callable[[str], "tuple[Message, ...] | str"]
"""How a run makes a prompt of a text: messages, or the very text that the model reads."""


@dataclass(frozen=True)
class Segments:
    """The texts around the messages of a conversation.

    Attributes:
        opening: Before the first question, without a system message.
        system: Before a system message, and between it and the first question; None where the template takes none.
        asking: After the last question: its end, and what asks for an answer.
        answering: Between a question and its answer in the history; None where a history cannot be told so.
        again: Between an answer and the next question.
        wrap: What the run puts around the text of each question: it stands between each two of these parts.
        default_system: The run's own system message.
    """

    opening: str
    system: tuple[str, str] | None
    asking: str
    answering: str | None
    again: str
    wrap: tuple[str, ...] = ("", "")
    default_system: str = ""

    def expand(self, conversation: Conversation) -> str:
        """The prompt of ``conversation``, (role, text) each: what the template in a Modelfile makes of it."""
        given = "\n\n".join(text for role, text in conversation if role == "system") or self.default_system
        turns = [(role, text) for role, text in conversation if role != "system"]
        before, between = self.system if self.system and given else (self.opening, "")
        made = f"{before}{given}{between}" if self.system and given else before
        for place, (role, text) in enumerate(turns):
            last = place == len(turns) - 1
            if role == "user":
                made += text.join(self.wrap) + (self.asking if last else "")
            else:
                made += f"{self.answering or ''}{text}" + ("" if last else self.again)
        return made


def find_segments(renderer: Renderer, shape: Shape, strip: str = "") -> Segments | None:
    """Find the segments of a chat template.

    Args:
        renderer: Renders with the template.
        shape: How the run makes a prompt of a text.
        strip: A text at the very beginning to leave out: the beginning token that llama.cpp adds by itself.

    Returns:
        The segments; None if not even one question can be told so.
    """
    shaped = shape(_ASKED)
    if isinstance(shaped, str):
        before, *between, after = shaped.split(_ASKED)
        return Segments(before.removeprefix(strip), None, after, None, "", ("", *between, ""))
    system = "".join(str(message["content"]) for message in shaped if message["role"] == "system")
    asked = [message for message in shaped if message["role"] != "system"]
    if len(asked) != 1 or _ASKED not in str(asked[0]["content"]):
        return None
    wrap = tuple(str(asked[0]["content"]).split(_ASKED))
    alone = _cut(renderer, [("user", _ASKED)], _ASKED)
    if alone is None:
        return None
    opening, asking = alone
    found = _cut(renderer, [("system", _SYSTEM), ("user", _ASKED)], _SYSTEM, _ASKED)
    with_system = (found[0].removeprefix(strip), found[1]) if found is not None and found[2] == asking else None
    talk = [("user", _ASKED), ("assistant", _ANSWERED), ("user", _AGAIN)]
    several = _cut(renderer, talk, _ASKED, _ANSWERED, _AGAIN)
    whole = several is not None and (several[0], several[3]) == (opening, asking)
    answering, again = (several[1], several[2]) if whole and several is not None else (None, "")
    return Segments(opening.removeprefix(strip), with_system, asking, answering, again, wrap, system)


def differences(segments: Segments, renderer: Renderer, shape: Shape, strip: str = "") -> list[str]:
    """What the segments do not say as the template does, each as a sentence; found by rendering conversations."""
    said = []
    for name, conversations in _conversations(segments).items():
        if not all(_same(segments, renderer, shape, strip, conversation) for conversation in conversations):
            said.append(f"{name} are rendered differently by the chat template")
    blank = [("user", "  text \n")]
    if not said and not _same(segments, renderer, shape, strip, blank):
        said.append("the chat template removes blanks around a question; this one does not")
    source = str(getattr(renderer.tokenizer, "chat_template", None) or "")
    if segments.system is None and renderer.template is not None:
        said.append("the chat template takes no system message")
    if segments.answering is None:
        said.append("one question at a time: earlier turns are not shown to the model as in training")
    parts = [what for what, mark in (("tools", "tool"), ("reasoning", "think")) if mark in source]
    if parts:
        said.append(f"{' and '.join(parts)} of the chat template are left out")
    return said


def _conversations(segments: Segments) -> Mapping[str, list[list[tuple[str, str]]]]:
    question, other, short = _TEXTS
    found = {"questions": [[("user", text)] for text in _TEXTS]}
    if segments.system is not None:
        found["system messages"] = [[("system", other), ("user", question)]]
    if segments.answering is not None:
        talk = [("user", question), ("assistant", other), ("user", short), ("assistant", question), ("user", other)]
        found["histories"] = [talk[:3], talk]
        if segments.system is not None:
            found["histories"].append([("system", short), *talk])
    return found


def _same(segments: Segments, renderer: Renderer, shape: Shape, strip: str, conversation: Conversation) -> bool:
    own = conversation
    if segments.default_system and conversation[0][0] != "system":
        own = [("system", segments.default_system), *conversation]
    if segments.answering is None and isinstance(shape("x"), str):
        shaped = shape(conversation[-1][1])
        return str(shaped).removeprefix(strip) == segments.expand(conversation)
    wrapped = [(role, text.join(segments.wrap) if role == "user" else text) for role, text in own]
    wanted = _rendered(renderer, wrapped)
    return wanted is not None and wanted.removeprefix(strip) == segments.expand(conversation)


def _cut(renderer: Renderer, conversation: Conversation, *marks: str) -> list[str] | None:
    """The texts before, between and behind ``marks`` in the prompt; None if one does not stand there once, in order."""
    text = _rendered(renderer, conversation)
    if text is None or any(text.count(mark) != 1 for mark in marks):
        return None
    parts = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:
            return None
        parts.append(before)
    return [*parts, text]


def _rendered(renderer: Renderer, conversation: Conversation) -> str | None:
    messages: tuple[Message, ...] = tuple({"role": role, "content": text} for role, text in conversation)
    try:
        return renderer.prompt(AnswerExample(messages, "", Origin("probe", 1)))
    except GraftError:
        return None


def begin_token(tokenizer: Any) -> str:
    """The token that a runtime puts before each text; empty if it puts none."""
    begins = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    return str(tokenizer.bos_token) if begins and begins[0] == tokenizer.bos_token_id else ""
