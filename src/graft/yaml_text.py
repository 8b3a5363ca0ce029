"""A bounded YAML parser without tags, and without the YAML 1.1 conversions that users do not expect."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from graft.errors import Key, Problems

DEEPEST = 64
"""The maximum nesting depth of lists and mappings."""
MOST_VALUES = 200_000
"""The maximum number of values in a document, counting those that aliases repeat."""
MOST_DIGITS = 400
"""The maximum number of digits in a whole number; the largest floating-point number has 309."""
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {"true": True, "false": False}
_SWITCHES = {"yes": True, "on": True, "no": False, "off": False}
_MERGE = "<<"
_REFERENCE = re.compile(r"\$\{[^{}\n]{0,100}\}?")


@dataclass
class _Open:
    """A list or mapping whose end has not been reached."""

    values: Any
    anchor: str | None
    size_before: int
    key: Key | None = None
    merged: list[Any] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)


def parse(text: str, where: str, remedy: str) -> Any:
    """Return the value of a YAML document.

    Differences from YAML 1.1: ``1e-4`` is a number; dates, ``190:20:30``, ``0x1F``, ``010`` and ``1_000`` are text;
    keys are text; in a list, ``yes``, ``no``, ``on`` and ``off`` are also text. Keys know their places
    (``graft.errors.Key``).

    Args:
        text: The document.
        where: Its file, for error messages.
        remedy: What to do if it is not valid YAML.

    Raises:
        InputError: With each repeated key, each tag, and the first syntax error.
    """
    return _Reader(where, remedy).document(text)


def dump(values: Any, in_order: bool = False) -> str:
    """Return YAML that ``parse`` reads as ``values``: a string such as ``1e-4`` is quoted.

    Args:
        values: What to write.
        in_order: Whether keys keep their order.
    """
    if in_order:
        return str(yaml.dump(values, Dumper=_OrderedDumper, sort_keys=False, allow_unicode=True, width=10**6))
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=True, allow_unicode=True))


class _Dumper(yaml.SafeDumper):
    """Quotes strings that ``parse`` reads as numbers although YAML 1.1 does not."""


_Dumper.add_representer(Key, lambda dumper, key: dumper.represent_str(str(key)))
_Dumper.add_implicit_resolver("graft:number", re.compile(f"(?:{_NUMBER.pattern})$"), list("-+.0123456789"))


class _OrderedDumper(_Dumper):
    """Writes texts of several lines in one, for people."""


_OrderedDumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None),
)


class _Reader:
    def __init__(self, where: str, remedy: str) -> None:
        self.where, self.remedy = where, remedy
        self.problems = Problems()
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.open: list[_Open] = []
        self.result: Any = None
        self.size = self.documents = 0

    def document(self, text: str) -> Any:
        """The value of the only document in ``text``."""
        with self._no_yaml(text):
            for event in yaml.parse(text, Loader=_parser(text)):
                self._take(event)
        self.problems.raise_if_any()
        return self.result

    @contextmanager
    def _no_yaml(self, text: str) -> Iterator[None]:
        """Report a syntax error together with the problems that were found before it."""
        remedy = self.remedy
        try:
            yield
            return
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            remedy = (_quoted(text, mark) if mark else "") or remedy
            line = f"{min(mark.line, text.count(chr(10))) + 1}:{mark.column + 1}" if mark else None
            said = ": ".join(filter(None, (error.context, error.problem)))
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            line = f"{before.count(chr(10)) + 1}:{error.position - before.rfind(chr(10))}"
            said = f"the character U+{error.character:04X} is not allowed"
        except (yaml.YAMLError, ValueError) as error:  # ValueError: an escape beyond Unicode
            line, said = None, str(error)
        self.problems.add(f"this is not YAML: {said}", f"{self.where}:{line}" if line else self.where, remedy)
        self.problems.raise_if_any()

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._stop(event, "a second document begins here", "keep only one document in the file")
        elif isinstance(event, yaml.AliasEvent):
            self._place_value(event)
            self._add(event, self._referred(event))
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end(event)

    def _begin(self, event: Any) -> None:
        self._untagged(event)
        self._grow(event, 1)
        if len(self.open) >= DEEPEST:
            self._stop(event, f"lists and mappings are nested more than {DEEPEST} levels", self.remedy)
        if self._expects_key():
            self._stop(event, "a list or a mapping cannot be a key", "write `name: value`")
        self._place_value(event)
        values: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.open.append(_Open(values, event.anchor, self.size))

    def _end(self, event: Any) -> None:
        ended = self.open.pop()
        for below in ended.merged:
            more = {name: value for name, value in below.items() if name not in ended.values}
            ended.values = {**more, **ended.values}  # not the other way round: names keep their places
        if ended.anchor:
            self.anchors[ended.anchor] = (ended.values, 1 + self.size - ended.size_before)
        self._add(event, ended.values)

    def _scalar(self, event: Any) -> None:
        self._untagged(event)
        self._grow(event, 1)
        if self._expects_key():
            self._name(event)
            return
        self._place_value(event)
        value = self._value(event) if event.implicit[0] else self._text(event)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        self._add(event, value)

    def _name(self, event: Any) -> None:
        """Take the key of the next value of a mapping."""
        inner, plain = self.open[-1], event.implicit[0]
        inner.key = name = Key(self._text(event), self.where, _place(event))
        if plain and name in _NOTHING:
            self._said(event, "this key is empty", "write `name: value`")
        if plain and name == _MERGE:
            return
        if name in inner.lines:
            what = f"{name[:60]!r} is given twice, first on line {inner.lines[name]}"
            self._said(event, what, "remove one of the two")
        inner.lines[name] = _place(event)[0]

    def _place_value(self, event: Any) -> None:
        """Note where the value of the open mapping's key begins."""
        if self.open and self.open[-1].key is not None:
            self.open[-1].key.value_at = _place(event)

    def _add(self, event: Any, value: Any) -> None:
        """Add a complete value to the open list or mapping, or keep it as the document's."""
        if not self.open:
            self.result = value
            return
        inner = self.open[-1]
        if isinstance(inner.values, list):
            inner.values.append(value)
        elif inner.key is None:
            self._stop(event, "an alias cannot be a key", "write the key itself")
        elif inner.key == _MERGE and _MERGE not in inner.lines:
            self._merge(event, value)
        else:
            inner.values[inner.key] = value
        inner.key = None

    def _merge(self, event: Any, value: Any) -> None:
        """Merge one or several mappings (``<<``); the mapping's own values take precedence."""
        several = value if isinstance(value, list) else [value]
        if not all(isinstance(each, dict) for each in several):
            self._stop(event, "<< requires a mapping or a list of mappings", "write the values themselves")
        self.open[-1].merged += several

    def _referred(self, event: Any) -> Any:
        if event.anchor not in self.anchors:
            self._stop(
                event, f"the alias *{event.anchor[:60]} has no complete anchor before it", "write the value itself"
            )
        value, size = self.anchors[event.anchor]
        self._grow(event, size)
        return copy.deepcopy(value)

    def _value(self, event: Any) -> Any:
        """Return the value of an unquoted scalar."""
        text: str = event.value
        if text in _NOTHING:
            return None
        if text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        if text.lower() in _SWITCHES and self.open and isinstance(self.open[-1].values, dict):
            return _SWITCHES[text.lower()]
        if _WHOLE.fullmatch(text):
            if len(text) > MOST_DIGITS:
                self._said(
                    event, f"a number with {len(text):,} digits is too large", "write a smaller number, or quote it"
                )
                return 0
            return int(text)
        if _NUMBER.fullmatch(text) and not _leading_zero(text):
            return float(text)
        special = _SPECIAL.fullmatch(text)
        return float(special[1] + special[2]) if special else self._text(event)

    def _text(self, event: Any) -> str:
        """Return a scalar as a string; an escaped surrogate pair, as in JSON, is one character."""
        try:
            return str(event.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le"))
        except UnicodeDecodeError:
            self._said(event, "a lone surrogate is not a valid character", "write the character itself")
            return ""

    def _expects_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].values, dict) and self.open[-1].key is None

    def _untagged(self, event: Any) -> None:
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")[:60]
            self._said(event, f"the tag {tag} is not supported", "remove it; a quoted value is always text")

    def _grow(self, event: Any, size: int) -> None:
        self.size += size
        if self.size > MOST_VALUES:
            what = f"the document has more than {MOST_VALUES:,} values, counting those that aliases repeat"
            self._stop(event, what, "shorten the file")

    def _said(self, event: Any, what: str, remedy: str) -> None:
        line, column = _place(event)
        self.problems.add(what, f"{self.where}:{line}:{column}", remedy)

    def _stop(self, event: Any, what: str, remedy: str) -> None:
        self._said(event, what, remedy)
        self.problems.raise_if_any()


def _place(event: Any) -> tuple[int, int]:
    """Line and column, from 1."""
    return int(event.start_mark.line) + 1, int(event.start_mark.column) + 1


def _quoted(text: str, mark: Any) -> str:
    """What to do where an unquoted reference opens a mapping; empty at any other place."""
    line = "".join(text.splitlines()[mark.line : mark.line + 1])
    found = _REFERENCE.match(line, max(0, mark.column - 1))
    return f'between {{ }} or [ ], quote a value with a reference: "{found[0]}"' if found else ""


def _leading_zero(text: str) -> bool:
    """Whether a number begins with zero, such as ``010``, which some parsers read as eight and others as ten."""
    digits = text.lstrip("+-")
    return digits.isdigit() and len(digits) > 1 and digits.startswith("0")


def _parser(text: str) -> Any:
    """Return the C parser if installed: it is forty times as fast, but rejects the surrogate pairs of JSON."""
    return yaml.SafeLoader if "\\ud" in text.lower() else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
