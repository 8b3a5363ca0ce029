"""manifest.json: what kind of folder this is and how it was made. This module is its only reader and writer.

A manifest names its ``kind`` and the ``schema_version`` that it follows, as "major.minor". A newer minor version adds
keys, which are kept; a newer major version is refused. ``graft.runs.upgrade`` turns a manifest of graft 0.1, which has
no version, into one of today.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from graft.errors import InputError
from graft.files import write_whole
from graft.runs.record import Record, dump, plain_values, read_object, validate
from graft.runs.upgrade import upgrade_manifest

MANIFEST = "manifest.json"
SCHEMA_VERSION = "1.0"


class BaseModelRecord(Record):
    """The base model: its name as given, where it was, the SHA-256 of its weights and of its tokenizer, its license."""

    name: str
    path: str | None = None
    sha256: str | None = None
    tokenizer_sha256: str | None = None
    license: str | None = None


class MachineRecord(Record):
    """The machine that did the work; memory in GB."""

    cpu: str | None = None
    cores: int | None = None
    memory_gb: float | None = None
    gpu: list[str] | None = None
    os: str | None = None


class LabelSpaceRecord(Record):
    """The labels of a classification head, in the order of its outputs, and its ``problem_type``."""

    names: list[str] = Field(default_factory=list)
    problem: str | None = None


class TaskRecord(Record):
    """The task by name, its labels, and the maximum number of tokens in a row."""

    name: str
    label_space: LabelSpaceRecord = Field(default_factory=LabelSpaceRecord)
    max_length: int | None = None


class MethodRecord(Record):
    """The tuning method: its name, its name for people, and the library that loads what it saved."""

    name: str
    title: str = ""
    loads_with: Literal["peft", "transformers", "graft"] | None = None


class InferredSettingRecord(Record):
    """A setting that was not given, the value it got, and why."""

    name: str
    value: Any = None
    why: str = ""


class SourceRecord(Record):
    """Where rows came from; ``sha256`` is over the bytes of the files."""

    path: str = ""
    rows: int | None = None
    sha256: str | None = None


class DataSummaryRecord(Record):
    """What the data is like: duplicates that were removed, rows per label, and warnings in words.

    Of rows that are longer than the limit, some were ``dropped`` and some ``truncated``.
    """

    duplicates: int | None = None
    dropped: int | None = None
    truncated: int | None = None
    labels: dict[str, int] | None = None
    warnings: list[str] = Field(default_factory=list)


class DataRecord(Record):
    """The rows of a run: their sources, their number after preparation, and what they are like.

    ``files`` has the SHA-256 of each data file by its path.
    """

    train: SourceRecord | None = None
    eval: SourceRecord | None = None
    files: dict[str, str] = Field(default_factory=dict)
    train_rows: int | None = None
    held_out_rows: int | None = None
    labels: list[str] | None = None
    kind: str = ""
    trained_token_share: float | None = None
    tokens: int | None = None
    summary: DataSummaryRecord = Field(default_factory=DataSummaryRecord)


class TrainingRecord(Record):
    """What came of the training; times in seconds, memory in MB."""

    steps: int | None = None
    best_step: int | None = None
    best_eval_loss: float | None = None
    metric: str = "loss"
    best_value: float | None = None
    early_stopped: bool = False
    rows_per_second: float | None = None
    tokens_per_second: float | None = None
    seconds: float | None = None
    engine: str | None = None
    engine_reason: str | None = None
    kernels_missing: str | None = None
    diverged: str | None = None
    kept_step: int | None = None
    trainable_parameters: int | None = None
    parameters: int | None = None
    peak_rss_mb: float | None = None


class AdapterRecord(Record):
    """The SHA-256 of the adapter's weights; None for a method that writes none."""

    sha256: str | None = None


class ParentRecord(Record):
    """What a run continued from: the run or adapter folder, relative to the run; its name; the SHA-256 of its weights.

    ``steps`` is the number of steps that an earlier run was trained for.
    """

    path: str
    name: str = ""
    sha256: str | None = None
    steps: int | None = None


