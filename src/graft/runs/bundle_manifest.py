"""The manifest of an exported bundle."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from graft.documents import shown
from graft.runs.prompt_record import PromptRecord
from graft.runs.record import Count, Pair, Record
from graft.runs.run_manifest import SCHEMA_VERSION, BaseModelRecord, MachineRecord


class FigureRecord(Record):
    """A value with its 95 % interval over ``n`` rows; ``p`` only for differences."""

    value: float
    low: float | None = None
    high: float | None = None
    n: Count | None = None
    p: float | None = None


class ParityRecord(Record):
    """What the comparison of a bundle with the PyTorch model measured. Pairs are [equal, compared].

    ``passed`` is None where nothing was judged: GGUF files of earlier versions, which were only read back.
    """

    rows: Count | None = None
    template_identical: Pair | None = None
    token_ids_identical: Pair | None = None
    ends_identical: Pair | None = None
    answers_equal: Pair | None = None
    answers_equal_in_batches: Pair | None = None
    next_token_equal: Pair | None = None
    greatest_logit_difference: float | None = None
    metric: str | None = None
    pytorch: FigureRecord | None = None
    bundle: FigureRecord | None = None
    difference: FigureRecord | None = None
    drop: float | None = None
    passed: bool | None = None
    reason: str = ""


class MadeFromRecord(Record):
    """What an adapter was made from: its run, or the adapter's own folder; and the SHA-256 of its weights.

    ``path`` is relative to the bundle for what is around it or beside it, else a hint.
    """

    path: str | None = None
    name: str = ""
    sha256: str | None = None


class BundleAdapterRecord(Record):
    """An adapter of a bundle: its file in the folder, its size, how it is asked, and its parity."""

    file: str
    sha256: str | None = None
    size_mb: float | None = None
    ranks: list[Count] = Field(default_factory=list)
    modules: Count | None = None
    made_from: MadeFromRecord | None = Field(None, alias="from")
    prompt: PromptRecord | None = None
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
    """The manifest of an exported bundle.

    ``run`` is the run folder that it was made from, relative to the bundle if it is around it or beside it, else a
    hint; ``run_sha256`` is the SHA-256 of what that run trained, by which the run is known. ``prompt`` is how the
    bundle is asked; adapters have their own.
    ``merge_difference`` is the greatest difference of logits between the model that was judged and the merged one.
    """

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
    run_sha256: str | None = None
    prompt: PromptRecord | None = None
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
    merge_difference: float | None = None
    adapter: PlacementRecord | None = None
    adapters: dict[str, BundleAdapterRecord] = Field(default_factory=dict)
    default_adapter: str | None = None
    slots: list[str] | None = None
    candidates: list[CandidateRecord] = Field(default_factory=list)
    machine: MachineRecord = Field(default_factory=MachineRecord)
    versions: dict[str, str] = Field(default_factory=dict)

    @field_validator("adapters")
    @classmethod
    def _safe_names(cls, adapters: dict[str, BundleAdapterRecord]) -> dict[str, BundleAdapterRecord]:
        """Refuse names that are no file names: each adapter's evaluation is written into a folder of its name."""
        for name in adapters:
            if not is_adapter_name(name):
                raise ValueError(f"{shown(name)} in 'adapters' is not a valid name of an adapter")
        return adapters

    def prompt_of(self, adapter: str | None) -> PromptRecord | None:
        """Return how ``adapter`` is asked, or the bundle as a whole; None where that is not recorded.

        The base of several adapters is asked as they are, where they all agree.
        """
        entry = self.adapters.get(adapter) if adapter is not None else None
        if entry is not None:
            return entry.prompt or self.prompt
        if self.prompt is not None or not self.adapters:
            return self.prompt
        asked = [each.prompt for each in self.adapters.values()]
        return asked[0] if all(_alike(each, asked[0]) for each in asked) else None

    @property
    def summary(self) -> str:
        """What the comparison with PyTorch found, in one sentence: of the bundle, or of each adapter."""
        if self.parity is None and self.adapters:
            return "; ".join(f"{name}: {parity_reason(entry.parity)}" for name, entry in self.adapters.items())
        return parity_reason(self.parity)


def is_adapter_name(name: str) -> bool:
    """Return whether ``name`` is letters, digits, ``-``, ``_`` and ``.``, and does not begin with a dot."""
    return bool(name) and all(letter.isalnum() or letter in "-_." for letter in name) and not name.startswith(".")


def parity_reason(parity: ParityRecord | str | None) -> str:
    """Return one sentence on a comparison with PyTorch."""
    if isinstance(parity, ParityRecord):
        return parity.reason or f"greatest logit difference {parity.greatest_logit_difference}"
    return parity or "not compared"


def _alike(one: PromptRecord | None, other: PromptRecord | None) -> bool:
    """Whether both make the same prompt of a row."""
    if one is None or other is None:
        return one is other
    return one.makes_same_prompts(other)
