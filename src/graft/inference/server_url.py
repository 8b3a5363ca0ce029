"""The address of an OpenAI-compatible server."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from graft.errors import InputError
from graft.plain_text import MASK

Api = Literal["chat", "completions"]
_PATHS: Mapping[str, Api] = {"/chat/completions": "chat", "/completions": "completions"}
DEFAULT_KEY = "OPENAI_API_KEY"


def is_url(text: str) -> bool:
    """Whether ``text`` is the address of a server, and no path or name of a model."""
    return text.lower().startswith(("http://", "https://"))


@dataclass(frozen=True)
class ServerUrl:
    """Where a server answers.

    Attributes:
        base: The address before ``/chat/completions`` and ``/models``, such as ``http://localhost:8080/v1``.
        host: The host's name or number.
        query: What follows a question mark; it is sent with each request and never shown or recorded.
        api: The interface that the user's address names, if it names one.
    """

    base: str
    host: str
    query: str = ""
    api: Api | None = None

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Read an address as people have it: ``http://host:port``, the same with ``/v1``, or a whole path.

        Raises:
            InputError: If it names no host, holds a password, or has been masked (``recorded``).
        """
        try:
            parts = urlsplit(text.strip())
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(f"this is no address of a server: {error}", where=_bare(text)) from None
        if not host:
            raise InputError("this address names no host", where=_bare(text), remedy="http://HOST:PORT/v1")
        if parts.username is not None or parts.password is not None:
            remedy = "put the key into an environment variable, and give its name: --api_key_env NAME"
            raise InputError("this address holds a user name or a password", where=host, remedy=remedy)
        if MASK in parts.query:
            remedy = "give the whole address again: --endpoint URL"
            raise InputError("secrets are not recorded, so this address lacks them", where=_bare(text), remedy=remedy)
        path, api = _without_interface(parts)
        return cls(urlunsplit((parts.scheme, parts.netloc, path, "", "")), host, parts.query, api)

    def at(self, path: str) -> str:
        """Return the whole address of ``path``, such as ``/models``."""
        return f"{self.base}{path}" + (f"?{self.query}" if self.query else "")

    @property
    def recorded(self) -> str:
        """The address as it is recorded: without the values that follow a question mark."""
        path = next((path for path, api in _PATHS.items() if api == self.api), "")
        pairs = (pair.partition("=") for pair in self.query.split("&") if pair)
        hidden = "&".join(f"{name}={MASK}" if sign else MASK for name, sign, _ in pairs)
        return f"{self.base}{path}" + (f"?{hidden}" if hidden else "")

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent can be read by nobody else."""
        return self.base.lower().startswith("https:")


def _without_interface(parts: SplitResult) -> tuple[str, Api | None]:
    """Return the path before the interface's own, ``/v1`` where there is none, and the interface."""
    path = parts.path.rstrip("/")
    for ending, api in _PATHS.items():
        if path.endswith(ending):
            return path.removesuffix(ending), api
    return (path.removesuffix("/models") or "/v1"), None


def _bare(text: str) -> str:
    """The address without anything that could be a password."""
    return text.split("?", maxsplit=1)[0].rpartition("@")[2]


def api_key(server: ServerUrl, variable: str | None) -> str | None:
    """Return the key to send, from the environment.

    ``OPENAI_API_KEY`` is sent to OpenAI and to servers on this machine alone: a key is for whoever issued it.

    Args:
        server: Where it is sent.
        variable: The environment variable that the user named.

    Raises:
        InputError: If the named variable is not set, or holds what no header can.
    """
    trusted = server.is_local or server.host == "openai.com" or server.host.endswith(".openai.com")
    name = variable or (DEFAULT_KEY if trusted else None)
    key = os.environ.get(name, "").strip() if name else ""
    if variable and not key:
        raise InputError(f"the environment variable {variable} is not set", where="--api_key_env")
    if not key.isascii() or not key.isprintable():
        raise InputError(f"the environment variable {name} holds no key: it has characters that no header can have")
    return key or None
