"""Names of classes that the ``datasets`` library records beside the numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

_NUMBER = re.compile(r"-?[0-9]{1,9}(\.0)?")
Feature: TypeAlias = Any
"""A column's type as ``datasets`` writes it in JSON: ``{"_type": "ClassLabel", "names": […]}``, alone or nested."""


def named(value: Any, feature: Feature) -> Any:
    """Return ``value`` with the names of classes in place of their numbers, however deep; -1 is no class."""
    if isinstance(feature, list):
        return [named(item, feature[0]) for item in value] if isinstance(value, list) and feature else value
    if not isinstance(feature, Mapping):
        return value
    if feature.get("_type") == "ClassLabel":
        return class_name(value, feature.get("names"))
    inner = feature.get("feature") if "_type" in feature else None
    if inner is not None:
        if isinstance(value, list):
            return [named(item, inner) for item in value]
        if isinstance(value, dict) and isinstance(inner, Mapping):  # a sequence of objects is kept as lists by name
            return {key: named(item, [inner[key]] if key in inner else None) for key, item in value.items()}
        return value
    if isinstance(value, dict):
        return {key: named(item, feature.get(key)) for key, item in value.items()}
    return value


def class_name(value: Any, names: Sequence[str] | None) -> Any:
    """Return the name of a class number, also of one that is written as text; other values, and names, as they are."""
    if isinstance(value, str) and names and value in names:
        return value
    number = whole_number(value)
    if number is None or not names:
        return value
    if number == -1:
        return None
    return str(names[number]) if 0 <= number < len(names) else value


def whole_number(value: Any) -> int | None:
    """Return the integer that a cell holds, perhaps as text or as a float (``1.0``); None for other values."""
    if isinstance(value, str):
        text = value.strip()
        value = float(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isinstance(value, int) else int(value) if value.is_integer() else None


def has_classes(feature: Feature) -> bool:
    """Return whether there are names of classes in a feature, however deep."""
    if isinstance(feature, Mapping):
        return feature.get("_type") == "ClassLabel" or any(map(has_classes, feature.values()))
    return isinstance(feature, list) and any(map(has_classes, feature))


def of_schema(metadata: Mapping[bytes, bytes] | None) -> dict[str, Feature]:
    """Return the features with classes that a schema of Arrow has in its metadata ``huggingface``, by column."""
    try:
        found = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        features = found["info"]["features"] if found else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return with_classes(features)


def with_classes(features: Any) -> dict[str, Feature]:
    """Return those of the features, by column, that have classes."""
    found = features if isinstance(features, Mapping) else {}
    return {str(name): feature for name, feature in found.items() if has_classes(feature)}