class ExtensionRecord(Record):
    """An extension of a run: the step it went on from, and its new number of steps."""

    from_step: int
    steps: int


class HeadlineRecord(Record):
    """The first metric of the evaluation: the value of each predictor (as further keys), and the difference."""

    metric: str
    n: int | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


class RunManifest(Record):
    """The manifest of a run folder. Sections that a run has not come to yet have their defaults."""

    kind: Literal["run"] = "run"
    schema_version: str = SCHEMA_VERSION
    graft: str = ""
    command: str = ""
    status: Literal["running", "finished", "failed", "interrupted"]
    started: str | None = None
    finished: str | None = None
    error: str | None = None
    task_name: str | None = None
    task: TaskRecord | None = None
    method: MethodRecord | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    inferred_settings: list[InferredSettingRecord] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    machine: MachineRecord = Field(default_factory=MachineRecord)
    base: BaseModelRecord | None = None
    continued_from: ParentRecord | None = None
    chat_template_sha256: str | None = None
    data: DataRecord = Field(default_factory=DataRecord)
    extensions: list[ExtensionRecord] = Field(default_factory=list)
    training: TrainingRecord = Field(default_factory=TrainingRecord)
    adapter: AdapterRecord = Field(default_factory=AdapterRecord)
    scores: HeadlineRecord | None = None

    def inferred(self, name: str) -> Any:
        """Return the value that was inferred for a setting, or None."""
        return next((setting.value for setting in self.inferred_settings if setting.name == name), None)


class FigureRecord(Record):
    """A value with its 95 % interval over ``n`` rows; ``p`` only for differences."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    p: float | None = None


class ParityRecord(Record):
    """What the comparison of a bundle with the PyTorch model measured. Pairs are [equal, compared].

    ``passed`` is None where nothing was judged: the GGUF file is read back and compared, but answers nothing.
    """

    rows: int | None = None
    template_identical: list[int] | None = None
    token_ids_identical: list[int] | None = None
    ends_identical: list[int] | None = None
    answers_equal: list[int] | None = None
    answers_equal_in_batches: list[int] | None = None
    next_token_equal: list[int] | None = None
    greatest_logit_difference: float | None = None
    metric: str | None = None
    pytorch: FigureRecord | None = None
    bundle: FigureRecord | None = None
    difference: FigureRecord | None = None
    drop: float | None = None
    passed: bool | None = None
    reason: str = ""


class BundleAdapterRecord(Record):
    """An adapter of a bundle: its file in the folder, its size, what it was made from, and its parity."""

    file: str
    sha256: str | None = None
    size_mb: float | None = None
    ranks: list[int] = Field(default_factory=list)
    modules: int | None = None
    shape: dict[str, Any] | None = None
    parity: ParityRecord | str | None = None


class PlacementRecord(Record):
    """Where the adapter of the exported model is: merged into the weights, or apart from them; and why."""

    name: str = ""
    sha256: str | None = None
    placement: str
    reason: str = ""
    tokens_per_second: dict[str, float | None] = Field(default_factory=dict)


class CandidateRecord(Record):
    """A variant that was built: its size, its speed, its metric beside PyTorch's, and whether it passed."""

    label: str
    precision: str | None = None
    size_mb: float | None = None
    tokens_per_second: float | None = None
    load_seconds: float | None = None
    peak_mb: float | None = None
    metric: str | None = None
    value: float | None = None
    pytorch: float | None = None
    passed: bool | None = None


