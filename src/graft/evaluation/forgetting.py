"""What a run has forgotten: neutral prompts that have nothing to do with its task, answered by base and tuned.

The base's own greedy answers are the reference. A model that still has the abilities of its base finds them nearly as
likely as the base does; this needs no right answers, and works for every base.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from graft.data.example import AnswerExample, Origin
from graft.evaluation.answered_label import answered_label
from graft.evaluation.metrics.likelihood import MOST_NATS
from graft.inference.predictor import Predictor
from graft.progress import Reporter
from graft.runs.forgetting_record import CHANGED, KEPT, LOST

FILE = "forgetting_prompts.json"
MOST_NEW_TOKENS = 48
"""Tokens of an answer: the first sentences show what a model can do, and longer ones cost more than they say."""
LOST_RISE = 0.8
"""Nats a token above the base from which on the abilities are lost; see ``docs/explanation/forgetting.md``."""
CHANGED_RISE = 0.3
LOST_LABELS = 0.4
"""The share of neutral prompts that are answered with a label of the task, from which on the abilities are lost."""
CHANGED_LABELS = 0.1
SAMPLES, SEED = 1000, 42


@dataclass(frozen=True)
class Prompt:
    """A neutral prompt and its kind, such as ``arithmetic``."""

    kind: str
    text: str

    def example(self) -> AnswerExample:
        """Return it as a row without an answer."""
        return AnswerExample(({"role": "user", "content": self.text},), "", Origin(FILE, 1))


@dataclass(frozen=True)
class Reference:
    """What the base says: its greedy answer to each prompt, and how likely it finds it.

    Attributes:
        answers: An answer for each prompt.
        nats: Its negative log-likelihood, end token included.
        tokens: Its tokens, end token included.
    """

    answers: list[str]
    nats: list[float]
    tokens: list[int]


def prompts() -> list[Prompt]:
    """Return the neutral prompts that come with graft."""
    document = json.loads(files("graft.evaluation").joinpath(FILE).read_text(encoding="utf-8"))
    return [Prompt(entry["kind"], entry["prompt"]) for entry in document["prompts"]]


def prompts_sha256(asked: Sequence[Prompt]) -> str:
    """Return the SHA-256 of prompts, and of how much of an answer is read."""
    text = json.dumps([MOST_NEW_TOKENS, *([one.kind, one.text] for one in asked)], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def reference(base: Predictor, asked: Sequence[Prompt], reporter: Reporter) -> Reference:
    """Ask the base for its answers, and how likely it finds them."""
    answers = _answers(base, asked, reporter)
    nats, tokens = _nats(base, asked, answers)
    return Reference(answers, nats, tokens)


def forgotten(
    tuned: Predictor,
    known: Reference,
    asked: Sequence[Prompt],
    labels: Sequence[str] | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Return ``forgetting`` of evaluation.json.

    Args:
        tuned: The tuned model.
        known: What the base says.
        asked: The prompts.
        labels: The labels of the task, where its answers are classes.
        reporter: Shows the progress.
    """
    answers = _answers(tuned, asked, reporter)
    nats, _ = _nats(tuned, asked, known.answers)
    before, after, tokens = (np.array(each, float) for each in (known.nats, nats, known.tokens))
    rise, low, high = _interval(after - before, tokens)
    same = np.array([a == b for a, b in zip(answers, known.answers, strict=True)], float)
    found: dict[str, Any] = {
        "prompts": len(asked),
        "prompts_sha256": prompts_sha256(asked),
        "max_new_tokens": MOST_NEW_TOKENS,
        **_shares(before, after, tokens, same),
        "rise": rise,
        "low": low,
        "high": high,
        "length_ratio": _ratio(answers, known.answers),
        **_label_shares(labels, answers, known.answers),
    }
    found["judgment"] = judgment(found)
    kinds = [one.kind for one in asked]
    places = {kind: [n for n, other in enumerate(kinds) if other == kind] for kind in dict.fromkeys(kinds)}
    found["kinds"] = {
        kind: {"prompts": len(at), **_shares(before[at], after[at], tokens[at], same[at])}
        for kind, at in places.items()
    }
    found["answers"] = [
        {"kind": one.kind, "prompt": one.text, "base": old, "tuned": new, "rise": round(float(more), 4)}
        for one, old, new, more in zip(asked, known.answers, answers, (after - before) / tokens, strict=True)
    ]
    return found


def judgment(found: Mapping[str, Any]) -> str:
    """Return ``kept``, ``changed`` or ``lost``: the thresholds are from runs that were broken on purpose."""
    more = (found.get("label_answers") or 0.0) - (found.get("base_label_answers") or 0.0)
    if found["rise"] >= LOST_RISE or more >= LOST_LABELS:
        return LOST
    return CHANGED if found["rise"] >= CHANGED_RISE or more >= CHANGED_LABELS else KEPT


def _answers(predictor: Predictor, asked: Sequence[Prompt], reporter: Reporter) -> list[str]:
    what = f"{predictor.name}: neutral prompts"
    examples = [one.example() for one in asked]
    return predictor.generate(examples, MOST_NEW_TOKENS, lambda done, total: reporter.advance(what, done, total))


def _nats(predictor: Predictor, asked: Sequence[Prompt], answers: Sequence[str]) -> tuple[list[float], list[int]]:
    scored = predictor.score([one.example() for one in asked], [[answer] for answer in answers])
    first = [row[0] for row in scored]
    tokens = [max(1, score.tokens) for score in first]
    nats = [_bounded(-score.log_likelihood, count) for score, count in zip(first, tokens, strict=True)]
    return nats, tokens


def _bounded(nats: float, tokens: int) -> float:
    """At most ``MOST_NATS`` a token: weights that are no numbers give no finite likelihood."""
    return round(nats if nats < MOST_NATS * tokens else MOST_NATS * tokens, 4)


def _shares(before: Any, after: Any, tokens: Any, same: Any) -> dict[str, float]:
    return {
        "base_nats": round(float(before.sum() / tokens.sum()), 4),
        "tuned_nats": round(float(after.sum() / tokens.sum()), 4),
        "same_answers": round(float(same.mean()), 4),
    }


def _interval(more: Any, tokens: Any) -> tuple[float, float, float]:
    """Return the rise in nats a token, and its 95 % percentile bootstrap interval over the prompts."""
    weights = np.random.default_rng(SEED).multinomial(len(more), np.full(len(more), 1 / len(more)), size=SAMPLES)
    low, high = np.percentile((weights @ more) / (weights @ tokens), [2.5, 97.5])
    return round(float(more.sum() / tokens.sum()), 4), round(float(low), 4), round(float(high), 4)


def _ratio(answers: Sequence[str], before: Sequence[str]) -> float | None:
    old = sum(map(len, before))
    return round(sum(map(len, answers)) / old, 4) if old else None


def _label_shares(labels: Sequence[str] | None, *answered: Sequence[str]) -> dict[str, float]:
    if not labels:
        return {}
    names = ("label_answers", "base_label_answers")
    shares = ([bool(answered_label(answer, labels)) for answer in answers] for answers in answered)
    return {name: round(float(np.mean(share)), 4) for name, share in zip(names, shares, strict=True)}
