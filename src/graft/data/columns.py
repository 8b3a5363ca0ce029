"""What the columns of a row mean: which is the prompt, which the answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graft.config import DataSettings
from graft.data.chat_formats import from_conversation, from_messages
from graft.data.example import AnswerExample, Example, Message, Origin, as_text
from graft.data.inferred import InferredSetting
from graft.data.readers import Row
from graft.data.templates import check_names, parse_template, split_template
from graft.errors import InputError, Problems, shorten

Convert = Callable[[Mapping[str, Any], Origin], list[Example]]

TEXTS = ("text", "sentence", "review", "tweet", "content")
LABELS = ("label", "labels", "class", "category", "sentiment", "tone", "intent")
ANSWERS = ("completion", "response", "answer", "output", "chosen", "target")
DOCUMENTS = ("text", "document", "article", "dialogue")
SUMMARIES = ("summary", "highlights", "abstract")
MOST_LABELS_NAMED = 40


@dataclass(frozen=True)
class ColumnMapping:
    """How rows become examples. ``columns`` are those that are read; ``labels`` the classes, where answers are such.

    ``names`` is given where answers are no classes: what they are made of (tags, several labels), or nothing.
    """

    kind: str
    columns: tuple[str, ...]
    convert: Convert
    labels: list[str] | None = None
    inferred: list[InferredSetting] = field(default_factory=list)
    names: list[str] | None = None


def recognize(
    rows: Sequence[Row], settings: DataSettings, generation_prompt: str | None = None, labels: list[str] | None = None
) -> ColumnMapping:
    """The mapping for ``rows``: by the templates that are given, else by the names of the columns.

    Raises:
        InputError: when a template names a column that is not there, or no role is known for the columns.
    """
    shape = _Shape(settings)
    counts = Counter(name for row in rows for name in row.columns)
    if settings.text_template is not None:
        return _by_text_template(settings.text_template, list(counts), generation_prompt)
    if settings.prompt_template is not None or settings.completion_template is not None:
        return _by_two_templates(settings, list(counts), shape)
    columns = [name for name, count in counts.items() if 2 * count >= len(rows)]
    mapping = _by_names(columns, rows, settings, shape, labels)
    if mapping is not None:
        _refuse_other_kinds(mapping, columns, rows, lambda names: _by_names(names, rows, settings, shape, labels))
        return mapping
    columns = columns or list(rows[0].columns)
    example = f'--prompt_template "{{{columns[0]}}}" --completion_template "{{{columns[-1]}}}"'
    raise InputError(
        f"no roles are known for the columns {', '.join(columns)}",
        where=str(rows[0].origin),
        remedy=f"say what they are, such as {example}",
    )


def _by_names(
    columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: list[str] | None
) -> ColumnMapping | None:
    for find in (_messages, _conversations, _pairs, _alpaca, _questions, _classes, _summaries, _inputs, _tags, _text):
        mapping: ColumnMapping | None = find(columns, rows, settings, shape, labels)
        if mapping is not None:
            return mapping
    return None


def _refuse_other_kinds(
    mapping: ColumnMapping, columns: list[str], rows: Sequence[Row], find: Callable[[list[str]], ColumnMapping | None]
) -> None:
    """A row that has all that the others have, and besides would be read otherwise, would lose its answer in silence.

    Raises:
        InputError: naming such rows.
    """
    problems = Problems()
    kinds: dict[tuple[str, ...], str] = {}
    for row in rows:
        names = tuple(row.columns)
        if set(names) <= set(columns):
            continue
        if names not in kinds:
            found = find(list(names))
            kinds[names] = found.kind if found and set(mapping.columns) <= set(names) else mapping.kind
        if kinds[names] != mapping.kind:
            problems.add(
                f"this row has {', '.join(names)} ({kinds[names]}), and most rows have {', '.join(columns)}",
                str(row.origin),
                "rows of one kind are wanted: split the file, or say by --text_template what is read",
            )
    shorten(problems, "rows like these")
    problems.raise_if_any()


@dataclass(frozen=True)
class _Shape:
    """A prompt with the system message and the instruction that the settings give."""

    settings: DataSettings

    def prompt(self, text: str, instruction: str | None = None, system: str | None = None) -> tuple[Message, ...]:
        instruction = self.settings.instruction or instruction
        content = f"{instruction}\n\n{text}" if instruction and text else instruction or text
        system = self.settings.system_prompt or system
        before: tuple[Message, ...] = ({"role": "system", "content": system},) if system else ()
        return (*before, {"role": "user", "content": content})


def shape_prompt(text: str, settings: DataSettings | None) -> tuple[Message, ...] | str:
    """What is typed, as the prompt of a run with these settings: in its template, or behind its instruction."""
    if settings is None:
        return ({"role": "user", "content": text},)
    if settings.text_template is not None:
        before, _, _ = split_template(parse_template(settings.text_template))
        return _moved(before.fill(dict.fromkeys(before.names, text)), "")[0]
    if settings.prompt_template is not None:
        template = parse_template(settings.prompt_template)
        return _Shape(settings).prompt(template.fill(dict.fromkeys(template.names, text)))
    return _Shape(settings).prompt(text)


def _by_text_template(text: str, columns: list[str], generation_prompt: str | None) -> ColumnMapping:
    template = parse_template(text)
    problems = Problems()
    check_names(template, columns, "--text_template", problems)
    problems.raise_if_any()
    before, after, border = split_template(template, generation_prompt)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        prompt, completion = _moved(before.fill(row), after.fill(row))
        return [AnswerExample(prompt, completion, origin)]

    said = [InferredSetting("completion_begins", border, "where --text_template's answer starts")]
    return ColumnMapping("text_template", tuple(dict.fromkeys(template.names)), convert, None, said)


def _moved(prompt: str, completion: str) -> tuple[str, str]:
    """Blanks at the prompt's end belong to the completion: tokenizers keep a blank with the word behind it."""
    bare = prompt.rstrip(" \t")
    return bare, prompt[len(bare) :] + completion


