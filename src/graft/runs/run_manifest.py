"""The manifest of a run folder."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from graft.documents import shown
from graft.runs.record import Count, Record

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
    cores: Count | None = None
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
    max_length: Count | None = None


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
    rows: Count | None = None
    sha256: str | None = None


class DataSummaryRecord(Record):
    """What the data is like: duplicates that were removed, rows per label, and warnings in words.

    Of rows that are longer than the limit, some were ``dropped`` and some ``truncated``.
    """

    duplicates: Count | None = None
    dropped: Count | None = None
    truncated: Count | None = None
    labels: dict[str, Count] | None = None
    warnings: list[str] = Field(default_factory=list)


class FindingRecord(Record):
    """What a check of the data found: ``count`` rows, the first of them at ``places``."""

    kind: str = ""
    severity: str = "warning"
    title: str = ""
    side: str = "train"
    count: Count = 0
    places: list[str] = Field(default_factory=list)
    why: str = ""
    remedy: str = ""
    fix: str = ""


class DataRecord(Record):
    """The rows of a run: their sources, their number after preparation, and what they are like.

    ``files`` has the SHA-256 of each data file by its path, ``findings`` what the quick checks found before training.
    """

    train: SourceRecord | None = None
    eval: SourceRecord | None = None
    files: dict[str, str] = Field(default_factory=dict)
    train_rows: Count | None = None
    held_out_rows: Count | None = None
    labels: list[str] | None = None
    kind: str = ""
    trained_token_share: float | None = None
    tokens: Count | None = None
    summary: DataSummaryRecord = Field(default_factory=DataSummaryRecord)
    findings: list[FindingRecord] = Field(default_factory=list)


class TrainingRecord(Record):
    """What came of the training; times in seconds, memory in MB."""

    steps: Count | None = None
    best_step: Count | None = None
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
    kept_step: Count | None = None
    trainable_parameters: Count | None = None
    parameters: Count | None = None
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
    steps: Count | None = None


class ExtensionRecord(Record):
    """An extension of a run: the step it went on from, and its new number of steps."""

    from_step: Count
    steps: Count


class HeadlineRecord(Record):
    """The first metric of the evaluation: the value of each predictor (as further keys), and the difference.

    ``baselines`` are the scores to beat, and ``unbeaten`` those of them that the model is not proven to be better than.
    """

    metric: str
    n: Count | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    baselines: dict[str, float] | None = None
    unbeaten: list[str] | None = None


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
    seed: Count | None = None
    machine: MachineRecord = Field(default_factory=MachineRecord)
    base: BaseModelRecord | None = None
    continued_from: ParentRecord | None = None
    chat_template_sha256: str | None = None
    data: DataRecord = Field(default_factory=DataRecord)
    extensions: list[ExtensionRecord] = Field(default_factory=list)
    training: TrainingRecord = Field(default_factory=TrainingRecord)
    adapter: AdapterRecord = Field(default_factory=AdapterRecord)
    scores: HeadlineRecord | None = None

    @field_validator("settings")
    @classmethod
    def _texts(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Refuse other values where a text is read; the command that uses the other settings checks them."""
        for name in ("method", "model_revision"):
            value = settings.get(name)
            if value is not None and not isinstance(value, str):
                raise ValueError(f"'settings.{name}' is {shown(value)}; expected a string")
        return settings

    def inferred(self, name: str) -> Any:
        """Return the value that was inferred for a setting, or None."""
        return next((setting.value for setting in self.inferred_settings if setting.name == name), None)
