"""Who speaks in a conversation, by all the names that data sets give the roles."""

from __future__ import annotations

import re
from typing import Any

from graft.data.example import Origin
from graft.errors import InputError, nearest

CALL = "function_call"
"""A turn of the assistant that is the JSON text of its calls (ShareGPT)."""

NAMES: dict[str, tuple[str, ...]] = {
    "system": ("system", "system_prompt", "system_message"),
    "developer": ("developer",),
    "user": ("user", "human", "prompter"),
    "assistant": (
        *("assistant", "gpt", "chatgpt", "chat_gpt", "gpt4", "gpt_4", "gpt_4o", "gpt_3.5", "bing", "bard", "claude"),
        *("gemini", "llama", "chatbot", "bot", "ai", "model"),
    ),
    "tool": (
        *("tool", "tool_response", "tool_responses", "tool_result", "tool_results", "tool_output", "observation"),
        *("function", "function_response", "function_result", "function_output", "ipython"),
    ),
    CALL: (CALL, "function_calls", "tool_call", "tool_calls"),
}
"""The roles of chat templates and ``CALL``, and how data sets write them; letter case, blanks and hyphens don't count.

``ipython`` is what Llama 3 calls the role of tools; TRL, LLaMA-Factory, Axolotl and ms-swift have the others.
"""

_ROLES = {name: role for role, names in NAMES.items() for name in names}


def known_role(value: Any) -> str | None:
    """Return the role that ``value`` names; None for an unknown one."""
    return _ROLES.get(_bare(value)) if isinstance(value, str) else None


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def role_of(value: Any, origin: Origin, what: str) -> str:
    """Return the role that ``value`` names.

    Args:
        value: What stands in ``role`` or ``from``.
        origin: The row.
        what: The message, such as ``message 3``.

    Raises:
        InputError: For an unknown role, with the known ones and the nearest.
    """
    known_one = known_role(value)
    if known_one is not None:
        return known_one
    name = _bare(value) if isinstance(value, str) else None
    near = nearest(name, _ROLES) if name else None
    known = "; ".join(f"{role}: {', '.join(names)}" for role, names in NAMES.items())
    raise InputError(
        f"{what} has the unknown role {value!r}" if value is not None else f"{what} has no role",
        where=str(origin),
        remedy=f"{f'did you mean {near}? ' if near else ''}the roles are {known}",
    )
