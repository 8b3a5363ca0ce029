"""Steps of a workflow: what is one, and those that there are. A step of one's own is a file and a class in it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from graft.commands.data_passes import PREPARE, data_pass, is_data
from graft.config import Settings, one_of
from graft.data.steps import STEPS
from graft.errors import InputError, Problems, did_you_mean
from graft.methods import METHODS
from graft.progress import Reporter
from graft.registry import Registry

KINDS = {
    "nothing": "nothing",
    "data": "a prepared data set",
    "run": "a run",
    "model": "a model folder",
    "bundle": "an exported bundle",
    "search": "a search",
    "something": "what a pass of one's own leaves",
}
"""The kinds of artifacts that go from pass to pass, as messages call them."""
ANYTHING = tuple(KINDS)
SAME = "same"
ALIASES = {
    "auto-opt": "export",
    "auto_opt": "export",
    "optimize": "export",
    "modelbuilder": "export",
    "mergeadapterweights": "merge",
    "generate_adapter": "generate-adapter",
    "eval": "evaluate",
}
"""Other names of passes; those without a dash are the types of Olive that do the same."""
_EXPORTS = "type: export builds and quantizes the ONNX model in one pass; choose its number format with precision"
OLIVE = {
    "onnxconversion": _EXPORTS,
    "onnxquantization": _EXPORTS,
    "onnxdynamicquantization": _EXPORTS,
    "onnxstaticquantization": _EXPORTS,
    "onnxmatmul4quantizer": _EXPORTS,
    "onnxblockwisertnquantization": _EXPORTS,
    "onnxfloattofloat16": "type: export with precision: float16",
    "orttransformersoptimization": _EXPORTS,
    "onnxpeepholeoptimizer": _EXPORTS,
    "gptq": "type: export with precision: int4 and rounding: gptq",
    "gptqmodel": "type: export with precision: int4 and rounding: gptq",
    "autogptq": "type: export with precision: int4 and rounding: gptq",
    "autoawq": "type: export with precision: int4",
    "extractadapters": "type: generate-adapter builds an ONNX base with hot-swappable adapters",
    "ortperftuning": "type: speed measures a model or a bundle on this machine",
    "ortsessionparamstuning": "type: speed measures a model or a bundle on this machine",
}
"""Types of Olive that graft does in another way, and how."""


@dataclass(frozen=True)
class Context:
    """What a pass gets beside the artifact.

    Attributes:
        output: The folder for this pass; nothing is there yet unless it resumes.
        reporter: Shows the work to a person.
        resume: Whether this pass was interrupted with the same inputs, and what it had written is in ``output``.
        workflow: The folder of the workflow.
    """

    output: Path
    reporter: Reporter
    resume: bool = False
    workflow: Path | None = None


class Pass(Protocol):
    """Constructed with its settings, a ``Config``.

    Attributes:
        Config: Its settings.
        needs: The extras that it takes, each with a module of it: ``("auto-opt", "onnx")``.
        takes: The kinds of artifacts that it can take, of ``KINDS``; ``nothing`` if it can be the first pass.
        instead: Settings that name its input: where one is given, it can take any artifact and can be the first pass.
        leaves: The kind of artifact that it leaves; ``same`` where it leaves what it took.
        resumes: Whether it can go on with what a killed process left in its folder.
        reads_all: Whether it reads what all passes before it have written, and so runs again if one of them did.
    """

    Config: ClassVar[type[Settings]] = Settings
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    takes: ClassVar[tuple[str, ...]] = ANYTHING
    instead: ClassVar[tuple[str, ...]] = ()
    leaves: ClassVar[str] = "something"
    resumes: ClassVar[bool] = False
    reads_all: ClassVar[bool] = False

    def __init__(self, settings: Any) -> None: ...

    def run(self, artifact: Path | None, context: Context) -> Path:
        """From what the pass before left (None: this is the first) to a file or folder of its own.

        A pass that leaves the ``same`` returns ``artifact``.
        """
        ...


PASSES: Registry[type[Pass]] = Registry(
    "pass",
    Pass,
    {
        "finetune": "graft.commands.model_passes:FinetunePass",
        "search": "graft.commands.search_pass:SearchPass",
        "evaluate": "graft.commands.model_passes:EvaluatePass",
        "merge": "graft.commands.model_passes:MergePass",
        "export": "graft.commands.model_passes:ExportPass",
        "generate-adapter": "graft.commands.model_passes:GenerateAdapterPass",
        "benchmark": "graft.commands.model_passes:BenchmarkPass",
        "speed": "graft.commands.model_passes:SpeedPass",
        "report": "graft.commands.model_passes:ReportPass",
    },
    classes=True,
)


def is_tuning(type_name: str) -> bool:
    """Whether ``type`` names a method of tuning (LoRA, QLoRA, full …), or tuning itself."""
    return type_name.lower() in {*METHODS.names(), "finetune"}


def pass_class(type_name: str) -> type[Pass]:
    """The class that ``type`` names: built in, by entry point ``graft.pass``, or ``path/to/file.py:Name``; or a step.

    Raises:
        InputError: when there is none, or it is not a pass.
    """
    name = type_name if ":" in type_name else ALIASES.get(type_name.lower(), type_name.lower())
    if is_data(name) and name not in PASSES.names():
        return data_pass(name)
    if is_tuning(name):
        return PASSES.get("finetune")
    if ":" in name or name in PASSES.names():
        return PASSES.get(name)
    if name in OLIVE:
        raise InputError(f"graft has no pass of the type {type_name}", remedy=OLIVE[name])
    there = [*PASSES.names(), *METHODS.names(), PREPARE, *STEPS.names()]
    raise InputError(
        f"unknown pass type {type_name!r}; the types are: {', '.join(there)}, and path/to/file.py:Name",
        remedy=did_you_mean(name, [*there, *ALIASES]),
    )


def check_order(steps: Sequence[tuple[str, type[Pass], Settings]]) -> None:
    """Check that each pass can take what the passes before it leave.

    Args:
        steps: The name of each pass, its class and its settings, in their order.

    Raises:
        InputError: Naming each pass that cannot.
    """
    problems, kind, before = Problems(), "nothing", ""
    for name, cls, settings in steps:
        named = any(getattr(settings, setting, None) for setting in cls.instead)
        if kind not in cls.takes and not named:
            wanted = one_of(KINDS.get(each, each) for each in cls.takes if each not in ("nothing", "something"))
            got = f"the pass {before} leaves {KINDS.get(kind, kind)}" if before else "it is the first pass"
            remedy = "put the pass that makes it before this one"
            remedy += f", or give {' or '.join(cls.instead)}" if cls.instead else ""
            problems.add(f"the pass {name} takes {wanted}, but {got}", f"passes.{name}", remedy)
        if cls.leaves != SAME:
            kind, before = cls.leaves, name
    problems.raise_if_any()


def missing(classes: Mapping[str, type[Pass]]) -> dict[str, str]:
    """Extras that passes need and that are not installed, each with the module that is missing."""
    needed = {extra: module for cls in classes.values() for extra, module in cls.needs}
    return {extra: module for extra, module in needed.items() if importlib.util.find_spec(module) is None}
