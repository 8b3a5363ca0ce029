"""A model behind an OpenAI-compatible server as a predictor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graft.data.example import AnswerExample, Example, expect, without_reasoning
from graft.errors import GraftError, InputError, Interrupted, Problem, did_you_mean
from graft.inference.http import HttpClient, Limits, RefusedRequest
from graft.inference.kept_answers import KeptAnswers, request_key
from graft.inference.predictor import CompletionScore, Progress
from graft.inference.server_records import AnswerRecord, ChatRecord, ModelsRecord, TextRecord
from graft.inference.server_url import Api, ServerUrl

MOST_NAMED = 10
"""Models of a server that a message names."""
FIXED = frozenset({"model", "messages", "prompt", "stream", "n", "best_of", "echo"})
"""Fields of a request that ``--endpoint_body`` cannot set: the rows and the answers depend on them."""
WITHOUT_LIST = (404, 405, 501)
"""What servers answer that do not list their models."""
OF_A_ROW = (400, 413, 422)
"""What servers answer to a request that is too long for the model, or that a filter stops."""
REFUSED = "refused"
"""How the ``finish_reason`` of a refused row begins."""
T = TypeVar("T")


@dataclass(frozen=True)
class Endpoint:
    """A server and how it is asked.

    Attributes:
        server: Its address.
        key: The key that it is asked with.
        limits: Time, tries, and requests at a time.
        api: ``chat`` sends messages, ``completions`` a text; None decides by the row's prompt.
        body: Further fields of each request; one that is None is omitted.
        template_kwargs: Variables of the chat template for all rows; a row's own win over them.
    """

    server: ServerUrl
    key: str | None = None
    limits: Limits = field(default_factory=Limits)
    api: Api | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def client(self) -> HttpClient:
        """Return a client, which is closed by ``async with``."""
        return HttpClient(self.server, self.key, self.limits)

    def model_name(self, name: str | None) -> str:
        """Return the model to ask: ``name``, or the only one that the server has.

        Raises:
            InputError: If the server cannot be reached, has no model ``name``, or has several and none is named.
        """
        listed = finished(self._models())
        if listed is None:
            return name if name is not None else _unnamed("the server does not list its models")
        if name is None:
            several = "the server has no models" if not listed else f"the server has {len(listed):,} models"
            return listed[0] if len(listed) == 1 else _unnamed(several, listed)
        if not listed or name in listed or f"{name}:latest" in listed:  # Ollama's name without a tag
            return name
        near = did_you_mean(name, listed)
        what = f"the server has no model {name!r}"
        raise InputError(what, where="--model", remedy=f"{near} it has: {_shown(listed)}".strip())

    def limit(self, max_new_tokens: int) -> int | None:
        """Return the limit of an answer that is sent where ``max_new_tokens`` is asked for; None for no limit."""
        sent = {"max_tokens": max_new_tokens, **self.body}
        limit: int | None = sent.get("max_completion_tokens") or sent["max_tokens"]
        return limit

    async def _models(self) -> list[str] | None:
        """The names of the server's models; None for a server without a list."""
        async with self.client() as client:
            try:
                return [model.id for model in (await client.get("/models", ModelsRecord)).data]
            except RefusedRequest as error:
                if error.status in WITHOUT_LIST:
                    return None
                raise


def _unnamed(why: str, listed: Sequence[str] = ()) -> str:
    """Ask for the name of a model.

    Raises:
        InputError: That a model must be named.
    """
    remedy = f"--model NAME; it has: {_shown(listed)}" if listed else "--model NAME"
    raise InputError(f"{why}: name the one to evaluate", where="--model", remedy=remedy)


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


class EndpointPredictor:
    """Asks a server for its answer to each row, by greedy decoding with a fixed seed.

    Messages are sent as they are, for the server's own chat template. A server gives no likelihoods of given texts, so
    a class is the label that it answers. The same request is sent once.

    Args:
        name: The predictor's name in the results.
        model: The model's name on the server.
        endpoint: The server.
        kept: The answers that are there already; new ones are added as they come.
        render: Makes the text of messages for ``/completions``; None for rows that are texts.
        seed: The seed that is sent: servers whose greedy decoding is not exact can at least repeat it.
        refusals: How many rows may be refused before the work ends; such a row has an empty answer, which is not kept.
    """

    can_score = False
    tokenizer: Any = None

    def __init__(
        self,
        name: str,
        model: str,
        endpoint: Endpoint,
        kept: KeptAnswers,
        render: Callable[[Example], str] | None = None,
        seed: int = 0,
        refusals: int = 0,
    ) -> None:
        self.refusals = refusals
        self.name, self.model, self.endpoint, self.kept = name, model, endpoint, kept
        self.render, self.seed = render, seed
        self.answered: list[AnswerRecord] = []
        """The records of the last answers, in the order of the rows."""
        self.interfaces: list[str] = []
        """The interfaces that were asked: ``chat``, ``completions``."""

    def generate(self, examples: Sequence[Example], max_new_tokens: int, progress: Progress | None = None) -> list[str]:
        """Return the server's answers, without their reasoning.

        Raises:
            GraftError: If a row fails after all tries; the answers so far are kept.
            Interrupted: If the user stops it; the answers so far are kept.
        """
        requests = [self.request(example, max_new_tokens) for example in examples]
        waiting = {request.key: request for request in requests if request.key not in self.kept}
        total = len({request.key for request in requests})
        work = _Work(self.endpoint, self.kept, list(waiting.values()), total, self.refusals)
        try:
            finished(work.run(progress))
        except KeyboardInterrupt:
            raise Interrupted("interrupted", remedy=work.to_continue()) from None
        self.interfaces = sorted({request.path.removeprefix("/").split("/")[0] for request in requests})
        self.answered = [work.refused.get(request.key) or self.kept[request.key] for request in requests]
        return [without_reasoning(record.answer).strip() for record in self.answered]

    def score(
        self, examples: Sequence[Example], completions: Sequence[Sequence[str]], progress: Progress | None = None
    ) -> list[list[CompletionScore]]:
        """Refuse: a server does not score given texts.

        Raises:
            InputError: Always: see ``can_score``.
        """
        raise InputError("a server gives no likelihoods of given texts", where=self.endpoint.server.base)

    def request(self, example: Example, max_new_tokens: int) -> Request:
        """Return what is sent for a row.

        Raises:
            InputError: If the row's prompt does not fit the interface.
        """
        example = expect(example, AnswerExample)
        api = self.endpoint.api or ("completions" if isinstance(example.prompt, str) else "chat")
        body = {
            "model": self.model,
            **self._prompt(example, api),
            "max_tokens": max_new_tokens,
            "temperature": 0,
            "seed": self.seed,
            "stream": False,
            **self.endpoint.body,
        }
        given = {name: value for name, value in body.items() if value is not None}
        path = "/chat/completions" if api == "chat" else "/completions"
        return Request(path, given, request_key(f"{self.endpoint.server.base}{path}", given), str(example.origin))

    def _prompt(self, example: AnswerExample, api: Api) -> dict[str, Any]:
        if api == "completions":
            if isinstance(example.prompt, str):
                return {"prompt": example.prompt}
            if self.render is None:
                what = "this row has messages, and /completions takes a text"
                remedy = "--endpoint_api chat, or --run RUN, whose chat template makes the text"
                raise InputError(what, where=str(example.origin), remedy=remedy)
            return {"prompt": self.render(example)}
        asked = [{"role": "user", "content": example.prompt}] if isinstance(example.prompt, str) else example.prompt
        variables = {**self.endpoint.template_kwargs, **(example.template_kwargs or {})}
        return {
            "messages": [dict(message) for message in asked],
            "tools": [dict(tool) for tool in example.tools] if example.tools else None,
            "chat_template_kwargs": variables or None,
        }