class BundleManifest(Record):
    """The manifest of an exported bundle. ``run`` is the run folder that it was made from."""

    kind: Literal["bundle"] = "bundle"
    schema_version: str = SCHEMA_VERSION
    graft: str = ""
    command: str = ""
    status: Literal["running", "finished", "failed"] = "running"
    finished: str | None = None
    target: str | None = None
    title: str = ""
    format: str = "onnx"
    run_command: str = ""
    task: str | None = None
    base: BaseModelRecord | None = None
    run: str | None = None
    shape: dict[str, Any] | None = None
    precision: str | None = None
    rounding: str | None = None
    device: str | None = None
    provider: str | None = None
    run_here: bool | None = None
    file: str | None = None
    size_mb: float | None = None
    sha256: str | None = None
    speed: dict[str, float | None] = Field(default_factory=dict)
    parity: ParityRecord | str | None = None
    adapter: PlacementRecord | None = None
    adapters: dict[str, BundleAdapterRecord] = Field(default_factory=dict)
    default_adapter: str | None = None
    slots: list[str] | None = None
    candidates: list[CandidateRecord] = Field(default_factory=list)
    machine: MachineRecord = Field(default_factory=MachineRecord)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def summary(self) -> str:
        """What the comparison with PyTorch found, in one sentence: of the bundle, or of each adapter."""
        if self.parity is None and self.adapters:
            return "; ".join(f"{name}: {parity_reason(entry.parity)}" for name, entry in self.adapters.items())
        return parity_reason(self.parity)


Manifest = RunManifest | BundleManifest
MANIFESTS: dict[str, type[RunManifest] | type[BundleManifest]] = {"run": RunManifest, "bundle": BundleManifest}
M = TypeVar("M", RunManifest, BundleManifest)


def parity_reason(parity: ParityRecord | str | None) -> str:
    """Return one sentence on a comparison with PyTorch."""
    if isinstance(parity, ParityRecord):
        return parity.reason or f"greatest logit difference {parity.greatest_logit_difference}"
    return parity or "not compared"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        InputError: If there is none, it is damaged, or a newer version of graft wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError("this folder has no manifest.json", where=str(folder))
    return _manifest(upgrade_manifest(read_object(path)), str(path))


def read_run(folder: Path) -> RunManifest:
    """Read the manifest of a run folder.

    Raises:
        InputError: As ``read_manifest``; or if the folder is of another kind.
    """
    return _of_kind(RunManifest, folder)


def read_bundle(folder: Path) -> BundleManifest:
    """Read the manifest of a bundle.

    Raises:
        InputError: As ``read_manifest``; or if the folder is of another kind.
    """
    return _of_kind(BundleManifest, folder)


def _of_kind(kind: type[M], folder: Path) -> M:
    found = read_manifest(folder)
    if not isinstance(found, kind):
        wanted = kind.model_fields["kind"].default
        raise InputError(f"this is the folder of a {found.kind}, not of a {wanted}", where=str(folder))
    return found


def _manifest(document: dict[str, Any], where: str) -> Manifest:
    version, kind = document.get("schema_version"), document.get("kind")
    if _major(version) > _major(SCHEMA_VERSION):
        raise InputError(
            f"a newer version of graft wrote this manifest: its schema is {version}, "
            f"this version reads {SCHEMA_VERSION}",
            where=where,
            remedy="pip install --upgrade graft-slm",
        )
    if not isinstance(kind, str) or kind not in MANIFESTS:
        raise InputError(
            f"this manifest is of the kind {kind!r}; this version of graft reads {' and '.join(MANIFESTS)}", where=where
        )
    return validate(MANIFESTS[kind], document, where)


def _major(version: Any) -> int:
    head = str(version).partition(".")[0]
    return int(head) if head.isdecimal() else 0


def update_manifest(folder: Path, kind: type[M], **values: Any) -> M:
    """Write ``values`` over the manifest of a folder, as a whole; without a manifest they make a new one.

    Args:
        folder: The folder.
        kind: ``RunManifest`` or ``BundleManifest``.
        values: Fields of it; records, dataclasses as dictionaries, or plain values.

    Returns:
        The manifest as it is now.

    Raises:
        InputError: If the manifest that is there is damaged, or a value is of a wrong type.
        GraftError: If the file cannot be written.
    """
    path = folder / MANIFEST
    before = upgrade_manifest(read_object(path)) if path.is_file() else {}
    head = {"kind": kind.model_fields["kind"].default, "schema_version": SCHEMA_VERSION}
    manifest = validate(kind, upgrade_manifest({**before, **plain_values(values), **head}), str(path))
    write_whole(path, dump(manifest))
    return manifest
