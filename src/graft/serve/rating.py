"""The local page of ``graft rate``: one address with a secret for each rater.

It answers on the loopback interface alone. A request needs the rater's token, which the page has from the fragment of
its address and sends as a header, so that no other page can make a browser send it. ``Host`` and ``Origin`` must be
this server, so that a name that is rebound to 127.0.0.1 reaches nothing.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from graft.documents import parse_json
from graft.errors import GraftError, InputError
from graft.evaluation.human.page import policy, rating_page
from graft.evaluation.human.rating import Rating

LARGEST_REQUEST = 64 * 1024
SECONDS = 30.0
"""How long a connection may be silent."""
Made = Callable[[int, int], None]
"""Is told after each judgment how many were made, and how many are asked for."""


class RatingServer(ThreadingHTTPServer):
    """Serves a rating.

    Args:
        rating: What is judged by whom.
        port: The port; 0 for a free one.
        made: Is told of each judgment.

    Raises:
        InputError: If the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = hasattr(socket, "AF_UNIX")  # on Windows it would let two programs share the port

    def __init__(self, rating: Rating, port: int = 0, made: Made | None = None) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            what = f"cannot listen on port {port}: {error.strerror or error}"
            raise InputError(what, where="--port", remedy="omit --port, and graft takes a free one") from None
        self.rating, self.made = rating, made
        self.tokens = {rater: secrets.token_urlsafe(24) for rater in rating.raters}
        self.page = rating_page().encode()
        self.writing = threading.Lock()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names by which a browser may ask this server."""
        return tuple(f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost"))

    def address(self, rater: str) -> str:
        """Return the address of a rater's page."""
        return f"http://127.0.0.1:{self.server_port}/#{self.tokens[rater]}"

    def rater_of(self, token: str) -> str | None:
        """Return the rater who has a token; None for a token that nobody has."""
        given = token.encode("utf-8", "surrogatepass")
        return next((name for name, own in self.tokens.items() if hmac.compare_digest(own.encode(), given)), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a browser that closes a connection is nothing to report."""


@contextmanager
def serving(rating: Rating, port: int = 0, made: Made | None = None) -> Iterator[RatingServer]:
    """Serve a rating in threads within the block.

    Raises:
        InputError: If the port is taken.
    """
    with RatingServer(rating, port, made) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: RatingServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "graft", ""
    timeout = SECONDS

    def log_message(self, *arguments: Any) -> None:
        """Log nothing: the terminal belongs to the command."""

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/" and self._is_own():
            self._send(200, self.server.page, "text/html; charset=utf-8")
        elif (rater := self._rater()) is not None:
            rating = self.server.rating
            if path.path == "/api/rating":
                self._json(200, {"questions": rating.questions()})
            elif path.path == "/api/row":
                place = parse_qs(path.query).get("place", [""])[0][:9]
                self._json(200, rating.state(rater, int(place) if place.isdecimal() else None))
            else:
                self._json(404, {"error": "there is nothing here"})

    def do_POST(self) -> None:
        rater = self._rater()
        body = self._body() if rater is not None else None
        if rater is None or body is None:
            return
        if urlsplit(self.path).path != "/api/judgment":
            self._json(404, {"error": "there is nothing here"})
            return
        rating = self.server.rating
        try:
            judgment = rating.judgment(rater, parse_json(body, "this request"), "page")
        except InputError as error:
            self._json(400, {"error": " ".join(problem.what for problem in error.problems)})
            return
        try:
            with self.server.writing:
                rating.store.add([judgment])
        except GraftError as error:  # a full disk: what was saved before stays
            self._json(500, {"error": f"this judgment was not saved: {error.problems[0].what}"})
            return
        if self.server.made is not None:
            self.server.made(rating.made, rating.planned)
        self._json(200, rating.state(rater))

    def _is_own(self) -> bool:
        """Whether the request is to and from this server's own page; answers it if not."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        from_here = origin is None or origin in {f"http://{name}" for name in self.server.hosts}
        site = self.headers.get("Sec-Fetch-Site", "none")
        if host in self.server.hosts and from_here and (site in ("same-origin", "none") or self.command == "GET"):
            return True
        self._json(403, {"error": "this address is not the one that graft has printed"})
        return False

    def _rater(self) -> str | None:
        """Who asks; answers the request if nobody does who may."""
        if not self._is_own():
            return None
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        rater = self.server.rater_of(token) if kind == "Bearer" else None
        if rater is None:
            said = "this page is of an earlier session: open the address that graft shows in the terminal now"
            self._json(401, {"error": said})
        return rater

    def _body(self) -> str | None:
        """The text that was sent; answers the request if it has none that can be read."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not length.isdecimal():
            self._json(415, {"error": "expected JSON"})
        elif int(length) > LARGEST_REQUEST:
            self._json(413, {"error": f"more than {LARGEST_REQUEST:,} bytes"})
        else:
            try:
                return self.rfile.read(int(length)).decode("utf-8")
            except UnicodeDecodeError:
                self._json(400, {"error": "expected UTF-8"})
        return None

    def _json(self, status: int, document: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(document).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", f"{policy()}; frame-ancestors 'none'")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status >= 400:
            self.send_header("Connection", "close")  # what else was sent is not read as another request
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)


_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