def _by_two_templates(settings: DataSettings, columns: list[str], shape: _Shape) -> ColumnMapping:
    problems = Problems()
    if settings.prompt_template is None or settings.completion_template is None:
        given, other = ("completion", "prompt") if settings.prompt_template is None else ("prompt", "completion")
        problems.add(f"--{given}_template is given without --{other}_template", remedy="the two go together")
        problems.raise_if_any()
    prompt, completion = (
        parse_template(str(settings.prompt_template)),
        parse_template(str(settings.completion_template)),
    )
    check_names(prompt, columns, "--prompt_template", problems)
    check_names(completion, columns, "--completion_template", problems)
    problems.raise_if_any()

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [AnswerExample(shape.prompt(prompt.fill(row)), completion.fill(row), origin)]

    return ColumnMapping("templates", tuple(dict.fromkeys((*prompt.names, *completion.names))), convert)


def first_of(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _simple(kind: str, used: tuple[str, ...], convert: Convert, *said: InferredSetting) -> ColumnMapping:
    chosen = InferredSetting("column_mapping", kind, f"by the columns {', '.join(used)}")
    return ColumnMapping(kind, used, convert, None, [chosen, *said])


def _messages(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    if "messages" not in columns:
        return None
    used = ("messages", "tools") if "tools" in columns else ("messages",)
    return _simple("messages", used, lambda row, origin: from_messages(row, origin, settings.system_prompt))


def _conversations(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    name = first_of(columns, ("conversations", "conversation"))
    if name is None:
        return None
    return _simple(
        "conversations", (name,), lambda row, origin: from_conversation(row, name, origin, settings.system_prompt)
    )


def _pairs(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    answer = first_of([name for name in columns if name != "prompt"], ANSWERS)
    if "prompt" not in columns or answer is None:
        return None

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        prompt, completion = row["prompt"], row[answer]
        if _is_messages(completion) and isinstance(prompt, str):  # preferences: `chosen` may hold the prompt, too
            turns = completion if len(completion) > 1 else [*shape.prompt(prompt), *completion]
            return from_messages({"messages": turns}, origin, settings.system_prompt)[-1:]
        if isinstance(prompt, list):
            turns = [*prompt, *(completion if isinstance(completion, list) else [])]
            if not isinstance(completion, list):
                turns.append({"role": "assistant", "content": as_text(completion)})
            return from_messages({"messages": turns}, origin, settings.system_prompt)[-1:]
        return [AnswerExample(shape.prompt(as_text(prompt)), as_text(completion), origin)]

    return _simple(f"prompt/{answer}", ("prompt", answer), convert)


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and "role" in turn for turn in value)


def _alpaca(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    answer = first_of(columns, ("output", "response", "completion", "answer"))
    if "instruction" not in columns or answer is None:
        return None

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        parts = [as_text(row[name]) for name in ("instruction", "input", "context") if row.get(name)]
        system = as_text(row["system"]) if row.get("system") else None
        return [AnswerExample(shape.prompt("\n\n".join(parts), system=system), as_text(row[answer]), origin)]

    return _simple("instruction", ("instruction", answer), convert)


def _questions(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    answer = first_of(columns, ("answer", "answers"))
    if "question" not in columns or answer is None:
        return None

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        parts = [as_text(row[name]) for name in ("context", "question") if row.get(name)]
        value = row[answer]
        if isinstance(value, dict) and isinstance(value.get("text"), list):
            value = value["text"]
        if isinstance(value, list):
            value = value[0] if value else ""
        return [AnswerExample(shape.prompt("\n\n".join(parts)), as_text(value), origin)]

    return _simple("question/answer", ("question", answer), convert)


def _classes(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    text, label = first_of(columns, TEXTS), first_of(columns, LABELS)
    if text is None or label is None:
        return None
    values = {as_text(row.columns[label]) for row in rows if row.columns.get(label) is not None}
    if not labels and len(values) > MOST_LABELS_NAMED and 2 * len(values) > len(rows):  # no classes, but answers
        return _simple(
            f"{text}/{label}",
            (text, label),
            lambda row, origin: [AnswerExample(shape.prompt(as_text(row[text])), as_text(row[label]), origin)],
        )
    known = labels or sorted(values)
    instruction = settings.instruction or _classify(known)

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        answer = as_text(row[label])
        return [AnswerExample(shape.prompt(as_text(row[text]), instruction), answer, origin, label=answer)]

    said = (
        [] if settings.instruction else [InferredSetting("instruction", instruction, "labeled text needs a question")]
    )
    mapping = _simple("text/label", (text, label), convert, *said)
    return ColumnMapping(mapping.kind, mapping.columns, convert, known, mapping.inferred)


def _classify(labels: Sequence[str]) -> str:
    if len(labels) > MOST_LABELS_NAMED:
        return "Classify the text. Answer with the class only."
    return f"Classify the text as one of: {', '.join(labels)}. Answer with one of these only."


def _summaries(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    text, summary = first_of(columns, DOCUMENTS), first_of(columns, SUMMARIES)
    if text is None or summary is None:
        return None
    instruction = settings.instruction or "Summarize the text."

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        return [AnswerExample(shape.prompt(as_text(row[text]), instruction), as_text(row[summary]), origin)]

    said = [] if settings.instruction else [InferredSetting("instruction", instruction, "a text and its summary")]
    return _simple("text/summary", (text, summary), convert, *said)


def _inputs(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    answer = first_of([name for name in columns if name != "input"], (*ANSWERS, *LABELS))
    if "input" not in columns or answer is None:
        return None
    return _simple(
        f"input/{answer}",
        ("input", answer),
        lambda row, origin: [AnswerExample(shape.prompt(as_text(row["input"])), as_text(row[answer]), origin)],
    )


def _tags(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    tags = first_of(columns, ("tags", "ner_tags", "labels"))
    if "tokens" not in columns or tags is None:
        return None
    instruction = settings.instruction or "Extract the parts as JSON."

    def convert(row: Mapping[str, Any], origin: Origin) -> list[Example]:
        words, names = row["tokens"], row[tags]
        if not isinstance(words, list) or not isinstance(names, list) or len(words) != len(names):
            raise InputError("tokens and tags are not lists of one length", where=str(origin))
        if any(isinstance(name, int) for name in names):
            raise InputError("the tags are numbers without names", where=str(origin), remedy="write their names")
        answer = json.dumps(join_tags(words, names), ensure_ascii=False)
        return [AnswerExample(shape.prompt(" ".join(map(str, words)), instruction), answer, origin)]

    said = [] if settings.instruction else [InferredSetting("instruction", instruction, "tokens with tags")]
    return _simple("tokens/tags", ("tokens", tags), convert, *said)


def join_tags(words: Sequence[Any], tags: Sequence[Any]) -> dict[str, str | list[str]]:
    """Tag -> its words, joined, or a list where there are several of one tag; ``O`` is no tag.

    In the BIO scheme (Ramshaw & Marcus 1995) ``B-`` begins another of its kind; plain tags are taken together.
    """
    parts: dict[str, list[str]] = {}
    for word, tag in zip(words, tags, strict=True):
        prefix, name = (str(tag)[:1], str(tag)[2:]) if str(tag)[:2] in {"B-", "I-"} else ("", str(tag))
        if name == "O":
            continue
        found = parts.setdefault(name, [])
        if found and prefix != "B":
            found[-1] += f" {word}"
        else:
            found.append(str(word))
    return {name: found[0] if len(found) == 1 else found for name, found in parts.items()}


def _text(columns: list[str], rows: Sequence[Row], settings: DataSettings, shape: _Shape, labels: Any) -> Any:
    if "text" not in columns:
        return None
    return _simple("text", ("text",), lambda row, origin: [AnswerExample("", as_text(row["text"]), origin)])
