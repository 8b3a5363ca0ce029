"""The fields of the installed ``transformers.TrainingArguments``, read from its source: importing it takes seconds."""

from __future__ import annotations

import ast
import functools
import importlib.util
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

_FILES = ("trainer_utils.py", "training_args.py")
_CLASS = "TrainingArguments"
_TYPES: Mapping[str, Any] = {
    "Any": Any,
    **{kind.__name__: kind for kind in (int, float, str, bool, dict, list, tuple)},
}


@dataclass(frozen=True)
class ArgumentField:
    """A field: its type, and its default."""

    annotation: Any
    default: Any


@functools.cache
def argument_fields() -> Mapping[str, ArgumentField]:
    """Return every field by name. Where the source has an unknown form, transformers is imported."""
    try:
        found = _read_source()
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, AttributeError):
        found = {}
    return found or _imported()


def _imported() -> dict[str, ArgumentField]:
    import dataclasses
    import typing

    from transformers import TrainingArguments

    types = typing.get_type_hints(TrainingArguments)
    return {
        field.name: ArgumentField(
            types[field.name],
            [] if callable(field.default_factory) else field.default,
        )
        for field in dataclasses.fields(TrainingArguments)
    }


def _read_source() -> dict[str, ArgumentField]:
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise LookupError("transformers")
    known = dict(_TYPES)
    fields: dict[str, ArgumentField] = {}
    for name in _FILES:
        tree = ast.parse((Path(spec.origin).parent / name).read_text(encoding="utf-8"))
        for statement in tree.body:
            if isinstance(statement, ast.ClassDef) and statement.name == _CLASS:
                fields = dict(_fields(statement, known))
            elif isinstance(statement, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in statement.bases):
                known[statement.name] = _enum(statement)
    return fields


def _enum(statement: ast.ClassDef) -> Any:
    """A class of the same names and values, for the types of fields."""
    members = {
        target.id: ast.literal_eval(assigned.value)
        for assigned in statement.body
        if isinstance(assigned, ast.Assign)
        for target in assigned.targets
        if isinstance(target, ast.Name)
    }
    return Enum(statement.name, members, type=str)


def _fields(statement: ast.ClassDef, known: Mapping[str, Any]) -> Iterator[tuple[str, ArgumentField]]:
    constants = _constants(statement)
    for declared in statement.body:
        if not isinstance(declared, ast.AnnAssign) or not isinstance(declared.target, ast.Name):
            continue
        annotation = ast.unparse(declared.annotation)
        if annotation.startswith("ClassVar"):
            continue
        call = declared.value
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "field":
            raise ValueError(f"{declared.target.id} is declared in another form")
        given = {word.arg: word.value for word in call.keywords}
        if given.get("init") is not None and ast.unparse(given["init"]) == "False":
            continue
        default = [] if "default_factory" in given else _value(given["default"], known, constants)
        yield declared.target.id, ArgumentField(_type(declared.annotation, known), default)


def _constants(statement: ast.ClassDef) -> dict[str, Any]:
    """Values that the class assigns for its fields; of several the last, as with the PyTorch that graft needs."""
    found: dict[str, Any] = {}
    outside = [each for each in statement.body if isinstance(each, (ast.Assign, ast.If))]
    for node in (node for each in outside for node in ast.walk(each)):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
        ):
            found[node.targets[0].id] = node.value.value
    return found


def _value(node: ast.expr, known: Mapping[str, Any], constants: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return constants[node.id]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return getattr(known[node.value.id], node.attr)
    return ast.literal_eval(node)


def _type(node: ast.expr, known: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return functools.reduce(operator.or_, (_type(side, known) for side in (node.left, node.right)))
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
        return Literal[ast.literal_eval(node.slice)]
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _type(node.value, known)[tuple(_type(each, known) for each in inner)]
    if isinstance(node, ast.Name):
        return known.get(node.id, Any)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _type(ast.parse(node.value, mode="eval").body, known)
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    raise ValueError(f"the type {ast.unparse(node)} is of another form")
