"""The rows that a model is evaluated on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from graft.data.example import Example, MultiLabelExample
from graft.data.example_set import ExampleSet
from graft.data.spelling import composed
from graft.data.split import sample

SEED = 42
"""Seed of the drawn rows and of the bootstrap: evaluating twice gives the same numbers."""


@dataclass(frozen=True)
class EvaluationRows:
    """The rows to evaluate on.

    Attributes:
        examples: The rows.
        labels: The classes that an answer is one of, or None where answers are free text.
        source: Where the rows come from: ``path``, ``rows`` and ``sha256``, as evaluation.json records them.
        kind: What the columns were recognized as.
    """

    examples: list[Example]
    labels: list[str] | None
    source: dict[str, Any]
    kind: str = ""

    @property
    def references(self) -> list[str]:
        """The right answers, in the order of the rows; a class in the form of Unicode that its label has."""
        labels = {composed(label): label for label in reversed(self.labels or ())}
        same = {label: label for label in self.labels or ()}
        found = (example.reference for example in self.examples)
        return [same.get(text) or labels.get(composed(text), text) for text in found]

    @property
    def has_classes(self) -> bool:
        """Whether an answer is a class, or several labels."""
        return bool(self.labels) or isinstance(self.examples[0], MultiLabelExample)

    @property
    def alternatives(self) -> list[tuple[str, ...]] | None:
        """The further right answers of each row; None where all rows have one."""
        found = [example.alternatives for example in self.examples]
        return found if any(found) else None

    @property
    def written(self) -> list[str]:
        """The right answers with the reasoning before them, in the order of the rows; then the further ones."""
        others = (text for example in self.examples for text in example.alternatives)
        return [*(example.written for example in self.examples), *others]

    def first(self, count: int) -> EvaluationRows:
        """Return the first ``count`` rows."""
        return self._with(self.examples[:count])

    def sampled(self, count: int | None) -> EvaluationRows:
        """Return at most ``count`` rows, drawn with a fixed seed; all of them when ``count`` is None."""
        if count is None or len(self.examples) <= count:
            return self
        drawn = sample(ExampleSet.of(self.examples), count, SEED, self.labels)
        return self._with(list(drawn.examples))

    def rows_of(self, others: EvaluationRows) -> EvaluationRows:
        """Return those rows that ``others``, read from the same places in another form, have."""
        kept = {example.origin for example in others.examples}
        return self._with([example for example in self.examples if example.origin in kept])

    def _with(self, examples: list[Example]) -> EvaluationRows:
        return replace(self, examples=examples, source={**self.source, "rows": len(examples)})
