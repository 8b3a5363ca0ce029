"""Tools and tool calls, in the one form that chat templates take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from graft.data.cells import decoded
from graft.data.example import Origin
from graft.errors import InputError

Tool = Mapping[str, Any]


def from_json(value: Any) -> Any:
    """Return the list or the object whose JSON a text is; other values as they are."""
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith(("[", "{")):
        return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return value


def read_tools(value: Any, origin: Origin) -> list[Tool] | None:
    """Return what ``tools`` or ``functions`` holds, each as ``{"type": "function", "function": {…}}``.

    Args:
        value: A list or its JSON text; of functions in that form, bare ones, or those of OpenAI's Responses API.
        origin: The row.

    Raises:
        InputError: If it is something else.
    """
    found = decoded(value)
    if found is None or (isinstance(found, (str, list, dict)) and not found):
        return None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        raise InputError(
            f"tools must be a list of functions, or its JSON text, not {_shown(value)}",
            where=str(origin),
            remedy='[{"type": "function", "function": {"name": …, "description": …, "parameters": {…}}}]',
        )
    return [_tool(from_json(tool), origin) for tool in found]


def _tool(tool: Any, origin: Origin) -> Tool:
    wrapped = from_json(tool.get("function")) if isinstance(tool, dict) else None
    if isinstance(wrapped, dict) and isinstance(wrapped.get("name"), str):
        return {"type": "function", **tool, "function": _function(wrapped, origin)}
    if isinstance(tool, dict) and isinstance(tool.get("name"), str) and tool.get("type", "function") == "function":
        return {
            "type": "function",
            "function": _function({name: item for name, item in tool.items() if name != "type"}, origin),
        }
    raise InputError(f"a tool must be a function with a name, not {_shown(tool)}", where=str(origin))


def _function(function: Mapping[str, Any], origin: Origin) -> Mapping[str, Any]:
    """The function with its parameters decoded; Anthropic calls them ``input_schema``."""
    if "input_schema" in function and "parameters" not in function:
        function = {"parameters" if name == "input_schema" else name: item for name, item in function.items()}
    parameters = from_json(function.get("parameters"))
    if isinstance(parameters, str):
        what = f"the parameters of the tool {function['name']} are not a JSON object: {_shown(parameters)}"
        raise InputError(what, where=str(origin))
    return function if parameters is function.get("parameters") else {**function, "parameters": parameters}


def read_calls(value: Any, origin: Origin, what: str) -> list[dict[str, Any]]:
    """Return calls as ``{"type": "function", "function": {"name": …, "arguments": {…}}}``, perhaps with ``id``.

    Args:
        value: A call or a list of them, or their JSON text: as OpenAI writes ``tool_calls`` and ``function_call``, or
            the ``function_call`` turns of ShareGPT, ``{"name": …, "arguments": …}``.
        origin: The row.
        what: The message, such as ``message 3``.

    Raises:
        InputError: If it is something else, or the arguments are not a JSON object.
    """
    found = from_json(value)
    calls = found if isinstance(found, list) else [found]
    if not calls:
        raise InputError(f"{what} calls no tool: {_shown(value)}", where=str(origin))
    return [_call(from_json(call), origin, what) for call in calls]


def _call(call: Any, origin: Origin, what: str) -> dict[str, Any]:
    function = from_json(call.get("function", call)) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise InputError(
            f"{what} is not a tool call: {_shown(call)}",
            where=str(origin),
            remedy='{"name": …, "arguments": {…}}, or a list of such; as text it must be JSON',
        )
    given = function.get("arguments", function.get("parameters"))
    read = {"type": "function", "function": {"name": name, "arguments": _arguments(given, name, origin, what)}}
    return {**read, "id": call["id"]} if call.get("id") is not None else read


def _arguments(value: Any, name: str, origin: Origin, what: str) -> dict[str, Any]:
    found = from_json(value)
    if found is None or (isinstance(found, str) and not found.strip()):
        return {}
    if not isinstance(found, dict):
        raise InputError(
            f"{what}: the arguments of the call of {name} are not a JSON object: {_shown(value)}",
            where=str(origin),
            remedy='arguments are an object, or its JSON text: {"city": "Oslo"}',
        )
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
