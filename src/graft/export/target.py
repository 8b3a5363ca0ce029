"""Export targets.

A target is one file with one object that fits ``Target``, built in here, or by an entry point of the group
``graft.target``, or named as ``path/to/file.py:NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from graft.config import BundleSettings, ExportSettings, Settings
from graft.config.compose import Component, compose, config_of, takers
from graft.errors import InputError, did_you_mean
from graft.registry import Registry, absolute_reference
from graft.runs.manifest import read_bundle

if TYPE_CHECKING:
    from graft.export.source import ExportSource
    from graft.inference.predictor import Predictor
    from graft.progress import Reporter


@dataclass(frozen=True)
class Built:
    """The result of a build.

    Attributes:
        parity: What the comparison with the PyTorch model measured, with ``passed`` and ``reason`` among it; or, where
            there was none, why.
        size_mb: The size of the weights, in millions of bytes.
        entries: What the manifest records besides, by key.
        precision: The number format of the weights, where it was chosen by measurement.
        run_command: The command that runs the bundle, with ``{folder}`` for its folder.
    """

    parity: Mapping[str, Any] | str
    size_mb: float
    entries: Mapping[str, Any] = field(default_factory=dict)
    precision: str | None = None
    run_command: str = "graft chat {folder}"

    @property
    def passed(self) -> bool:
        """Whether the bundle may ship; a bundle that was not compared may."""
        return isinstance(self.parity, str) or bool(self.parity["passed"])

    @property
    def reason(self) -> str:
        """One sentence on the comparison."""
        return self.parity if isinstance(self.parity, str) else str(self.parity["reason"])


class Target(Protocol):
    """An export format for models.

    Attributes:
        name: What ``--format`` takes, and what the manifest records as ``target``.
        title: The name that people know it by.
        help: One sentence about the result.
        format: The kind of file, which several targets may share: ``--format onnx`` means the one that can export the
            model. It begins the name of the default output folder.
        precisions: The values of ``--precision`` that it takes; the first is the default.
        aliases: Other values of ``--format`` that mean this target.
        Config: Its own options, which appear automatically on the command line of ``graft auto-opt``.
    """

    name: str
    title: str
    help: str
    format: str
    precisions: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    Config: type[Settings] = Settings

    def can(self, source: ExportSource, options: Any, config: Any) -> InputError | None:
        """Return None if this target can export ``source``, otherwise an error with the reason.

        Args:
            source: The model to export.
            options: What every target takes: an instance of ``ExportSettings``.
            config: This target's own options: an instance of ``Config``.
        """
        ...

    def build(self, source: ExportSource, options: Any, config: Any, folder: Path, reporter: Reporter) -> Built:
        """Fill ``folder``, which is empty, and compare the result with the PyTorch model.

        The folder takes its final place, and gets its manifest, after this returns.

        Args:
            source: The model to export.
            options: What every target takes; its ``precision`` is one of ``precisions``.
            config: This target's own options.
            folder: Where to build.
            reporter: Shows notes and progress.

        Raises:
            InputError: If the model cannot be exported after all.
            GraftError: If the work fails.
        """
        ...

    def open(self, folder: Path, adapter: str | None = None, trusted: bool = False) -> Predictor:
        """Load a bundle that this target built; ``adapter`` is one of its adapters by name.

        ``trusted`` says whether Python files in the bundle may be run; a target whose bundles have none can omit it.

        Raises:
            InputError: If graft cannot run it, or there is no such adapter.
        """
        ...


TARGETS: Registry[Target] = Registry(
    "target",
    Target,
    {
        "onnx-genai": "graft.export.targets.onnx_genai:ONNX_GENAI",
        "onnx-encoder": "graft.export.targets.onnx_encoder:ONNX_ENCODER",
        "onnx-multi-adapter": "graft.export.targets.onnx_multi_adapter:ONNX_MULTI_ADAPTER",
        "gguf": "graft.export.targets.gguf:GGUF",
        "hf": "graft.export.targets.hf:HF",
    },
)
DEFAULT_FORMAT = "onnx"


def export_settings(named: str | None = None) -> type[ExportSettings]:
    """``ExportSettings`` with the options of all targets, those of ``path/to/file.py:NAME`` among them.

    Which target exports a model is known only once the model is open; until then an option of any target is accepted.

    Raises:
        InputError: If two targets declare one option in different ways.
    """
    targets = [target for _, target in TARGETS.items()]
    if named is not None and ":" in named:
        targets.append(TARGETS.get(named))
    own = [target for target in targets if not issubclass(target.Config, BundleSettings)]
    return compose(ExportSettings, [Component("format", target.name, target.Config) for target in own])


class Choice(NamedTuple):
    """A target for a model.

    Attributes:
        target: The target.
        options: What every target takes, with a precision that this one has.
        config: The target's own options.
        reference: How the manifest names it: by its name, or a file's by ``path/to/file.py:NAME``.
    """

    target: Target
    options: BundleSettings
    config: Settings
    reference: str


def chosen(target: Target, given: BundleSettings, reference: str | None = None) -> Choice:
    """``target`` with its options.

    Args:
        target: The target.
        given: The options as the user gave them.
        reference: How the manifest names the target; None for its name.

    Raises:
        InputError: If an option was given that only other targets have, or a value that this one does not take.
    """
    for name in sorted(given.model_fields_set):
        others = [component.name for component in takers(type(given), name)]
        if others and target.name not in others:
            raise InputError(
                f"the target {target.name} has no option --{name}",
                remedy=f"omit it, or choose a target that has it: {', '.join(others)}",
            )
    precision = given.precision or target.precisions[0]
    if precision == "auto" and "auto" not in target.precisions:
        precision = target.precisions[0]
    if precision not in target.precisions:
        raise InputError(
            f"the target {target.name} does not support {precision}",
            where="--precision",
            remedy=f"choose one of {', '.join(target.precisions)}",
        )
    options = given.model_copy(update={"precision": precision})
    return Choice(target, options, config_of(given, target.Config), reference or target.name)


def choose_target(named: str | None, source: ExportSource, given: ExportSettings) -> Choice:
    """The target that exports ``source``, with its options.

    Args:
        named: A target's name or format, or ``path/to/file.py:NAME``; None for ONNX.
        source: The model to export.
        given: The options as the user gave them.

    Raises:
        InputError: If there is no such target, or none can export this model; with the reason of the target that is
            the default of the model's task, or else of each.
    """
    candidates = _candidates(named or DEFAULT_FORMAT)
    _check_task(named or DEFAULT_FORMAT, candidates, source)
    default = source.task.export_targets[:1]
    candidates.sort(key=lambda target: target.name not in default)
    reference = absolute_reference(named) if named is not None and ":" in named else None
    refused: list[InputError] = []
    for target in candidates:
        try:
            choice = chosen(target, given, reference)
            reason = target.can(source, choice.options, choice.config)
        except InputError as error:
            reason = error
        if reason is None:
            return choice
        refused.append(reason)
        if target.name in default:
            break
    raise InputError(*[problem for reason in refused for problem in reason.problems])


def _check_task(named: str, candidates: Sequence[Target], source: ExportSource) -> None:
    """Check that one of the formats can hold a model of this task.

    Raises:
        InputError: If none of the ``candidates``, all built in, can export such a model; with the formats that do.
    """
    able = source.task.export_targets
    if not able or any(target.name in able or target.name not in TARGETS.builtin for target in candidates):
        return
    formats = dict.fromkeys(TARGETS.get(name).format for name in able if name in TARGETS.builtin)
    raise InputError(
        f"the export to {named} does not support {source.task.name} models",
        where=source.name,
        remedy=" or ".join(f"--format {name}" for name in formats),
    )


def _candidates(named: str) -> list[Target]:
    """The targets of this name, format or alias.

    Raises:
        InputError: If there is none, with the nearest of all three.
    """
    if named in TARGETS.names() or ":" in named:
        return [TARGETS.get(named)]
    targets = [target for _, target in TARGETS.items()]
    found = [target for target in targets if target.format == named]
    found = found or [target for target in targets if named in target.aliases]
    if found:
        return found
    formats = list(dict.fromkeys(target.format for target in targets))
    others = [name for target in targets for name in (target.name, *target.aliases)]
    raise InputError(
        f"there is no export format or target called {named!r}; the formats are: {', '.join(formats)}",
        where="--format",
        remedy=did_you_mean(named, [*formats, *others]),
    )


def target_of(folder: Path, trusted: bool = False) -> Target:
    """The target that built the bundle in ``folder``.

    Args:
        folder: The bundle.
        trusted: Whether a target in a file may be run, which a bundle can name wherever it comes from.

    Raises:
        InputError: If that target is not installed, or in a file and not ``trusted``.
    """
    named = read_bundle(folder).target or "onnx-genai"
    if ":" in named and not trusted:
        raise InputError(
            f"this bundle was built by a target from a file, {named}",
            where=str(folder),
            remedy="add --trust_remote_code to run that file",
        )
    return TARGETS.get(named)
