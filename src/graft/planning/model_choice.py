"""Which models of the catalog suit some rows, this machine, and what matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from graft.models.catalog import CatalogModel, read_catalog
from graft.models.facts import catalog_facts
from graft.models.license_terms import terms_of
from graft.models.load import Kind
from graft.planning.model_needs import model_needs

Goal = Literal["time", "size", "quality"]
MOST_OF_MEMORY = 0.8
"""The share of the free memory that a training may be estimated to take."""
LARGEST_ON_CPU = 2_000_000_000
"""Parameters; a larger model takes days on the processors of a desktop."""
SMALL_ENCODER = 60_000_000
"""Parameters up to which all weights of an encoder are trained."""


@dataclass(frozen=True)
class Suggestion:
    """A model that suits.

    Attributes:
        name: What ``--model`` takes.
        model: Its entry in the catalog.
        method: The tuning method.
        memory_mb: The estimated memory of the training.
    """

    name: str
    model: CatalogModel
    method: str
    memory_mb: int


def suggest(kind: Kind, language: str | None, goal: Goal, memory_mb: float, gpu: bool = False) -> list[Suggestion]:
    """Return models that suit, the best first.

    Args:
        kind: What a model must be.
        language: The ISO 639-1 code of most texts, which the model's card must name; None if it is not known.
        goal: What matters most: a short training and a small model (``time``, ``size``), or the scores (``quality``).
        memory_mb: The free memory.
        gpu: Whether the training runs on a GPU, where large models are no question of time.
    """
    found = [one for one in _fitting(kind, language, MOST_OF_MEMORY * memory_mb) if gpu or _is_quick(one)]
    if goal == "quality":
        return sorted(found, key=lambda one: one.model.parameters, reverse=True)
    if goal == "size":
        return sorted(found, key=lambda one: one.model.parameters)
    return sorted(found, key=lambda one: (one.model.embedded is None, one.model.parameters))


def method_of(kind: Kind, parameters: int) -> str:
    """Return the tuning method: a small encoder is trained whole."""
    return "full" if kind == "encoder" and parameters <= SMALL_ENCODER else "lora"


def _is_quick(suggestion: Suggestion) -> bool:
    return suggestion.model.parameters <= LARGEST_ON_CPU


def _fitting(kind: Kind, language: str | None, limit: float) -> Iterator[Suggestion]:
    for model in read_catalog():
        if model.kind != kind or model.config is None or model.gated or not _is_open(model):
            continue
        if language is not None and language not in (model.languages or ()):
            continue
        needs = model_needs(catalog_facts(model).text_config, model.parameters, kind)
        if kind == "causal" and (needs.engine == "plain" or model.model_type == "gpt2"):
            continue
        method = method_of(kind, model.parameters)
        memory = needs.full_mb if method == "full" else needs.lora_mb
        if memory <= limit:
            yield Suggestion(model.embedded or model.id, model, method, memory)


def _is_open(model: CatalogModel) -> bool:
    return terms_of(model.license).commercial in ("yes", "conditions")
