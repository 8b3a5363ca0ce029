"""A bundle's manifest and README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from graft._version import __version__
from graft.config import ExportSettings
from graft.data.sources import sha256_of
from graft.export import bundle
from graft.export.adapter_placement import compared, slot_name
from graft.export.candidates import Candidate, same_weights
from graft.export.onnx.model_builder import versions
from graft.hardware.machine import machine
from graft.models.open import Opened
from graft.runs.folder import RunFolder
from graft.runs.settings import recorded_data_settings

_PLACES = {"merge": "folded in", "beside": "beside its weights", "switch": "that can be exchanged"}


def write_bundle_files(
    folder: Path,
    settings: ExportSettings,
    opened: Opened,
    chosen: Candidate,
    tried: Sequence[Candidate],
    provider: str,
    here: bool,
) -> None:
    parity, variant = chosen.parity, chosen.variant
    checked = _checked(chosen, provider, here)
    weights = opened.adapter / "adapter_model.safetensors" if opened.adapter else None
    facts = _facts(opened, chosen, provider, checked)
    switched = [slot_name(opened)] if variant.way == "switch" else []
    hello = [{"role": "user", "content": "Hello"}]
    bundle.readme(folder, f"{opened.name}, {variant.precision} ONNX", facts, hello, switched)
    listed = bundle.read_manifest(folder).get("adapters", {}) if switched else {}
    for entry in listed.values():
        entry["parity"] = parity or checked
    speeds = {
        one.variant.way: one.speed.get("tokens_per_second") for one in tried if same_weights(one.variant, variant)
    }
    bundle.write_manifest(
        folder,
        graft=__version__,
        command="auto-opt",
        kind="bundle",
        status="finished" if chosen.passed else "failed",
        finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        base={
            "name": opened.base.name,
            "path": str(opened.base.path),
            "sha256": opened.base.sha256,
            "licence": opened.base.license,
        },
        adapter={"name": opened.name, "sha256": sha256_of(weights), **compared(speeds, variant.way, settings.adapter)}
        if weights
        else None,
        run=str(opened.run) if opened.run else None,
        shape=recorded_data_settings(RunFolder.open(opened.run)) if opened.run else None,
        precision=variant.precision,
        rounding=variant.rounding if variant.precision == "int4" else None,
        device=settings.device,
        provider=provider,
        run_here=here,
        size_mb=chosen.size_mb,
        sha256=bundle.weights_sha256(folder),
        speed=chosen.speed,
        parity=parity if parity is not None else checked,
        **({"adapters": listed} if listed else {}),
        tried=[_line(one) for one in tried],
        machine=machine(),
        versions=versions(),
    )


def _checked(chosen: Candidate, provider: str, here: bool) -> str:
    if chosen.parity is not None:
        return str(chosen.parity["why"])
    return "skipped (--skip_parity)" if here else f"not run here: there is no {provider} on this machine"


def _facts(opened: Opened, chosen: Candidate, provider: str, checked: str) -> list[str]:
    """For the README."""
    variant, parity = chosen.variant, chosen.parity
    adapter = f", with the adapter {opened.name} {_PLACES[variant.way]}" if opened.adapter else ""
    facts = [
        f"model: {opened.base.label}{adapter}",
        f"weights: {variant.label}, {chosen.size_mb} MB; licence of the base: {opened.base.license or 'unknown'}",
        f"for: {provider}",
        f"compared with PyTorch: {checked}",
    ]
    if parity and parity["token_ids_identical"][0] < parity["token_ids_identical"][1]:
        same, n = parity["token_ids_identical"]
        facts.append(
            f"onnxruntime-genai splits the text of {n - same} of {n} prompts otherwise than the model's own tokenizer; "
            "for the very tokens of training, `pip install tokenizers` and append "
            '`tokenizers.Tokenizer.from_file("tokenizer.json").encode(prompt, add_special_tokens=False).ids`'
        )
    return facts


def _line(one: Candidate) -> dict[str, Any]:
    """A line of the manifest's ``tried``."""
    return {
        **asdict(one.variant),
        "label": one.variant.label,
        "size_mb": one.size_mb,
        **one.speed,
        "metric": one.parity["metric"] if one.parity else None,
        "value": one.parity["bundle"]["value"] if one.parity else None,
        "pytorch": one.parity["pytorch"]["value"] if one.parity else None,
        "passed": one.passed,
    }
