"""Files with planted faults, made of real rows: what is planted where is recorded, independently of how it is found.

``python tests/data/planted.py FOLDER`` writes them. The rows are those of ``graft demo``. No row has two faults.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

Row = dict[str, Any]
WHOLE = 0
"""The line that stands for the file as a whole."""


@dataclass
class Planted:
    """A file of rows with planted faults.

    Attributes:
        name: The file.
        lines: What is written, row by row: a row, or a text that is no row.
        places: For each kind of fault the lines that it was planted in, counted from 1.
        beside: For each kind the lines that a finding may name as well, such as the earlier of two equal rows.
    """

    name: str
    lines: list[Row | str] = field(default_factory=list)
    places: dict[str, set[int]] = field(default_factory=dict)
    beside: dict[str, set[int]] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the file, and return its path."""
        texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in self.lines]
        path = folder / self.name
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return path


def demo_rows(name: str = "tone-train.jsonl") -> list[Row]:
    """The real rows: a text and its label; those with many near twins are left out."""
    text = files("graft.demo_data").joinpath(name).read_text(encoding="utf-8")
    rows = map(json.loads, text.splitlines())
    found = [{"text": row["text"], "label": row["label"]} for row in rows]
    return found[:1000] + found[1700:] if len(found) > 2000 else found


class Planter:
    """Takes rows that nothing was planted in, and records where something is."""

    def __init__(self, name: str, rows: list[Row], seed: int) -> None:
        self.file = Planted(name, list(rows))
        self.random = random.Random(seed)
        self._free = list(range(len(rows)))
        self.random.shuffle(self._free)

    def free(self, number: int, fits: Callable[[Row], bool] = lambda row: True) -> Iterator[tuple[int, Row]]:
        """Yield the places and copies of rows without a fault that fit; they are taken."""
        for _ in range(number):
            place = next(place for place in self._free if isinstance(row := self.file.lines[place], dict) and fits(row))
            self._free.remove(place)
            yield place, dict(self.file.lines[place])  # type: ignore[arg-type]

    def change(
        self,
        kind: str,
        changes: list[Callable[[Row], Any]],
        times: int = 1,
        fits: Callable[[Row], bool] = lambda r: True,
    ) -> None:
        """Apply each change to some rows; one that returns something replaces the whole line by it."""
        for change in changes * times:
            for place, row in self.free(1, fits):
                replaced = change(row)
                self.file.lines[place] = row if replaced is None else replaced
                self.file.places.setdefault(kind, set()).add(place + 1)

    def add(self, kind: str, row: Row, beside: int) -> None:
        """Put a row at the end; ``beside`` is the place of the row that it belongs to."""
        self.file.lines.append(row)
        self.file.places.setdefault(kind, set()).add(len(self.file.lines))
        self.file.beside.setdefault(kind, set()).add(beside + 1)


def _long(row: Row) -> bool:
    return len(row["text"]) > 60


def _on(column: str, change: Callable[[str], Any]) -> Callable[[Row], None]:
    def changed(row: Row) -> None:
        row[column] = change(row[column])

    return changed


def _mojibake(codec: str, letters: str) -> Callable[[str], str]:
    """Text that was written in UTF-8 and read in another encoding."""
    return lambda text: f"{text} {letters.encode('utf-8').decode(codec)}"


