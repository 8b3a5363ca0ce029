"""A served model as the harness's language model: answers of any server, likelihoods of those that give them.

This module imports lm-eval; ``graft.evaluation.benchmark.harness`` says where it is not installed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lm_eval.api.model import LM
from lm_eval.models.utils import postprocess_generated_text

from graft.data.example import AnswerExample, Origin
from graft.errors import InputError
from graft.evaluation.benchmark.generation import limits_of
from graft.inference.echo import NEEDS, EchoScorer
from graft.inference.endpoint import Endpoint, EndpointPredictor
from graft.inference.kept_answers import KeptAnswers
from graft.progress import Reporter

MOST_STOPS = 4
"""Stop sequences that OpenAI's interface takes; answers are cut at all of them anyway."""
CONVERSATION = "\x00messages:"
"""What a prompt of messages begins with: the harness passes prompts on as texts."""


class EndpointLM(LM):  # type: ignore[misc]
    """A served model as the harness's language model.

    Args:
        model: The model's name on the server.
        endpoint: The server.
        reporter: Shows the progress.
        name: The model's name in the results.
    """

    def __init__(self, model: str, endpoint: Endpoint, reporter: Reporter, name: str) -> None:
        super().__init__()
        self.model, self.endpoint, self.reporter, self.name = model, endpoint, reporter, name

    @property
    def tokenizer_name(self) -> str:
        """The model's name: its tokenizer is the server's."""
        return self.model.replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the messages themselves: the server has the template.

        Raises:
            InputError: If the last message is the beginning of an answer, which servers do not go on with.
        """
        if not add_generation_prompt:
            what = "a task begins the answer itself (gen_prefix), and servers take whole messages"
            raise InputError(what, where=self.name, remedy="omit --apply_chat_template")
        return CONVERSATION + json.dumps(chat_history, ensure_ascii=False)

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation, where the server repeats texts with log-probabilities.

        Raises:
            InputError: If it cannot.
        """
        texts = [request.args for request in requests]
        if self.endpoint.api == "chat" or any(context.startswith(CONVERSATION) for context, _ in texts):
            raise InputError("messages cannot be scored by a server", where=self.name, remedy=NEEDS)
        if any(not context for context, _ in texts):
            what = "a task asks for the likelihood of a text without a context"
            raise InputError(what, where=self.name, remedy="omit this task")
        # As a model of this machine is asked: a blank before the continuation belongs to it.
        moved = [(context.rstrip(), context[len(context.rstrip()) :] + rest) for context, rest in texts]
        scored = EchoScorer(self.model, self.endpoint).score(moved, self._progress("scoring"))
        return [(score.log_likelihood, score.is_greedy) for score in scored]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """Refuse: the first token of a text has no likelihood at a server.

        Raises:
            InputError: Always.
        """
        what = "a task asks for the likelihood of whole texts, and the first token of a text has none at a server"
        raise InputError(what, where=self.name, remedy="omit this task")

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """Return greedy answers, each up to the first of its stop sequences."""
        groups: dict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
        for index, (_, given) in enumerate(request.args for request in requests):
            groups[limits_of(given)].append(index)
        answers = [""] * len(requests)
        for (most, until), members in groups.items():
            stop = {"stop": list(until[:MOST_STOPS])} if until else {}
            endpoint = replace(self.endpoint, body={**stop, **self.endpoint.body})
            asked = EndpointPredictor(self.name, self.model, endpoint, KeptAnswers())
            examples = [self._example(requests[index].args[0], index) for index in members]
            asked.generate(examples, most, self._progress("answering"))
            for index, record in zip(members, asked.answered, strict=True):
                answers[index] = postprocess_generated_text(record.answer, list(until), None)
        return answers

    def _example(self, prompt: str, number: int) -> AnswerExample:
        is_chat = prompt.startswith(CONVERSATION)
        messages = tuple(json.loads(prompt.removeprefix(CONVERSATION))) if is_chat else prompt
        return AnswerExample(messages, "", Origin("benchmark", number + 1))

    def _progress(self, what: str) -> Any:
        return lambda done, total: self.reporter.advance(f"{self.name}: {what}", done, total)
