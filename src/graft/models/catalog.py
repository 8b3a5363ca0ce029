"""Models that people tune, as their makers' cards describe them: a data file, read without a connection."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from graft.models.load import Kind
from graft.runs.record import Count, Record, validate

FILE = Path(__file__).parent / "catalog.json"
Code = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


class CatalogModel(Record):
    """A model of the catalog. What is not known for certain is missing.

    Attributes:
        id: The Hub ID.
        model_type: As its config.json has it.
        kind: Whether it generates, reads, or does both with two parts.
        parameters: Of the part that reads text; tied embeddings count once.
        context: The longest input in tokens.
        languages: ISO 639-1 codes of the languages that its card or ``languages_source`` names.
        language_count: How many languages are claimed there, which may be more than are named.
        license: As its card names it.
        gated: Whether the Hub asks for an account that has accepted the terms.
        stored_as: The number format of the published weights.
        embedded: The name by which graft downloads it as a Python package.
        also_holds: What else is in the published files.
        source: The model card.
        languages_source: What else names its languages, such as the makers' report.
        looked_up: When the entry was written.
        config: The sizes in its config.json, of the part that reads text.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    model_type: str
    kind: Kind
    parameters: Count
    context: Count | None = None
    languages: list[Code] | None = None
    language_count: Count | None = None
    license: str | None = None
    gated: bool | None = None
    stored_as: Literal["float32", "bfloat16", "float16"] | None = None
    embedded: str | None = None
    also_holds: str | None = None
    source: Annotated[str, Field(pattern=r"^https://")]
    languages_source: Annotated[str, Field(pattern=r"^https://")] | None = None
    looked_up: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    config: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The last part of the Hub ID."""
        return self.id.rpartition("/")[2]


@lru_cache(1)
def read_catalog() -> tuple[CatalogModel, ...]:
    """Return the models of the catalog, by maker and size."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(validate(CatalogModel, entry, str(FILE)) for entry in found)


def find_in_catalog(name: str) -> CatalogModel | None:
    """Return the model with this Hub ID, the last part of one, or embedded name, in any letter case."""
    wanted = name.lower()
    return next((one for one in read_catalog() if wanted in names_of(one)), None)


def names_of(model: CatalogModel) -> tuple[str, ...]:
    """The names that a model is found by, in lower case."""
    return tuple(name.lower() for name in (model.id, model.name, model.embedded) if name)
