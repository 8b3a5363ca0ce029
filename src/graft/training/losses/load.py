"""From ``--loss`` to a loss that training can call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from graft.errors import GraftError, InputError
from graft.training.losses import LOSSES
from graft.training.losses.signature import EXPECTED, Kind, check, signature_of

TRIAL_TARGETS = 4


def load_loss(
    reference: str,
    arguments: Mapping[str, Any] | None = None,
    kind: Kind = "targets",
    classes: int = 16,
    several: bool = False,
) -> Callable[..., Any]:
    """The loss that ``reference`` names, to be called ``(logits, labels, batch)``, or ``(output1, output2, label)``.

    One that a user brings is tried once on a few random values of ``classes`` classes; with ``several``, labels say of
    each class whether it holds.

    Raises:
        InputError: when there is no such loss, its constructor or signature does not fit, or the trial fails.
    """
    name = reference.rpartition(":")[2]
    loss = _built(LOSSES.get(reference), name, dict(arguments or {}))
    signature = signature_of(loss, name)
    check(signature, kind)
    called = loss if kind == "pairs" or signature.takes_batch else _WithoutBatch(loss)
    if reference not in LOSSES.builtin:
        _refuse_parameters(loss, name)
        if kind == "pairs":
            _try_pairs(called, name)
        else:
            _try_targets(called, name, classes, several)
    return called


class _WithoutBatch:
    """A loss of logits and labels alone."""

    def __init__(self, loss: Callable[..., Any]) -> None:
        self.loss = loss

    def __call__(self, logits: Any, labels: Any, batch: Any) -> Any:
        return self.loss(logits, labels)


def _built(found: Any, name: str, arguments: dict[str, Any]) -> Callable[..., Any]:
    """A class is constructed; arguments of a function are bound.

    Raises:
        InputError: when the arguments don't fit, or it is no function at all.
    """
    if not callable(found):
        raise InputError(f"{name} is a {type(found).__name__}, not a function or a class", where="--loss")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        signature = None
    unknown = [a for a in arguments if signature is not None and not _takes(signature, a)]
    if unknown:
        raise InputError(
            f"{name}{signature} has no {', '.join(unknown)}", where="loss_arguments", remedy=_takers(unknown)
        )
    if not inspect.isclass(found):
        bound: Callable[..., Any] = partial(found, **arguments) if arguments else found
        return bound
    try:
        made = found(**arguments)
    except (TypeError, ValueError) as error:
        remedy = f"--loss_arguments name=value for {name}{signature}"
        raise InputError(f"{name} cannot be constructed: {error}", where="--loss", remedy=remedy) from error
    if not callable(made):
        raise InputError(
            f"{name} can be constructed but is not callable", where="--loss", remedy="make it a torch module"
        )
    return made


def _takers(arguments: list[str]) -> str:
    """Which losses there are that have these arguments."""
    signatures = {name: inspect.signature(LOSSES.get(name)) for name in LOSSES.builtin}
    found = [
        f"--loss {name} has {argument}"
        for argument in arguments
        for name, signature in signatures.items()
        if _takes(signature, argument)
    ]
    return "; ".join(found)


def _takes(signature: inspect.Signature, name: str) -> bool:
    parameters = signature.parameters.values()
    return name in signature.parameters or any(p.kind is p.VAR_KEYWORD for p in parameters)


def _refuse_parameters(loss: Any, name: str) -> None:
    from torch import nn

    if isinstance(loss, nn.Module) and any(p.requires_grad for p in loss.parameters()):
        raise InputError(
            f"{name} has parameters of its own, which training would not update",
            where="--loss",
            remedy="make them buffers (register_buffer), or freeze them with requires_grad_(False)",
        )


def _try_targets(loss: Callable[..., Any], name: str, classes: int, several: bool) -> None:
    import torch

    labels = torch.arange(TRIAL_TARGETS) % classes
    if several:
        labels = torch.nn.functional.one_hot(labels, classes).float()
    logits = torch.randn(TRIAL_TARGETS, classes, generator=torch.Generator().manual_seed(0)).requires_grad_()
    batch = {
        "input_ids": torch.zeros(1, TRIAL_TARGETS + 1, dtype=torch.long),
        "labels": labels,
        "target_rows": torch.zeros(TRIAL_TARGETS, dtype=torch.long),
    }
    _try(loss, (logits, labels, batch), name, "targets", 2 if several else 1)


def _try_pairs(loss: Callable[..., Any], name: str) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    pair = [torch.randn(TRIAL_TARGETS, 8, generator=generator).requires_grad_() for _ in range(2)]
    _try(loss, (*pair, torch.tensor([0.0, 1.0] * (TRIAL_TARGETS // 2))), name, "pairs", 1)


def _try(loss: Callable[..., Any], given: tuple[Any, ...], name: str, kind: Kind, most: int) -> None:
    """``most``: dimensions of what the loss may return."""
    import torch

    shapes = ", ".join(str(tuple(value.shape)) for value in given if isinstance(value, torch.Tensor))
    try:
        found = loss(*given)
    except GraftError:
        raise
    except Exception as error:  # whatever a user's code may raise
        said = f"{type(error).__name__}: {error}"
        what = f"{name} fails on tensors of shape {shapes}: {said}"
        raise InputError(what, where="--loss", remedy=_expected(kind)) from error
    wrong = _what_is_wrong(found, TRIAL_TARGETS, most)
    if wrong:
        raise InputError(f"{name} returns {wrong}", where="--loss", remedy=_expected(kind))


def _what_is_wrong(found: Any, count: int, most: int) -> str:
    import torch

    if not isinstance(found, torch.Tensor):
        return f"a {type(found).__name__}, not a tensor"
    if found.shape[:1] not in {(), (count,)} or found.ndim > most:
        return f"a tensor of shape {tuple(found.shape)} for {count} targets"
    if not found.requires_grad:
        return "a tensor without a gradient, so training would change nothing"
    if not bool(torch.isfinite(found).all()):
        return f"{found.tolist()} for random values"
    return ""


def _expected(kind: Kind) -> str:
    return f"a loss is called with {EXPECTED[kind]}"
