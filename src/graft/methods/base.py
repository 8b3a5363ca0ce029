"""The contract of a tuning method."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from graft.config import Settings
from graft.errors import GraftError, InputError
from graft.files import usual_mode

C = TypeVar("C", bound=Settings)


class Method(Protocol[C]):
    """A tuning method: selects the weights to train, saves them, and loads them.

    A method is one file. Subclass this class for the defaults, and register the object (or the class) by an entry
    point of the group ``graft.method``, or name it as ``--method path/to/file.py:NAME``. The fields of ``Config`` are
    automatically options of ``graft finetune``, in YAML and in ``--help`` as well.
    """

    name: str
    """What ``--method`` takes, and what messages call it."""
    title: str
    """For reports and model cards: ``LoRA``, ``full fine-tuning``."""
    help: str
    """One line for ``graft finetune --help``, without a capital and a full stop."""
    Config: type[C] = Settings  # type: ignore[assignment]
    """The options that only this method (and methods like it) take."""
    learning_rate: float = 1e-3
    """The peak learning rate to start from when none is given."""
    writes: Literal["adapter", "model"] = "adapter"
    """The folder of a run that ``save`` fills: ``adapter``, or ``model`` when the tuned weights replace the base's."""
    loads_with: Literal["peft", "transformers", "graft"] = "graft"
    """The library that alone loads what ``save`` wrote; a model card shows how."""
    trains_base: bool = False
    """Whether the base's own weights are trained, so that they need gradients and optimizer states."""
    trains_new_tokens: bool = False
    """Whether ``prepare`` trains the rows of the embeddings in ``model.new_token_ids``."""
    quantizes: bool = False
    """Whether ``prepare`` quantizes the base, which then comes as ``graft.models.stored.load_to_quantize`` loads it."""
    mergeable: bool = False
    """Whether ``merge`` gives one plain model, which export needs."""

    def prepare(self, model: Any, config: C, seed: int, heads: Sequence[str]) -> Any:
        """Make ``model`` ready for training.

        Args:
            model: the base, a ``transformers`` model. It may be changed in place.
            config: this method's settings.
            seed: seed of all randomness; the global generators stay unchanged.
            heads: full names of layers that the task has added, such as a classifier. They are new, so they have to
                be trained whole, and saved with the rest.

        Returns:
            The model to train. Only the tuned parameters require gradients.

        Raises:
            InputError: when the settings do not match the model.
        """
        ...

    def save(self, model: Any, run_folder: Path) -> None:
        """Write the tuned weights into ``run_folder / self.writes``, atomically (see ``write_folder``).

        Raises:
            GraftError: when the folder cannot be written; existing files stay unchanged.
        """
        ...

    def load(self, model: Any, folder: Path, trainable: bool = False) -> Any:
        """Load the saved weights into a base model.

        Args:
            model: the base, loaded as for ``prepare``. It may be changed in place. Of a method that writes ``model``
                it is the tuned model already.
            folder: ``run_folder / self.writes``.
            trainable: whether training continues.

        Returns:
            The tuned model: the same function as when it was saved.

        Raises:
            InputError: when what is in the folder does not fit the model.
        """
        ...

    def disabled(self, model: Any) -> AbstractContextManager[Any] | None:
        """Return a context manager that makes the tuned ``model`` behave like its base.

        Returns:
            None when the tuned model cannot act as its base; graft then loads the base a second time.
        """
        return None

    def merge(self, model: Any) -> Any:
        """One plain ``transformers`` model with the same answers as ``model``, which is used up.

        Raises:
            InputError: when what was tuned does not fold into the base's weights (``mergeable`` is False).
        """
        raise InputError(
            f"{self.title} weights cannot be merged into the base model",
            remedy="use the PyTorch model, or train with --method lora",
        )

    def less_capacity(self, config: C) -> Mapping[str, tuple[float, float]]:
        """Settings of ``Config`` against overfitting: each name with its value in ``config`` and the value to use."""
        return {}


def trainable_parameters(model: Any) -> tuple[int, int]:
    """The numbers of parameters that are trained, and of all, those that are packed in int4 included."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    packed = sum(module.in_features * module.out_features for module in model.modules() if hasattr(module, "packed"))
    return sum(count for count, trained in counts if trained), sum(count for count, _ in counts) + packed


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill ``folder`` with the files that ``write`` makes, each put in place when all of them are complete.

    Files that are replaced may be links to a base's: they are renamed over, never written into.

    Raises:
        GraftError: when there is no space or no permission; existing files stay unchanged.
    """
    from safetensors import SafetensorError

    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        for file in temporary.iterdir():
            if file.is_file():
                file.chmod(usual_mode())  # safetensors writes files that nobody else can read
        if folder.exists():
            for file in sorted(temporary.iterdir()):
                Path(file).replace(folder / file.name)
        else:
            Path(temporary).replace(folder)
    except (OSError, SafetensorError) as error:
        raise GraftError(
            f"cannot write the folder: {error}", where=str(folder), remedy="free some space, then resume"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
