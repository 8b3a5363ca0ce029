"""Whether a loss can be called as training will call it, checked before anything is loaded or written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from graft.errors import InputError

Kind = Literal["targets", "pairs"]
"""``targets``: of logits and labels; ``pairs``: of two embeddings and whether they differ."""

EXPECTED: dict[Kind, str] = {
    "targets": (
        "(logits, labels) or (logits, labels, batch), with logits (N, vocabulary) and labels (N) at the N trained "
        "tokens, and returns N losses or their mean"
    ),
    "pairs": "(output1, output2, label), with two embeddings (B, d) and labels (B), and returns B losses or their mean",
}
USED_FOR: dict[Kind, str] = {
    "targets": "tasks that train on tokens or classes",
    "pairs": "sentence pairs (--task feature-extraction)",
}
_LABELS = frozenset({"label", "labels", "target", "targets", "y", "y_true", "is_different", "similar", "similarity"})


@dataclass(frozen=True)
class Signature:
    """``name`` as one would say it, and the positional parameters: all of them, and how many must be given."""

    name: str
    parameters: tuple[str, ...]
    required: int
    any_number: bool

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.parameters)}{', *args' if self.any_number else ''})"

    @property
    def is_for_pairs(self) -> bool:
        """Two things and a label, as in ``forward(output1, output2, label)``."""
        names = [name.lower() for name in self.parameters[:3]]
        return len(names) == 3 and self.required == 3 and names[2] in _LABELS and names[1] not in _LABELS

    @property
    def takes_batch(self) -> bool:
        """Whether it is called ``(logits, labels, batch)``."""
        if self.any_number or self.required >= 3:
            return True
        return len(self.parameters) >= 3 and self.parameters[2] == "batch"


def signature_of(loss: Callable[..., Any], name: str) -> Signature:
    """The signature of a function, or of a module's ``forward``."""
    called = getattr(loss, "forward", loss)
    title = f"{name}.forward" if called is not loss else name
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):  # of compiled functions nothing is known
        return Signature(title, (), 0, True)
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    only_named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if only_named:
        raise InputError(
            f"{title} requires the keyword arguments {', '.join(only_named)}, which graft does not pass",
            where="--loss",
            remedy=f"--loss_arguments {only_named[0]}=…",
        )
    required = sum(p.default is p.empty for p in positional)
    return Signature(
        title, tuple(p.name for p in positional), required, any(p.kind is p.VAR_POSITIONAL for p in parameters)
    )


def check(signature: Signature, kind: Kind) -> None:
    """Check how the loss can be called.

    Raises:
        InputError: with the signature that was expected, when the loss cannot be called so.
    """
    other: Kind = "targets" if kind == "pairs" else "pairs"
    least, most = (2, 3) if kind == "targets" else (3, 3)
    callable_so = signature.required <= most and (signature.any_number or len(signature.parameters) >= least)
    first = signature.parameters[0].lower() if signature.parameters else ""
    swapped = first in _LABELS
    meant_for_other = not signature.any_number and signature.is_for_pairs == (kind == "targets")
    if kind == "pairs":
        meant_for_other = {"logits", "batch"} & set(signature.parameters[:3]) != set()
    if callable_so and not swapped and not meant_for_other:
        return
    hint = f"; this one is for {USED_FOR[other]}" if callable_so and meant_for_other and not swapped else ""
    raise InputError(
        f"{signature} has the wrong signature: a loss is called with {EXPECTED[kind]}{hint}",
        where="--loss",
        remedy="change its parameters, or wrap it in a function that has them",
    )
