"""Manifests of graft 0.1, which had no schema version, with today's keys."""

from __future__ import annotations

from typing import Any


def upgrade_manifest(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``document`` with today's keys: ``licence`` is ``license``, ``inferences`` are ``inferred_settings``.

    A document that has them already is returned as it is. Values of wrong types are left for validation to name.
    """
    found = _renamed(document, {"inferences": "inferred_settings", "tried": "candidates"})
    found.setdefault("kind", "run")
    for name, upgrade in _SECTIONS.items():
        if isinstance(found.get(name), dict):
            found[name] = upgrade(found[name])
    adapters = found.get("adapters")
    if isinstance(adapters, dict):
        found["adapters"] = {name: _bundle_adapter(entry) for name, entry in adapters.items()}
    return found


def _renamed(document: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name) if names.get(name) not in document else name: document[name] for name in document}


def _parity(document: dict[str, Any]) -> dict[str, Any]:
    return _renamed(document, {"why": "reason"})


def _bundle_adapter(entry: Any) -> Any:
    if isinstance(entry, dict) and isinstance(entry.get("parity"), dict):
        return {**entry, "parity": _parity(entry["parity"])}
    return entry


def _machine(document: dict[str, Any]) -> dict[str, Any]:
    gpu = document.get("gpu")
    return {**document, "gpu": [gpu]} if isinstance(gpu, str) else document


_SECTIONS = {
    "base": lambda base: _renamed(base, {"licence": "license"}),
    "task": lambda task: _renamed(task, {"head": "label_space"}),
    "adapter": lambda adapter: _renamed(adapter, {"way": "placement", "why": "reason"}),
    "parity": _parity,
    "machine": _machine,
}
