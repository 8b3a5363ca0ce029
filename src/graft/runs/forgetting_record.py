"""``forgetting`` of evaluation.json: what a run has forgotten of what its base could do."""

from __future__ import annotations

from pydantic import Field

from graft.runs.record import Count, Record

KEPT, CHANGED, LOST = "kept", "changed", "lost"


class ForgettingKindRecord(Record):
    """A kind of prompts, such as arithmetic: nats a token of both models, and the share of same answers."""

    prompts: Count
    base_nats: float
    tuned_nats: float
    same_answers: float


class ForgettingAnswerRecord(Record):
    """The answers to one prompt. ``rise`` is how many more nats a token the base's answer costs the tuned model."""

    kind: str
    prompt: str
    base: str
    tuned: str
    rise: float


class ForgettingRecord(Record):
    """How a tuned model answers neutral prompts that have nothing to do with its task.

    Attributes:
        prompts: The number of prompts.
        prompts_sha256: The SHA-256 of the prompts.
        max_new_tokens: The maximum number of tokens in an answer.
        base_nats: Nats a token of the base's own greedy answers, by the base.
        tuned_nats: The same by the tuned model.
        rise: How much higher that is, with its 95 % interval over the prompts.
        same_answers: The share of prompts that both answer the same.
        length_ratio: Characters in all answers of the tuned model, by those of the base.
        label_answers: The share of answers of the tuned model that are a label of its task; None without labels.
        base_label_answers: The same of the base.
        judgment: ``kept``, ``changed`` or ``lost``.
        kinds: By kind of prompt.
        answers: All answers.
    """

    prompts: Count
    prompts_sha256: str = ""
    max_new_tokens: Count | None = None
    base_nats: float
    tuned_nats: float
    rise: float
    low: float | None = None
    high: float | None = None
    same_answers: float
    length_ratio: float | None = None
    label_answers: float | None = None
    base_label_answers: float | None = None
    judgment: str
    kinds: dict[str, ForgettingKindRecord] = Field(default_factory=dict)
    answers: list[ForgettingAnswerRecord] = Field(default_factory=list)
