"""Requests that end: each with a time limit, a largest response, and a number of tries."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any, TypeVar

from graft.errors import GraftError, InputError, Problem
from graft.inference.server_url import ServerUrl
from graft.plain_text import remember_secret
from graft.runs.record import Record, validate

LARGEST_RESPONSE = 16_000_000
"""Bytes of a response that are read at most."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the second try, and the longest that a server may ask to wait."""
LONGEST_MESSAGE = 300
NO_SUCH_SERVER = "check that the address is that of an OpenAI-compatible server"
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Status codes after which the same request may succeed; 529 is an overloaded server."""

R = TypeVar("R", bound=Record)


def httpx() -> ModuleType:
    """Return the HTTP library: httpx2, or httpx, which is its name for Python 3.10."""
    try:
        import httpx2
    except ModuleNotFoundError:
        import httpx

        return httpx  # type: ignore[no-any-return,unused-ignore]
    return httpx2


@dataclass(frozen=True)
class Limits:
    """What a server may take.

    Attributes:
        concurrency: Requests at a time.
        timeout: Seconds for one request, from the connection to the last byte.
        retries: Further tries after a failure that may pass.
    """

    concurrency: int = 4
    timeout: float = 120.0
    retries: int = 5


class _Failure(Exception):
    """A try that failed, and may succeed when it is repeated.

    Args:
        what: What went wrong.
        wait: Seconds that the server asks to wait.
        remedy: What the user can do.
    """

    def __init__(self, what: str, wait: float | None = None, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.wait, self.remedy = what, wait, remedy


class RefusedRequest(InputError):
    """A response whose status says that the same request cannot succeed.

    Args:
        status: The status code.
        problem: What a person is told.
    """

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem)
        self.status = status


class HttpClient:
    """A client of one server. Redirects are not followed: what is sent goes to the address that the user typed.

    Args:
        server: The server.
        key: The key that it is asked with; it is in no message.
        limits: Time, tries, and requests at a time.
    """

    def __init__(self, server: ServerUrl, key: str | None, limits: Limits) -> None:
        self.server, self.limits = server, limits
        self._key = key
        remember_secret(key)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "graft"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        library = httpx()
        try:
            self._client = library.AsyncClient(
                headers=headers,
                timeout=limits.timeout,
                follow_redirects=False,
                trust_env=not server.is_local,  # a proxy is for other machines
                limits=library.Limits(max_connections=limits.concurrency),
            )
        except (ImportError, ValueError, OSError, library.InvalidURL) as error:
            raise _unusable_environment(error) from None
        self._passing: type[Exception] = library.TransportError
        self._refused: type[Exception] = library.ConnectError
        self._any: type[Exception] = library.HTTPError
        self._unsendable = (ValueError, library.InvalidURL)

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._client.aclose()

    async def get(self, path: str, model: type[R]) -> R:
        """Return the answer of ``GET``; a server that cannot be reached is asked once.

        Raises:
            InputError: If it cannot be reached, refuses the request, or answers something else.
        """
        return await self._answer("GET", path, None, model, is_first=True)

    async def post(self, path: str, body: Mapping[str, Any], model: type[R]) -> R:
        """Return the answer of ``POST``.

        Raises:
            GraftError: If the server refuses the request, fails after all tries, or answers something else.
        """
        return await self._answer("POST", path, body, model, is_first=False)

    async def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None, model: type[R], is_first: bool
    ) -> R:
        where, kind = f"{self.server.base}{path}", InputError if is_first else GraftError
        for attempt in range(self.limits.retries + 1):
            try:
                content = await asyncio.wait_for(self._once(method, path, body), self.limits.timeout)
                return self._read(content, model, where)
            except asyncio.TimeoutError:
                remedy = "a longer --endpoint_timeout, or a smaller --endpoint_concurrency or --max_new_tokens"
                failure = _Failure(f"no answer within {self.limits.timeout:g} s", remedy=remedy)
            except self._refused as error:
                failure = _Failure(f"cannot connect: {self._plain(str(error))}", remedy="check that the server runs")
                if is_first:
                    break
            except self._passing as error:
                failure = _Failure(f"the connection failed: {self._plain(str(error)) or type(error).__name__}")
            except self._any as error:
                raise kind(f"the response cannot be read: {self._plain(str(error))}", where=where) from None
            except self._unsendable as error:  # a host that no name can be, a number that JSON has not
                raise kind(f"the request cannot be sent: {self._plain(str(error))}", where=where) from None
            except _Failure as error:
                failure = error
            if attempt < self.limits.retries:
                await asyncio.sleep(_pause(failure, attempt, where))
        tries = attempt + 1
        said = f"{failure.what} ({tries} tries)" if tries > 1 else failure.what
        raise kind(said, where=where, remedy=failure.remedy) from None

    async def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
        """One request, with a whole response of status 200.

        Raises:
            _Failure: If it may succeed when it is repeated.
            InputError: If it cannot.
        """
        async with self._client.stream(method, self.server.at(path), json=body) as response:
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > LARGEST_RESPONSE:
                    what = f"the response is larger than {LARGEST_RESPONSE // 1_000_000} MB"
                    raise InputError(what, where=f"{self.server.base}{path}")
            if response.status_code != 200:
                self._refuse(response, bytes(content), path)
            return bytes(content)

    def _refuse(self, response: Any, content: bytes, path: str) -> None:
        """Raise what a status other than 200 means."""
        status, said = int(response.status_code), self._plain(_message(content))
        what = f"the server answered {status} {response.reason_phrase}".rstrip() + (f": {said}" if said else "")
        if status in AGAIN:
            raise _Failure(what, _asked_wait(response.headers.get("retry-after")))
        remedy = ""
        if status in (401, 403):
            remedy = "this key is not accepted" if self._key else "--api_key_env NAME names the variable with the key"
        elif 300 <= status < 400:
            target = self._plain(str(response.headers.get("location", "")).split("?")[0])
            remedy = f"redirects are not followed: give the address itself ({target})"
        elif status == 404:
            remedy = "check the address, and --model"
        raise RefusedRequest(status, Problem(what, f"{self.server.base}{path}", remedy))

    def _read(self, content: bytes, model: type[R], where: str) -> R:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            start = self._plain(content[:200].decode("utf-8", "replace"))
            what = f"the server did not answer with JSON: {start[:60]!r}"
            raise InputError(what, where=where, remedy=NO_SUCH_SERVER) from None
        if isinstance(document, dict) and document.get("error") and "choices" not in document:
            raise _Failure(f"the server answered with an error: {self._plain(_message(content))}")
        try:
            return validate(model, document, where)
        except InputError as error:
            what = "; ".join(problem.what for problem in error.problems[:3])
            raise InputError(f"unexpected answer: {self._plain(what)}", where=where, remedy=NO_SUCH_SERVER) from None

    def _plain(self, text: str) -> str:
        """Text of a server for a message: one line of printable characters, shortened, without the key."""
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        text = text.replace(self._key, "***") if self._key else text
        return " ".join(text.split())[:LONGEST_MESSAGE]


def _unusable_environment(error: Exception) -> InputError:
    """What a proxy or a certificate of the environment says; of others than missing packages no text with passwords."""
    said = f": {error}" if isinstance(error, ImportError) else ""
    remedy = "correct or unset ALL_PROXY, HTTPS_PROXY, HTTP_PROXY or SSL_CERT_FILE; NO_PROXY=HOST asks it directly"
    return InputError(f"the environment's proxy or certificates cannot be used{said}", remedy=remedy)


def _message(content: bytes) -> str:
    """The message of an error response; its text where it is no JSON."""
    text = content[:10_000].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for key in ("error", "message", "detail"):
        inner = found.get(key) if isinstance(found, dict) else None
        found = inner if inner else found
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _asked_wait(header: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, which has a number or a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())


def _pause(failure: _Failure, attempt: int, where: str) -> float:
    """Seconds before the next try: what the server asks for, else twice as long each time, at random a little less.

    Raises:
        GraftError: If the server asks to wait for too long.
    """
    if failure.wait is not None and not failure.wait <= LONGEST_WAIT:
        raise GraftError(f"{failure.what}; it asks to wait {failure.wait:,.0f} s", where=where, remedy=failure.remedy)
    if failure.wait is not None:
        return failure.wait
    return min(FIRST_WAIT * 2.0**attempt, LONGEST_WAIT) * random.uniform(0.75, 1.0)
