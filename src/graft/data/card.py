"""Names of classes from what describes a data set beside its files: the card, ``dataset_info.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graft.data.features import Feature, with_classes
from graft.documents import parse_yaml
from graft.errors import InputError

LARGEST_DESCRIPTION = 1 << 20
"""Bytes; a longer file is not looked at."""
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def features_beside(file: Path) -> dict[str, Feature]:
    """Return the features with classes that the folder of ``file`` describes, or the one above a folder ``data``.

    Of several configurations that differ in a column's classes, none says anything of it.
    """
    folders = [file.parent, *([file.parent.parent] if file.parent.name == "data" else [])]
    found: dict[str, Feature] = {}
    differing: set[str] = set()
    for folder in folders:
        for features in (*_of_json(folder), *_of_card(folder / "README.md")):
            for name, feature in with_classes(features).items():
                if found.setdefault(name, feature) != feature:
                    differing.add(name)
    return {name: feature for name, feature in found.items() if name not in differing}


def _of_json(folder: Path) -> Iterator[Any]:
    document = _json(_text(folder / "dataset_info.json"))
    if isinstance(document, Mapping):
        yield document.get("features")
    several = _json(_text(folder / "dataset_infos.json"))
    for info in several.values() if isinstance(several, Mapping) else ():
        yield info.get("features") if isinstance(info, Mapping) else None


def _of_card(path: Path) -> Iterator[dict[str, Feature]]:
    front = _FRONT.match(_text(path))
    if front is None or "class_label" not in front.group(1):
        return
    try:
        card = parse_yaml(front.group(1), str(path))
    except InputError:
        return
    infos = card.get("dataset_info") if isinstance(card, Mapping) else None
    for info in infos if isinstance(infos, list) else [infos]:
        if isinstance(info, Mapping):
            yield _struct(info.get("features"))


def _struct(entries: Any) -> dict[str, Feature]:
    listed = entries if isinstance(entries, list) else []
    return {str(entry["name"]): _feature(entry) for entry in listed if isinstance(entry, Mapping) and "name" in entry}


def _feature(entry: Any) -> Feature:
    """A column's type as the card writes it, in the form of ``dataset_info.json``."""
    if not isinstance(entry, Mapping):
        return None
    if "class_label" in entry:
        label = entry["class_label"]
        return {"_type": "ClassLabel", "names": _names(label.get("names") if isinstance(label, Mapping) else None)}
    if "struct" in entry:
        return _struct(entry["struct"])
    for key in ("sequence", "list"):
        if key in entry:
            inner = entry[key]
            return {"_type": "List", "feature": _struct(inner) if isinstance(inner, list) else _feature(inner)}
    return _feature(entry.get("dtype"))


def _names(names: Any) -> list[str] | None:
    if isinstance(names, Mapping):
        return [str(names[key]) for key in sorted(names, key=lambda key: int(key) if str(key).isdigit() else 0)]
    return [str(name) for name in names] if isinstance(names, list) else None


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_DESCRIPTION:
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
