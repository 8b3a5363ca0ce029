"""What a method of tuning is."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from graft.config import FinetuneSettings
from graft.errors import GraftError


class Method(Protocol):
    """``writes`` is the folder of a run that ``save`` fills: ``adapter``, or ``model`` when all weights are tuned."""

    name: str
    writes: str
    learning_rate: float
    """The peak learning rate to start from, when none is given."""
    uses: frozenset[str]
    """The fields of ``MethodSettings`` that mean something to it; that another is given is an error."""

    def prepare(self, model: Any, settings: FinetuneSettings) -> Any:
        """``model`` with what is to be tuned requiring gradients, initialised by ``settings.seed``.

        Raises:
            InputError: when the settings don't fit the model.
        """
        ...

    def save(self, model: Any, run_folder: Path) -> None:
        """Write what was tuned into ``run_folder``, whole or not at all."""
        ...


def trainable_parameters(model: Any) -> tuple[int, int]:
    """The numbers of parameters that are trained, and of all, also of those that are packed in int4."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    packed = sum(module.in_features * module.out_features for module in model.modules() if hasattr(module, "packed"))
    return sum(count for count, trained in counts if trained), sum(count for count, _ in counts) + packed


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """``folder`` with the files that ``write`` makes: each file comes into place when all of them are complete.

    Files that are replaced may be links to a base's: they are renamed over, never written into.

    Raises:
        GraftError: when there is no room or no permission; what was there stays.
    """
    from safetensors import SafetensorError

    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        if folder.exists():
            for file in sorted(temporary.iterdir()):
                Path(file).replace(folder / file.name)
        else:
            Path(temporary).replace(folder)
    except (OSError, SafetensorError) as error:
        raise GraftError(f"cannot be written: {error}", where=str(folder), remedy="make room, then go on") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
