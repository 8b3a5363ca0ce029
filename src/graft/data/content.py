"""The content of a message, which may stand in parts."""

from __future__ import annotations

from typing import Any, NamedTuple

from graft.data.example import Origin, as_text
from graft.errors import InputError

REASONING = ("reasoning_content", "reasoning", "thinking", "thought")
"""What the model thinks before it answers: as vLLM, OpenRouter, gpt-oss and others write it."""

_TEXTS = ("text", "input_text", "output_text")
_MEDIA = ("image", "image_url", "input_image", "audio", "input_audio", "audio_url", "video", "video_url", "file")


class Content(NamedTuple):
    """The text of a message, and the thoughts among its parts."""

    text: str
    reasoning: str = ""


def read_content(content: Any, role: str, origin: Origin, what: str) -> Content:
    """Return the content of a message as one text.

    Args:
        content: A text, None, or parts: ``[{"type": "text", "text": …}]``, or texts.
        role: Whose message it is; what a tool returns may be any JSON.
        origin: The row.
        what: The message, such as ``message 3``.

    Raises:
        InputError: For a part that is not text, such as an image.
    """
    if content is None:
        return Content("")
    parts = content if isinstance(content, list) else [content] if isinstance(content, dict) else None
    if parts is None:
        return Content(as_text(content))
    if role == "tool" and not all(isinstance(part, dict) and part.get("type") in _TEXTS + _MEDIA for part in parts):
        return Content(as_text(content))
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind in _TEXTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in REASONING and role == "assistant":
            thoughts.append(_thought(part, origin, what))
        else:
            no_text = f"type {kind!r}" if kind and kind not in _TEXTS else repr(part)[:60]
            raise InputError(
                f"{what} has a part that is not text: {no_text}",
                where=str(origin),
                remedy="graft trains on text only: remove the part, or the row",
            )
    return Content("".join(texts), "\n\n".join(thoughts))


def _thought(part: dict[str, Any], origin: Origin, what: str) -> str:
    text = next((part[name] for name in (*REASONING, "text") if isinstance(part.get(name), str)), None)
    if text is None:
        raise InputError(f"{what} has a part of type {part['type']!r} without a text", where=str(origin))
    return str(text)
