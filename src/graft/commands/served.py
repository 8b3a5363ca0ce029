"""Asking a server, as the settings of a command say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from graft.config import ServerSettings
from graft.errors import InputError, Problems
from graft.inference.endpoint import FIXED, Endpoint
from graft.inference.http import Limits
from graft.inference.server_url import Api, ServerUrl, api_key
from graft.plain_text import MASK, mask_secrets
from graft.progress import Reporter

SECRET_NAME = re.compile(r"key|token(?!s|iz|_id)|secret|passw|authorization|credential", re.IGNORECASE)
"""Fields of a request whose values are not recorded; ``max_tokens``, ``tokenizer`` and ``stop_token_ids`` are."""


def api_of(server: ServerUrl, settings: ServerSettings) -> Api | None:
    """Return the interface that is asked: the one that is set, else the one that the address names."""
    return settings.endpoint_api or server.api


def endpoint_of(server: ServerUrl, settings: ServerSettings, template_kwargs: Mapping[str, Any]) -> Endpoint:
    """Return the server as the settings say that it is asked.

    Raises:
        InputError: If the key cannot be used.
    """
    limits = Limits(settings.endpoint_concurrency, settings.endpoint_timeout, settings.endpoint_retries)
    key, api = api_key(server, settings.api_key_env), api_of(server, settings)
    return Endpoint(server, key, limits, api, settings.endpoint_body, template_kwargs)


def check_body(body: Mapping[str, Any]) -> None:
    """Check the further fields of requests.

    Raises:
        InputError: If they cannot be sent, set what the rows and the answers depend on, or are masked: settings that
            were recorded have no secrets.
    """
    problems = Problems()
    with problems.collecting():
        check_json("endpoint_body", body)
    hidden = list(_hidden(body, "endpoint_body"))
    if hidden:
        remedy = "give all fields again, with these values: --endpoint_body NAME=VALUE,…"
        problems.add(f"secrets are not recorded, so these fields have no value here: {', '.join(hidden)}", "", remedy)
    fixed = sorted(FIXED & set(body))
    if fixed:
        problems.add(f"--endpoint_body cannot set {', '.join(fixed)}: the rows and the answers depend on it")
    problems.raise_if_any()


def check_json(name: str, given: Mapping[str, Any]) -> None:
    """Check that a value can be written as JSON.

    Raises:
        InputError: If a value is none that JSON has, such as NaN.
    """
    try:
        json.dumps(given, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"--{name} cannot be sent as JSON: {error}") from None


def say_what_is_sent(model: str, server: ServerUrl, what: str, reporter: Reporter) -> None:
    """Tell the user what goes where, before it is sent.

    Args:
        model: The model that is asked.
        server: Where it is.
        what: How much is sent: "571 rows".
        reporter: Shows it.
    """
    if server.is_local:
        reporter.note(f"asking {model} at {server.base}: {what}")
        return
    open_text = "" if server.is_encrypted else ", unencrypted"
    reporter.note(f"asking {model}: {what} leave this machine{open_text}, for {server.base}")


def _hidden(value: Any, place: str) -> Iterator[str]:
    """The fields that ``mask_secret_fields`` has masked."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _hidden(inner, f"{place}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from _hidden(inner, f"{place}[{number}]")
    elif value == MASK:
        yield place


def mask_secret_fields(value: Any, is_secret: bool = False) -> Any:
    """Return a value without passwords and keys, which the names of fields and the forms of keys tell."""
    if isinstance(value, Mapping):
        return {
            name: mask_secret_fields(inner, is_secret or bool(SECRET_NAME.search(name)))
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask_secret_fields(inner, is_secret) for inner in value]
    is_secret = is_secret or (isinstance(value, str) and mask_secrets(value) != value)
    return MASK if is_secret and value is not None and not isinstance(value, bool) else value
