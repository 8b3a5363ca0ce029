"""Whether an adapter belongs to a base model: everything recorded of its base is compared with the given one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graft.documents import read_object
from graft.errors import InputError, Problems
from graft.files import expanded
from graft.models.adapter_config import read_adapter_config
from graft.models.embedded import EMBEDDED
from graft.models.folder import Base
from graft.models.weights import find_weights, sha256_of
from graft.runs.manifest import BaseModelRecord, read_run
from graft.runs.record import Record, validate

REMEDY = "give the base model that it was trained on; if this one is meant, add --allow_base_mismatch"
BASE_RECORD = "base_model.json"
"""Beside an adapter: what its base is, wherever the folder goes."""
EMBEDDED_IDS = {
    "smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2",
}
"""The Hub ID of an embedded model."""


class AdapterBaseRecord(Record):
    """The base of an adapter: ``quantization`` is the number format of its weights in training, if it was quantized.

    ``hub_id`` is None where these very weights are not on the Hub; ``name`` is for people then, and ``path`` a hint.
    """

    name: str = ""
    path: str | None = None
    hub_id: str | None = None
    revision: str | None = None
    sha256: str | None = None
    license: str | None = None
    quantization: str | None = None


def read_base_record(adapter: Path) -> AdapterBaseRecord | None:
    """Return what an adapter folder says of its base; None if it has no such file.

    Raises:
        InputError: If the file is damaged.
    """
    file = adapter / BASE_RECORD
    return validate(AdapterBaseRecord, read_object(file), str(file)) if file.is_file() else None


def exact_hub_id(base: Base) -> str | None:
    """The Hub ID of ``base``, if the weights there are the same; the embedded GGUF models have other weights."""
    if base.kind == "hub":
        return base.name
    if base.kind == "embedded" and base.name in EMBEDDED and not EMBEDDED[base.name].is_gguf:
        return EMBEDDED_IDS.get(base.name)
    return None


def check_base(adapter: Path, run: Path | None, base: Base, revision: str | None = None) -> None:
    """Check that nothing that is recorded of an adapter's base contradicts ``base``.

    Compared are the hash of the weights (of the run's manifest, or of the model that ``adapter_config.json`` names,
    where that is here), else the names and the revision, and the vocabulary of a tokenizer beside the adapter.

    Args:
        adapter: The adapter folder.
        run: The run that it belongs to, if any.
        base: The model that it is to be used with.
        revision: The revision of ``base``, if one is given.

    Raises:
        InputError: With each contradiction.
    """
    problems = Problems()
    recorded = read_run(run).base if run is not None else None
    differing = _weights_differ(adapter, recorded, base)
    if differing is None:
        differing = _names_differ(adapter, base, revision)
    if differing:
        problems.add(differing, adapter, REMEDY)
    _compare_vocabularies(adapter, base, problems)
    problems.raise_if_any()


def _weights_differ(adapter: Path, recorded: BaseModelRecord | None, base: Base) -> str | None:
    """What is wrong with the weights by their hashes; empty if they are equal, None if no hash is known."""
    name, sha256 = _recorded_hash(adapter, recorded)
    if sha256 is None:
        return None
    if sha256 == base.sha256:
        return ""
    return (
        f"the adapter does not fit {base.label}: it was trained on {name}, whose weights have the SHA-256 "
        f"{sha256[:12]}…, not {base.sha256[:12]}…"
    )


def _recorded_hash(adapter: Path, recorded: BaseModelRecord | None) -> tuple[str, str | None]:
    if recorded is not None and recorded.sha256 is not None:
        return recorded.name, recorded.sha256
    beside = read_base_record(adapter)
    if beside is not None and beside.sha256 is not None:
        return beside.hub_id or beside.name, beside.sha256
    named = read_adapter_config(adapter).base_model_name_or_path or ""
    folder = base_folder(adapter, named)
    if folder is None:
        return named, None
    problems = Problems()
    files = find_weights(folder, problems)
    return named, sha256_of(files) if files and not problems else None


def base_folder(adapter: Path, named: str) -> Path | None:
    """The model folder that an adapter's configuration names, if it is here.

    A path that begins with a dot is meant from the adapter, so that both can be moved together, or else, as PEFT
    takes it, from the current directory.
    """
    places = [adapter / named] if is_relative(named) else []
    found = (place for place in (*places, expanded(named)) if named and place.is_dir())
    return next(found, None)


def is_relative(named: str) -> bool:
    """Whether a base is named by its place relative to the adapter, which says nothing once they are apart."""
    return named.startswith(("./", "../", ".\\", "..\\"))


def _names_differ(adapter: Path, base: Base, revision: str | None) -> str:
    config, beside = read_adapter_config(adapter), read_base_record(adapter)
    named, trained_on = config.base_model_name_or_path or "", config.revision
    if is_relative(named):
        named = beside.hub_id or "" if beside is not None else ""
    names = {name.lower() for name in _names(base)}
    if named and names and _last(named).lower() not in {*names, _last(base.label).lower()}:
        return f"the adapter does not fit {base.label}: it was trained on {named}"
    if revision and trained_on and revision != trained_on:
        return f"the adapter does not fit the revision {revision}: it was trained on {trained_on}"
    return ""


def _names(base: Base) -> Iterator[str]:
    """The names by which ``base`` is known elsewhere; a folder's own name is none, since folders are renamed."""
    if base.kind == "hub":
        yield _last(base.name)
    if base.name in EMBEDDED:
        yield _last(EMBEDDED_IDS.get(base.name, base.name))
        yield base.name
    known = base.config.get("_name_or_path")
    if isinstance(known, str) and _last(known) and base.kind == "folder":
        yield _last(known)


def _last(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _compare_vocabularies(adapter: Path, base: Base, problems: Problems) -> None:
    """A tokenizer beside the adapter, as TRL saves it, has the vocabulary of its base."""
    here, there = (_vocabulary(folder / "tokenizer.json") for folder in (adapter, base.path))
    if here is not None and there is not None and here != there:
        what = f"the tokenizer beside the adapter has another vocabulary than that of {base.label}"
        problems.add(what, adapter / "tokenizer.json", REMEDY)


def _vocabulary(file: Path) -> Any:
    try:
        return read_object(file)["model"]["vocab"] if file.is_file() else None
    except (InputError, LookupError, TypeError):  # whatever loads it says so
        return None
