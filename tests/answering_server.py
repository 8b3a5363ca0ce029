"""A small OpenAI-compatible server of the standard library, which fails as real ones do when it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers ``/v1/models``, ``/v1/chat/completions`` and ``/v1/completions``."""

    protocol_version = "HTTP/1.1"
    server: AnsweringServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path, dict(self.headers), None))
        if not self._fails(self.server.list_fault):
            self.send({"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]})

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append(("POST", self.path, dict(self.headers), self.body))
            fault = self.server.faults.pop(0) if self.server.faults else None
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            if not self._fails(fault):
                self.send(self.answer())
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def answer(self) -> dict[str, Any]:
        time.sleep(self.server.seconds)
        asked = self.body["messages"][-1]["content"] if "messages" in self.body else self.body["prompt"]
        text = self.server.write(asked)
        usage = {"prompt_tokens": len(asked.split()), "completion_tokens": len(text.split())}
        part = {"message": {"role": "assistant", "content": text}} if "messages" in self.body else {"text": text}
        return {"choices": [{"index": 0, **part, "finish_reason": "stop"}], "usage": usage}

    def send(self, document: Any, status: int = 200, **headers: str) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _fails(self, fault: Fault | None) -> bool:
        if fault is not None:
            with suppress(OSError):
                fault(self)
        return fault is not None


class AnsweringServer(ThreadingHTTPServer):
    """The server; ``faults`` are what the first ``POST`` requests meet, in their order.

    Attributes:
        write: The answer to a prompt.
        models: The names of its models.
        faults: What happens instead of an answer.
        list_fault: What ``GET`` meets.
        seconds: Seconds before each answer.
        seen: Method, path, headers and body of all requests.
        most_at_once: The most requests that were there at a time.
    """

    daemon_threads = True

    def __init__(self, write: Callable[[str], str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.write, self.models = write, ["small-model"]
        self.faults: list[Fault | None] = []
        self.list_fault: Fault | None = None
        self.seconds = 0.0
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self.lock, self.at_once, self.most_at_once = threading.Lock(), 0, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def bodies(self) -> list[dict[str, Any]]:
        return [body for method, _, _, body in self.seen if method == "POST"]


@contextmanager
def answering(write: Callable[[str], str] = str.upper) -> Iterator[AnsweringServer]:
    """Run a server on a free port of this machine."""
    server = AnsweringServer(write)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def status(code: int, message: str = "no", **headers: str) -> Fault:
    """A response with this status."""
    return lambda handler: handler.send({"error": {"message": message, "code": code}}, code, **headers)


def sends(document: Any) -> Fault:
    """Another document, or bytes, instead of an answer."""
    return lambda handler: handler.send(document)


def cuts(handler: Handler) -> None:
    """The connection ends within the response."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.close_connection = True


def never_ends(handler: Handler) -> None:
    """A response that goes on for ever, as fast as it is read."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


def drips(handler: Handler) -> None:
    """A byte now and then: no single read takes long."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)
