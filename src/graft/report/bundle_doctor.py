"""What the comparison with PyTorch found wrong with a bundle, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from graft.data.checks import Finding
from graft.report.doctor import finding_of
from graft.runs.manifest import BundleManifest, ParityRecord

WORSE = (
    "--precision auto exports the smallest variant that passes the comparison",
    "--max_accuracy_drop sets the maximum drop",
)


def diagnose_bundle(manifest: BundleManifest) -> list[Finding]:
    """Return what is wrong with a bundle by its manifest, the gravest first."""
    return [*_unfinished(manifest), *_failed(manifest), *_not_compared(manifest), *_other_tokens(manifest)]


def _parities(manifest: BundleManifest) -> list[tuple[str, ParityRecord | str | None]]:
    """The name and the parity of each adapter, or of the bundle if it has none."""
    if manifest.adapters:
        return [(f"the adapter {name}", entry.parity) for name, entry in manifest.adapters.items()]
    return [("the bundle", manifest.parity)]


def _unfinished(manifest: BundleManifest) -> Iterator[Finding]:
    if manifest.status == "running":
        evidence = ("its manifest records an unfinished export",)
        yield finding_of(
            "unfinished", "the export did not finish", evidence, ("export again with --overwrite",), "error"
        )


def _failed(manifest: BundleManifest) -> Iterator[Finding]:
    failed = [
        f"{name}: {parity.reason}"
        for name, parity in _parities(manifest)
        if isinstance(parity, ParityRecord) and parity.passed is False
    ]
    if failed:
        yield finding_of("parity", "the bundle answers worse than the PyTorch model", tuple(failed), WORSE, "error")
    elif manifest.status == "failed":
        yield finding_of("parity", "the bundle differs from the PyTorch model", (manifest.summary,), WORSE, "error")


def _not_compared(manifest: BundleManifest) -> Iterator[Finding]:
    skipped = [
        f"{name}: {parity or 'not compared'}"
        for name, parity in _parities(manifest)
        if not isinstance(parity, ParityRecord) and manifest.status != "running"
    ]
    if skipped:
        remedy = "export from a run folder, or give --data_files, and omit --skip_parity"
        yield finding_of(
            "not_compared", "the bundle was not compared with the PyTorch model", tuple(skipped), (remedy,)
        )


def _other_tokens(manifest: BundleManifest) -> Iterator[Finding]:
    found = []
    for name, parity in _parities(manifest):
        pair = parity.token_ids_identical if isinstance(parity, ParityRecord) else None
        if pair and pair[0] < pair[1]:
            found.append(f"{name}: {pair[1] - pair[0]} of {pair[1]} prompts have different tokens than in training")
    if found:
        remedy = 'tokenize with tokenizers.Tokenizer.from_file("tokenizer.json"), as the README of the bundle shows'
        yield finding_of("tokens", "the runtime tokenizes some prompts differently", tuple(found), (remedy,))
