"""What a loss is. One's own is a function, a class, or an nn.Module; the built-in ones are a class with its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from graft.config import Settings


class Loss:
    """A loss of logits at targets: called ``(logits, labels)`` or ``(logits, labels, batch)``.

    A loss is one file. Its constructor takes ``--loss_arguments``; its ``Config``, when it has one, gives the same as
    options. A loss that needs the training rows has ``prepare(rows, tokenizer)``.

    Attributes:
        name: the name on the command line.
        title: the name in a sentence.
        help: one sentence on what it does.
        Config: its options.
        parameters: option of ``Config`` to the constructor's parameter, where the two names differ.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    help: ClassVar[str] = ""
    Config: ClassVar[type[Settings]] = Settings
    parameters: ClassVar[Mapping[str, str]] = {}


def given_arguments(loss: Any, settings: Settings) -> dict[str, Any]:
    """The constructor's arguments that are given as options of the loss.

    Args:
        loss: a loss, or anything that a user calls one.
        settings: the settings of a run, with the options of its components.
    """
    config = getattr(loss, "Config", None)
    if not (isinstance(config, type) and issubclass(config, Settings)):
        return {}
    parameters: Mapping[str, str] = getattr(loss, "parameters", {})
    given = [name for name in config.model_fields if name in settings.model_fields_set]
    return {parameters.get(name, name): getattr(settings, name) for name in given}
