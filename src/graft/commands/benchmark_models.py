"""The models that ``graft benchmark`` asks, as language models of the harness."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.commands.open_predictors import (
    BASE,
    TUNED,
    adapters_of,
    open_bundle,
    open_model_by_name,
)
from graft.commands.served import check_body, endpoint_of, say_what_is_sent
from graft.config import BenchmarkSettings, ModelSettings
from graft.errors import InputError, Problems
from graft.inference.endpoint import Endpoint
from graft.inference.predictor import Predictor, TokenPredictor
from graft.inference.server_url import ServerUrl
from graft.progress import Reporter, enter
from graft.runs.kind import is_bundle


@dataclass(frozen=True)
class BenchmarkModels:
    """Opens models by the names that the user gave, and the server.

    Attributes:
        names: Runs, models and bundles; the first is the one that the results are recorded in.
        settings: How they are opened and asked.
        reporter: Shows notes and progress.
    """

    names: tuple[str, ...]
    settings: BenchmarkSettings
    reporter: Reporter

    def opened(self) -> dict[str, Any]:
        """Return the harness's models by name: base and tuned of the first run, others by the names of their folders.

        Raises:
            InputError: If one does not load, writes no text, or has no chat template that is asked for.
        """
        from graft.evaluation.benchmark.language_model import PredictorLM

        enter(self.reporter, "loading")
        found: dict[str, Any] = {}
        for place, name in enumerate(self.names):
            for role, predictor in self._predictors(name).items():
                key = role if not place and role in (BASE, TUNED) else _free(_named(name, role), found)
                if not isinstance(predictor, TokenPredictor):
                    what = "this model writes no text, and a benchmark asks for text and its likelihood"
                    raise InputError(what, where=name, remedy=f"graft evaluate {name}")
                if self.settings.apply_chat_template and not _has_template(predictor):
                    what = "this model has no chat template"
                    raise InputError(what, where=name, remedy="omit --apply_chat_template")
                predictor.name = key
                found[key] = PredictorLM(predictor, self.reporter, self.settings.max_length)
        if not self.settings.apply_chat_template and any(_has_template(model.predictor) for model in found.values()):
            self.reporter.note(
                "questions are put as plain text; --apply_chat_template puts them as the model's conversations"
            )
        return {**found, **self._served(found)}

    def _predictors(self, name: str) -> dict[str, Predictor]:
        """The predictors of one model by their roles."""
        if is_bundle(Path(name)):
            return open_bundle(Path(name), adapters_of(Path(name)), self.settings.trust_remote_code)
        settings = self.settings.part(ModelSettings)
        if name != self.names[0]:  # the adapter and the revision are those of the first
            settings = ModelSettings(**self.settings.for_another().model_dump())
        return open_model_by_name(name, settings, self.reporter).predictors(self.reporter, with_base=True, name="model")

    def _served(self, taken: Collection[str]) -> dict[str, Any]:
        from graft.evaluation.benchmark.endpoint_model import EndpointLM

        if self.settings.endpoint is None:
            return {}
        endpoint = check_endpoint(self.settings.endpoint, self.settings)
        model = endpoint.model_name(self.settings.endpoint_model)
        name = _free(model, taken)
        say_what_is_sent(model, endpoint.server, "the rows of the tasks", self.reporter)
        return {name: EndpointLM(model, endpoint, self.reporter, name)}


def check_endpoint(url: str, settings: BenchmarkSettings) -> Endpoint:
    """Return the server.

    Raises:
        InputError: With everything that is wrong with its address and its settings.
    """
    problems = Problems()
    found: Endpoint | None = None
    with problems.collecting():
        check_body(settings.endpoint_body)
    with problems.collecting():
        found = endpoint_of(ServerUrl.parse(url), settings, {})
    problems.raise_if_any()
    assert found is not None
    return found


def _has_template(predictor: TokenPredictor) -> bool:
    return bool(getattr(predictor.tokenizer, "chat_template", None))


def _named(name: str, role: str) -> str:
    stem = Path(name).name or name
    return stem if role in ("model", TUNED) else f"{stem} {role}"


def _free(name: str, taken: Collection[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free
