"""What a metric says of itself: the part of it that evaluation.json keeps, so that a report needs no metric's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

Direction = Literal["higher", "lower"]
Need = Literal["generation", "choice", "likelihood"]
MINUS = "\N{MINUS SIGN}"
USUAL_TOKENIZER = "13a"
"""Of sacrebleu; others are named beside the metric."""


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """A metric's description.

    Attributes:
        name: The name on the command line, and the key in evaluation.json.
        title: The name in a sentence, such as ``macro-F1``. Default: the name with blanks for underscores.
        meaning: What the metric measures, in one phrase.
        direction: Whether a higher or a lower value is better.
        digits: Decimals to show.
        scale: The largest value, for values from 0 to it, or None where values have no upper bound. A loss of quality
            is judged relative to it.
        hub_name: The name of the same metric on the Hugging Face hub (``metric_type`` of a model card). Default: the
            name.
        needs: What a predictor must give: a generated answer, a choice among the labels, or a likelihood.
        support_unit: What is counted as the support of a class: rows, or entities, of which a row has any number.
        has_majority_baseline: Whether the share of the most frequent label is the value of a constant answer.
        compares_text: Whether it compares the text of an answer with that of the reference, so that ``--normalize``
            applies.
        tokenizer: How sacrebleu cuts the texts, for a metric that it computes.
        normalize: What ``--normalize`` took out of answers and references before.
    """

    name: str
    title: str = ""
    meaning: str = ""
    direction: Direction = "higher"
    digits: int = 3
    scale: float | None = 1.0
    hub_name: str = ""
    needs: Need = "generation"
    support_unit: str = "rows"
    has_majority_baseline: bool = False
    compares_text: bool = False
    tokenizer: str = ""
    normalize: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.name.replace("_", " "))
        object.__setattr__(self, "hub_name", self.hub_name or self.name)
        object.__setattr__(self, "normalize", tuple(self.normalize))
        if self.direction not in ("higher", "lower"):
            raise ValueError(f"the direction of {self.name} is {self.direction!r}; it must be 'higher' or 'lower'")

    @property
    def short_heading(self) -> str:
        """The title with a capital letter."""
        return self.title[:1].upper() + self.title[1:]

    @property
    def heading(self) -> str:
        """The label with a capital letter."""
        return self.label[:1].upper() + self.label[1:]

    @property
    def label(self) -> str:
        """The title with how the texts were read, where that is not as usual: ``BLEU (zh)``."""
        tokenizer = [] if self.tokenizer == USUAL_TOKENIZER else [self.tokenizer]
        notes = [*tokenizer, f"normalized: {', '.join(self.normalize)}" if self.normalize else ""]
        note = "; ".join(filter(None, notes))
        return f"{self.title} ({note})" if note else self.title

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value is better."""
        return self.direction == "lower"

    def figure(self, value: float, sign: bool = False) -> str:
        """Return ``value`` with the metric's decimals; with a plus where it is positive if ``sign``.

        The minus is U+2212 in every report, card and terminal; what rounds to zero has no sign.
        """
        text = f"{abs(value):.{self.digits}f}"
        if not text.strip("0."):
            return text
        return f"{MINUS if value < 0 else '+' if sign else ''}{text}"

    def as_record(self) -> dict[str, Any]:
        """Return the entry of evaluation.json, which ``from_record`` reads back."""
        return {field.name: getattr(self, field.name) for field in fields(MetricInfo) if field.name != "name"}

    @classmethod
    def from_record(cls, name: str, record: Mapping[str, Any]) -> MetricInfo:
        """Read what ``as_record`` wrote; unknown entries are ignored, missing ones get their defaults.

        Raises:
            ValueError: If an entry has a value that no metric can have.
        """
        known = {field.name for field in fields(MetricInfo)} - {"name"}
        return MetricInfo(name=name, **{key: value for key, value in record.items() if key in known})
