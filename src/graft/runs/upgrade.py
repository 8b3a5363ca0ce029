"""Manifests of earlier versions with today's keys; graft 0.1 had no schema version."""

from __future__ import annotations

from typing import Any


def upgrade_manifest(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``document`` with today's keys: ``licence`` is ``license``, ``inferences`` are ``inferred_settings``,
    the ``shape`` of a bundle's rows is its ``prompt``, and the method has a title.

    A document that has them already is returned as it is. Values of wrong types are left for validation to name.
    """
    found = _renamed(document, {"inferences": "inferred_settings", "tried": "candidates"})
    found.setdefault("kind", "run")
    if found["kind"] == "bundle" and "schema_version" not in found:
        found |= _bundle(found)
    if found["kind"] == "bundle":
        found = _prompted(found)
    for name, upgrade in _SECTIONS.items():
        if isinstance(found.get(name), dict):
            found[name] = upgrade(found[name])
    settings = found.get("settings")
    if "method" not in found and isinstance(settings, dict) and isinstance(settings.get("method"), str):
        name = settings["method"]
        found["method"] = {"name": name, "title": _METHODS.get(name, name)}
    adapters = found.get("adapters")
    if isinstance(adapters, dict):
        found["adapters"] = {name: _bundle_adapter(entry) for name, entry in adapters.items()}
    return found


_METHODS = {"lora": "LoRA", "qlora": "QLoRA", "full": "full fine-tuning", "adapters": "bottleneck"}
"""What reports call the methods of graft 0.1, whose manifests have only their names."""


def _renamed(document: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name) if names.get(name) not in document else name: document[name] for name in document}


def _parity(document: dict[str, Any]) -> dict[str, Any]:
    return _renamed(document, {"why": "reason"})


def _bundle_adapter(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    if isinstance(entry.get("parity"), dict):
        entry = {**entry, "parity": _parity(entry["parity"])}
    return _prompted(entry)


def _prompted(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with the settings of its rows as a prompt record."""
    if "shape" not in document:
        return document
    found = {name: value for name, value in document.items() if name != "shape"}
    return found if document["shape"] is None else {"prompt": {"data": document["shape"]}, **found}


_TARGETS = {
    "gguf": ("gguf", "GGUF for llama.cpp", "llama-cli -m {folder}/FILE -cnv"),
    "onnx-encoder": ("onnx-encoder", "ONNX for onnxruntime", ""),
    "generate-adapter": ("onnx-multi-adapter", "ONNX for onnxruntime-genai, several adapters", "graft chat {folder}"),
    "onnx": ("onnx-genai", "ONNX for onnxruntime-genai", "graft chat {folder}"),
}
"""The target, its title and the command that runs a bundle, by ``format``, or for ONNX by ``command``."""


def _bundle(document: dict[str, Any]) -> dict[str, Any]:
    """What a bundle of graft 0.1 did not say of itself."""
    kind = document.get("format") or ("generate-adapter" if document.get("command") == "generate-adapter" else "onnx")
    target, title, command = _TARGETS.get(str(kind), _TARGETS["onnx"])
    return {
        "target": target,
        "title": title,
        "format": "gguf" if kind == "gguf" else "onnx",
        "run_command": command.replace("FILE", str(document.get("file"))),
        "precision": _FORMATS.get(str(document.get("precision")), document.get("precision")),
    }


_FORMATS = {"fp32": "float32", "fp16": "float16"}
_PLACEMENTS = {"merge": "merged", "beside": "unmerged", "switch": "hot-swappable"}


def _placement(document: dict[str, Any]) -> dict[str, Any]:
    found = _renamed(document, {"way": "placement", "why": "reason"})
    placement = str(found.get("placement"))
    return {**found, "placement": _PLACEMENTS[placement]} if placement in _PLACEMENTS else found


def _machine(document: dict[str, Any]) -> dict[str, Any]:
    gpu = document.get("gpu")
    return {**document, "gpu": [gpu]} if isinstance(gpu, str) else document


_SECTIONS = {
    "base": lambda base: _renamed(base, {"licence": "license"}),
    "task": lambda task: _renamed(task, {"head": "label_space"}),
    "adapter": _placement,
    "parity": _parity,
    "machine": _machine,
}
