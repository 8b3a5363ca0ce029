"""The manifest of a bundle: what every target records, and what one adds."""

from __future__ import annotations

from pathlib import Path

from graft._version import __version__
from graft.export import bundle
from graft.export.made_from import trained_sha256
from graft.export.prompt_record import prompt_record
from graft.export.source import ExportSource
from graft.export.target import Built, Choice
from graft.hardware.machine import machine
from graft.runs.manifest import timestamp
from graft.runs.paths import portable_path


def write_bundle_manifest(folder: Path, choice: Choice, source: ExportSource, built: Built) -> None:
    """Write manifest.json of the bundle in ``folder``.

    Args:
        folder: The bundle, which may hold a manifest already; its entries stay.
        choice: The target that built it, and its options.
        source: The model that was exported.
        built: What the target says of it.
    """
    base = source.base
    bundle.write_manifest(
        folder,
        graft=__version__,
        target=choice.reference,
        title=choice.target.title,
        format=choice.target.format,
        status="finished" if built.passed else "failed",
        finished=timestamp(),
        base={
            "name": base.name,
            "path": portable_path(base.path, folder),
            "sha256": base.sha256,
            "license": base.license,
        },
        run=portable_path(source.run.path, folder) if source.run else None,
        run_sha256=trained_sha256(source.run) if source.run else None,
        prompt=prompt_record(source),
        precision=built.precision or choice.options.precision,
        size_mb=built.size_mb,
        parity=built.parity,
        run_command=built.run_command,
        **built.entries,
        machine=machine(),
    )