@dataclass(frozen=True)
class Request:
    """What is sent for a row: the path, the body, the key of both, and the row's origin."""

    path: str
    body: Mapping[str, Any]
    key: str
    origin: str


@dataclass
class _Work:
    """Requests on their way.

    Attributes:
        endpoint: The server.
        kept: Gets the answers.
        waiting: The requests to send.
        total: All requests, those answered before among them.
        refusals: How many rows may be refused.
        refused: Those that were, by their keys; they are asked again the next time.
    """

    endpoint: Endpoint
    kept: KeptAnswers
    waiting: list[Request]
    total: int
    refusals: int = 0
    done: int = 0
    refused: dict[str, AnswerRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.done = self.total - len(self.waiting)

    async def run(self, progress: Progress | None) -> None:
        """Send all requests, some at a time; the first that fails ends the others.

        Raises:
            GraftError: Naming the row that failed.
        """
        queue = iter(self.waiting)
        if progress is not None and self.done:
            progress(self.done, self.total)
        async with self.endpoint.client() as client:
            workers = [
                asyncio.ensure_future(self._send(client, queue, progress))
                for _ in range(min(self.endpoint.limits.concurrency, len(self.waiting)))
            ]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _send(self, client: HttpClient, queue: Iterator[Request], progress: Progress | None) -> None:
        for request in queue:
            try:
                found = await client.post(request.path, request.body, _record_of(request.path))
            except GraftError as error:
                if not self._is_refusal(error):
                    raise self._of_row(request, error) from None
                said = f"{REFUSED}: {error.problems[0].what}"
                self.refused[request.key] = AnswerRecord(
                    key=request.key, origin=request.origin, answer="", finish_reason=said
                )
            else:
                self._keep(request, found)
            self.done += 1
            if progress is not None:
                progress(self.done, self.total)

    def _is_refusal(self, error: GraftError) -> bool:
        """Whether the server refused this row alone, and not too many before it."""
        of_row = isinstance(error, RefusedRequest) and error.status in OF_A_ROW
        return of_row and len(self.refused) < self.refusals

    def _keep(self, request: Request, found: ChatRecord | TextRecord) -> None:
        choice, usage = found.choices[0], found.usage
        self.kept.add(
            AnswerRecord(
                key=request.key,
                origin=request.origin,
                answer=choice.written,
                finish_reason=choice.finish_reason,
                prompt_tokens=usage.prompt_tokens if usage else None,
                completion_tokens=usage.completion_tokens if usage else None,
            )
        )

    def _of_row(self, request: Request, error: GraftError) -> GraftError:
        problem = error.problems[0]
        where, what = request.origin, f"{problem.where}: {problem.what}" if problem.where else problem.what
        remedy = "; ".join(filter(None, (problem.remedy, self.to_continue())))
        return GraftError(Problem(what, where, remedy))

    def to_continue(self) -> str:
        """What becomes of the answers so far."""
        if not self.done or self.kept.path is None:
            return "give an --output_path to keep the answers that come" if self.kept.path is None else ""
        return f"{self.done:,} of {self.total:,} answers are kept: run the same command again to continue"


def _record_of(path: str) -> type[ChatRecord] | type[TextRecord]:
    return ChatRecord if path == "/chat/completions" else TextRecord


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end, also where an event loop runs already, as in a notebook; an interrupt ends it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def held() -> T:
        started.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await work

    with ThreadPoolExecutor(1) as other:
        result = other.submit(asyncio.run, held())
        try:
            return result.result()
        except KeyboardInterrupt:
            for loop, task in started:
                if task is not None:
                    loop.call_soon_threadsafe(task.cancel)
            raise
