"""The labels that a task's output layer chooses from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graft.runs.manifest import LabelSpaceRecord


@dataclass(frozen=True)
class LabelSpace:
    """The labels of a classification head.

    Attributes:
        names: The labels, in the order of the head's outputs. Empty for a task without such a head.
        problem: ``problem_type`` of transformers' configuration, or None.
    """

    names: tuple[str, ...] = ()
    problem: str | None = None

    def as_config(self) -> dict[str, Any]:
        """Return the entries of the model's configuration: ``id2label``, ``label2id``, ``problem_type``."""
        if not self.names:
            return {}
        config: dict[str, Any] = {
            "id2label": dict(enumerate(self.names)),
            "label2id": {name: index for index, name in enumerate(self.names)},
        }
        return {**config, "problem_type": self.problem} if self.problem else config

    def as_record(self) -> dict[str, Any]:
        """Return the manifest's entry: ``LabelSpaceRecord``."""
        return {"names": list(self.names), "problem": self.problem}

    @classmethod
    def from_record(cls, record: LabelSpaceRecord) -> LabelSpace:
        """Read the labels from a run's manifest."""
        return cls(tuple(record.names), record.problem)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LabelSpace:
        """Read the labels from a model folder's configuration."""
        names = config.get("id2label") or {}
        ordered = tuple(str(names[key]) for key in sorted(names, key=int))
        return cls(ordered, config.get("problem_type"))