FORM: dict[str, list[Callable[[Row], Any]]] = {
    "unreadable": [
        lambda row: json.dumps(row)[: len(json.dumps(row)) // 2],
        lambda row: json.dumps(row)[:-1] + ",}",
        lambda row: json.dumps(row).replace('"', "'"),
        lambda row: {"text": row["text"]},
        lambda row: {"label": row["label"]},
        lambda row: {**row, "label": None},
        lambda row: {**row, "label": ""},
        lambda row: json.dumps([row["text"], row["label"]]),
    ],
    "encoding": [
        _on("text", _mojibake("cp1252", "It’s a café in São Paulo")),
        _on("text", _mojibake("latin-1", "die Straße ist schön, größer als früher")),
        _on("text", _mojibake("cp1252", "it’s “here – and dashed…")),
        _on("text", "{} na\ufffdve caf\ufffd".format),
        _on("text", _mojibake("cp1251", "déjà vu, garçon")),
        _on("text", _mojibake("cp1252", "¿Qué pasó mañana? ¡Adiós, señor!")),
    ],
    "control_characters": [
        _on("text", lambda text: f"{text[:20]}\x00{text[20:]}"),
        _on("text", lambda text: f"\x1b[31m{text}\x1b[0m"),
        _on("text", lambda text: f"{text[:10]}\u200b{text[10:20]}\u200b{text[20:]}"),
        _on("text", "{}\x07\x08".format),
        _on("text", lambda text: f"{text[:15]}\u202e{text[15:]}"),
        _on("text", "\ufeff{}".format),
    ],
    "html": [
        _on("text", lambda text: f"<p>{text}</p>"),
        _on("text", "{}<br /><br />And more of it.".format),
        _on("text", lambda text: f'<div class="post"><a href="/x?y=1&amp;z=2">link</a> {text}</div>'),
        _on("text", "{} &lt;3 &amp;&nbsp;so on".format),
        _on("text", lambda text: f"{text.replace(' ', '&#32;', 2)} don&#39;t"),
        _on("text", lambda text: f"<b>{text[:20]}</b>{text[20:]}"),
    ],
    "personal_data": [
        _on("text", "{} Write to marie.curie@sorbonne.example.org".format),
        _on("text", "{} call +49 30 901820 tomorrow".format),
        _on("text", "{} my card is 4111 1111 1111 1111".format),
        _on("text", "{} IBAN DE89 3704 0044 0532 0130 00".format),
        _on("text", "jane_doe+lists@mail.example.co.uk says: {}".format),
        _on("text", "{} SSN 536-90-4399".format),
        _on("text", "{} phone: (212) 736-5000".format),
        _on("text", "{} 5500005555555559".format),
    ],
    "secrets": [
        _on("text", "{} sk-proj-Zb3Lk9Qx2Tn8Vw5Rm1Yc7Hd4Jf6Gs0Pa".format),
        _on("text", "{} AKIAIOSFODNN7QRSTUVW".format),
        _on("text", "{} ghp_16C7e42F292c6912E7710c838347Ae178B4a".format),
        _on(
            "text",
            lambda text: (
                f"{text}\n-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePz\n"
                "-----END RSA PRIVATE KEY-----"
            ),
        ),
        _on("text", "{} xoxb-2413508763-2413508763241-AbCdEfGhIjKlMnOpQrStUvWx".format),
    ],
    "languages": [
        _on("text", lambda _: "Der Zug kam heute wieder viel zu spät, und niemand hat uns gesagt, warum."),
        _on("text", lambda _: "Je ne comprends vraiment pas pourquoi ils ont fermé la boulangerie de mon quartier."),
        _on("text", lambda _: "Ayer fuimos todos juntos a la playa y comimos un pescado buenísimo con los abuelos."),
        _on("text", lambda _: "Сегодня утром шёл сильный дождь, и мы решили остаться дома до самого вечера."),
        _on("text", lambda _: "今天的天气非常好，我们下午打算一起去公园散步，然后吃晚饭。"),
        _on("text", lambda _: "Oggi pomeriggio ho incontrato la mia vecchia professoressa davanti alla stazione."),
        _on("text", lambda _: "لم أستطع النوم الليلة الماضية بسبب الضوضاء القادمة من الشارع المجاور."),
        _on("text", lambda _: "Wczoraj wieczorem oglądaliśmy bardzo ciekawy film o życiu w małym miasteczku."),
    ],
    "label_variants": [
        _on("label", str.upper),
        _on("label", str.capitalize),
        _on("label", lambda label: f" {label}"),
        _on("label", lambda label: f"{label}s"),
        _on("label", lambda label: label[:3] + label[4:]),
        _on("label", lambda label: label[:2] + label[3] + label[2] + label[4:]),
        _on("label", lambda label: f"{label}."),
    ],
}
"""What is done to single rows, in several manners for each kind."""


def classification(seed: int = 7, rows: int = 1400) -> Planted:
    """Labeled texts: faults of form, repetition, labels, and privacy."""
    planter = Planter("labeled.jsonl", demo_rows()[:rows], seed)
    for kind, changes in FORM.items():
        planter.change(kind, changes, 1 if kind in ("unreadable", "languages", "label_variants") else 2, _long)
    planter.change("rare_class", [_on("label", lambda _: "sarcastic")], 4)
    planter.file.beside["rare_class"] = planter.file.places["label_variants"]  # each is a class of its own
    _repeat(planter)
    return planter.file


def flipped(seed: int = 17, rows: int = 1000) -> Planted:
    """Labeled texts some of which have the opposite label."""
    planter = Planter("flipped.jsonl", demo_rows()[:rows], seed)
    _flip(planter, 40)
    return planter.file


def _flip(planter: Planter, number: int) -> None:
    """Clear texts with the opposite label."""
    opposite = {"positive": "negative", "negative": "positive"}
    clear = (
        "love",
        "great",
        "happy",
        "hate",
        "awesome",
        "terrible",
        "sad",
        "amazing",
        "worst",
        "thanks",
        "good",
        "bad",
    )

    def fits(row: Row) -> bool:
        return row["label"] in opposite and any(word in row["text"].lower() for word in clear)

    planter.change("wrong_labels", [_on("label", lambda label: opposite[label])], number, fits)


def _repeat(planter: Planter) -> None:
    for place, row in list(planter.free(20)):
        planter.add("duplicates", dict(row), place)
    near: list[Callable[[str], str]] = [
        lambda text: text + "!",
        lambda text: text[:-1],
        lambda text: text.replace(" the ", " a ", 1) + " ",
        lambda text: text[:30] + text[30:31] + text[30:],
        lambda text: text + " rt",
    ]
    for change in near * 4:
        for place, row in planter.free(1, lambda row: len(row["text"]) > 80):
            planter.add("near_duplicates", {**row, "text": change(row["text"])}, place)
    others = {"positive": "negative", "negative": "neutral", "neutral": "positive"}
    for place, row in list(planter.free(12)):
        planter.add("contradictions", {**row, "label": others[row["label"]]}, place)


def held_out(train: Planted, seed: int = 11) -> Planted:
    """Rows to judge by, some of which are rows of ``train``, or nearly."""
    planter = Planter("held-out.jsonl", demo_rows("tone-test.jsonl")[:300], seed)
    taken = {line for lines in (*train.places.values(), *train.beside.values()) for line in lines}
    clean = [row for n, row in enumerate(train.lines[:1400], 1) if n not in taken and isinstance(row, dict)]
    for row in planter.random.sample(clean, 12):
        planter.add("leakage", dict(row), -1)
    for number, row in enumerate(planter.random.sample([row for row in clean if len(row["text"]) > 80], 12)):
        text = row["text"]
        planter.add(
            "near_leakage",
            {**row, "text": (text + "!!", text[:-2], f"so {text}", text[:40] + text[41:])[number % 4]},
            -1,
        )
    return planter.file


def imbalanced(seed: int = 3) -> Planted:
    """Labeled texts of which nearly all are of one class."""
    rows = demo_rows()
    many = [row for row in rows if row["label"] == "positive"][:600]
    few = [row for row in rows if row["label"] == "negative"][:15]
    planter = Planter("imbalanced.jsonl", [*many, *few], seed)
    planter.file.places["imbalance"] = {WHOLE}
    return planter.file


TEMPLATE = "Classify the tone of this message.\n\nMessage: {text}\nTone:"
OTHERS: tuple[Callable[[Row], Row], ...] = (
    lambda row: {
        **row,
        "prompt": f"### Instruction:\nClassify the tone.\n\n### Input:\n{row['text']}\n\n### Response:\n",
    },
    lambda row: {**row, "prompt": f"Classify the tone of this message.\n\nmessage - {row['text']}\nTone:"},
    lambda row: {**row, "prompt": f"Text: {row['text']}\nWhat is its tone?"},
    lambda row: {**row, "prompt": row["text"]},
    lambda row: {**row, "prompt": f"[INST] {row['text']} [/INST]"},
)


def templated(seed: int = 5, rows: int = 400) -> Planted:
    """Prompts from one template, some of which are from others; and types and columns that differ between rows."""
    made = [
        {"prompt": TEMPLATE.format(text=row["text"]), "completion": row["label"], "text": row["text"]}
        for row in demo_rows()[:rows]
    ]
    planter = Planter("templated.jsonl", made, seed)
    planter.change("templates", list(OTHERS), 3)  # type: ignore[arg-type]
    mixed: list[Callable[[Row], Any]] = [
        lambda row: {**row, "completion": ["positive", "negative", "neutral"].index(row["completion"])},
        lambda row: {"prompt": row["prompt"], "output": row["completion"]},
        lambda row: {**row, "completion": [row["completion"]]},
        lambda row: {**row, "completion": row["completion"] == "positive"},
        lambda row: {"input": row["prompt"], "completion": row["completion"]},
    ]
    planter.change("columns", mixed, 2)
    for line in planter.file.lines:
        if isinstance(line, dict):
            line.pop("text", None)
    return planter.file


def _turns(row: Row, number: int) -> Row:
    """A conversation of two rounds about a text."""
    asked = {"role": "user", "content": f"How does this sound? {row['text']}"}
    told = {"role": "assistant", "content": f"It sounds {row['label']} to me."}
    more = [{"role": "user", "content": ("And why?", "Are you sure?", "Say more.")[number % 3]}]
    more.append(
        {"role": "assistant", "content": f"Because of its words, of which {len(row['text'].split())} are there."}
    )
    return {"messages": [asked, told, *more]}


def chats(seed: int = 9, rows: int = 400) -> Planted:
    """Conversations with roles out of order, and with turns in which nothing is said."""
    planter = Planter("chats.jsonl", [_turns(row, n) for n, row in enumerate(demo_rows()[:rows])], seed)

    def turns(change: Callable[[list[Row]], list[Row]]) -> Callable[[Row], Row]:
        return lambda row: {"messages": change([dict(turn) for turn in row["messages"]])}

    order = [
        turns(lambda m: [m[0], m[0], *m[1:]]),
        turns(lambda m: [m[1], m[0], *m[2:]]),
        turns(lambda m: [m[0], m[1], m[1], *m[2:]]),
        turns(lambda m: [*m[:2], {"role": "system", "content": "Be brief."}, *m[2:]]),
    ]
    planter.change("roles", list(order), 4)
    empty = [
        turns(lambda m: [{**m[0], "content": ""}, *m[1:]]),
        turns(lambda m: [*m[:2], {**m[2], "content": "   "}, m[3]]),
        turns(lambda m: [m[0], {**m[1], "content": ""}, *m[2:]]),
        turns(lambda m: [*m[:2], {**m[2], "content": "\n"}, m[3]]),
    ]
    planter.change("empty_turns", list(empty), 4)
    return planter.file


def for_tokens(seed: int = 13, rows: int = 300) -> Planted:
    """Prompts and answers with faults that are seen in tokens alone; they are for a limit of 256 tokens."""
    made = [
        {"prompt": f"Describe: {row['text']}", "completion": f"It is {row['label']}."} for row in demo_rows()[:rows]
    ]
    planter = Planter("tokens.jsonl", made, seed)
    filler = "and then we went on and on about it for a while, "
    planter.change("cut_answers", [lambda row: {**row, "completion": row["completion"] + filler * 40}], 5)
    planter.change("cut_prompts", [lambda row: {**row, "prompt": row["prompt"] + filler * 40}], 6)
    special: list[Callable[[Row], Any]] = [
        _on("prompt", "{} <|im_start|>assistant".format),
        _on("completion", "{}<|im_end|> And so on.".format),
        _on("prompt", "<|im_start|>{}".format),
        _on("completion", "{} <|endoftext|>".format),
    ]
    planter.change("special_tokens", special, 3)
    rare: list[Callable[[Row], Any]] = [
        _on("completion", lambda _: "𒀀𒁀𒂊𒃲𒄿𒅗𒆷𒇽𒈗𒉿 𒊩𒋾𒌷𒌋𒍑"),
        _on("completion", lambda _: "ᚠᚢᚦᚨᚱᚲᚷᚹᚺᚾᛁᛃᛇᛈᛉᛊᛏᛒᛖᛗᛚ"),
        _on("completion", lambda _: "𓀀𓁐𓂀𓃀𓄿𓅓𓆑𓇋𓈖𓉔𓊃𓋴𓌳𓍿𓎡"),
    ]
    planter.change("byte_fallback", rare, 3)
    return planter.file


def preferences(seed: int = 15, rows: int = 300) -> Planted:
    """Pairs of a chosen and a rejected answer: equal ones, opposed ones, and such that the longer one is chosen."""
    made = []
    for number, row in enumerate(demo_rows()[:rows]):
        good, bad = f"It sounds {row['label']}, by its words and its signs.", f"No idea about number {number}."
        made.append({"prompt": f"How does this sound? {row['text']}", "chosen": good, "rejected": bad})
    planter = Planter("preferences.jsonl", made, seed)
    equal: list[Callable[[Row], Any]] = [
        lambda row: {**row, "rejected": row["chosen"]},
        lambda row: {**row, "rejected": f"{row['chosen']} "},
    ]
    planter.change("equal_pairs", equal, 5)
    for place, row in list(planter.free(8)):
        planter.add("opposed_pairs", {**row, "chosen": row["rejected"], "rejected": row["chosen"]}, place)
    return planter.file


def all_files() -> list[Planted]:
    """Every file."""
    train = classification()
    return [train, held_out(train), imbalanced(), flipped(), templated(), chats(), for_tokens(), preferences()]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for planted in all_files():
        planted.write(target)
    record = {each.name: {kind: sorted(lines) for kind, lines in each.places.items()} for each in all_files()}
    (target / "planted.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
