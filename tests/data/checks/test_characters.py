"""Wrong encodings, control characters, and personal data: planted rows are named, and near misses are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from written_rows import findings, lines, texts

WRONG = (
    *("Is the cafÃ© open?", "itâ€™s late", "PrÃ³xima parada", "It costs Â£5", "RÃ©sumÃ© of Ã…ngstrÃ¶m", "schÃ¶n"),
    *("Ð\x9fÑ\x80Ð¸Ð²ÐµÑ\x82, Ð¼Ð¸Ñ\x80", "dГ©jГ\xa0 vu, garГ§on"),
)
RIGHT = (
    *(
        "Is the café open?",
        "it’s late",
        "Próxima parada",
        "It costs £5",
        "Ångström",
        "Привет, мир",
        "文字",
        "naïve — “so”",
    ),
    *(
        "Why is é shown as 'Ã©' when UTF-8 is read as Latin-1?",
        "decode 'Ã©' correctly",
        "Г. Москва № 5",
        "½ × ¾ © ® ™ °C µm",
        "Ã",
    ),
)
CONTROLS = (
    "a\x00b",
    "bell\x07",
    "\x1b[31mred\x1b[0m",
    "next\x85\x9dline",
    "del\x7f",
    "lone\rreturn",
    "a\u2028b",
    "c\u2029d",
    "form\x0cfeed",
)
TEXT = ("tab\tand\nline", "return\r\nline", "page one\n\x0c\npage two", "nbsp\u00a0here", "emoji 🙂")
INVISIBLE = (
    "soft\u00adhyphen",
    "zero\u200bwidth",
    "\ufeffmark",
    "a\u200db",
    "\u202etxt.exe",
    "word\u2060joiner",
    "hid\U000e0041\U000e0042den",
)
NEEDED = (
    *("👨\u200d👩\u200d👧 family", "می\u200cخواهم", "क्\u200dष", "שלום \u200fabc", "ภาษา\u200bไทย", "❤\ufe0f\u200d🔥"),
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
)


@pytest.mark.parametrize(
    ("kind", "check", "planted", "near"),
    [
        ("mojibake", "encoding", WRONG, RIGHT),
        ("replacement_characters", "encoding", ("caf\ufffd",), ("caf?",)),
        ("control_characters", "control_characters", CONTROLS, TEXT),
        ("invisible_characters", "control_characters", INVISIBLE, NEEDED),
        ("email_addresses", "personal_data", ("write to jo@example.com",), ("git@github.com:a/b",)),
        ("phone_numbers", "personal_data", ("call +49 30 1234567",), ("ISBN 978-3-16-148410-0",)),
        ("card_numbers", "personal_data", ("card 4111 1111 1111 1111",), ("4111 1111 1111 1112",)),
        ("ibans", "personal_data", ("DE89 3704 0044 0532 0130 00",), ("DE88 3704 0044 0532 0130 00",)),
        ("national_ids", "personal_data", ("SSN 123-45-6789",), ("SSN 000-45-6789",)),
        ("api_keys", "personal_data", ("ghp_abcdefghijklmnopqrstuvwxyz0123456789",), ("ghp_documentation",)),
        ("private_keys", "personal_data", ("-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA12345",), ("PRIVATE KEY",)),
    ],
)
def test_planted_rows_are_named_and_near_misses_are_not(
    kind: str, check: str, planted: tuple[str, ...], near: tuple[str, ...], tmp_path: Path
) -> None:
    found = findings(tmp_path, texts(*planted, *near), check)
    assert lines(found, kind) == list(range(41, 41 + len(planted)))
    (finding,) = found
    assert len(finding.evidence) == min(5, len(planted)) and all(line.isprintable() for line in finding.evidence)


def test_no_finding_shows_what_is_personal(tmp_path: Path) -> None:
    secret = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
    prompt = f"{secret} cafÃ© jo@example.com \x00 call +49 30 1234567 \u200b 4111 1111 1111 1111 \ufffd"
    found = findings(tmp_path, texts(prompt), "encoding", "control_characters", "personal_data")
    assert len(found) == 8
    said = str(found)
    assert not [part for part in (secret, "jo@", "1234567", "4111", "1111") if part in said]


def test_unread_columns_are_not_looked_at(tmp_path: Path) -> None:
    rows = [{**row, "author": "jo@example.com \x00"} for row in texts()]
    assert findings(tmp_path, rows, "personal_data", "control_characters") == []


def test_messages_are_looked_at_message_by_message(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "jo@example.com"}]}
    (finding,) = findings(tmp_path, [row], "personal_data")
    assert finding.evidence[0].endswith("rows.jsonl:1: messages[1].content: [e-mail]")


def test_unreadable_rows_are_one_finding_a_kind_with_all_places(tmp_path: Path) -> None:
    empty = {"prompt": "Mail jo@example.com?", "completion": ""}
    rows = [*texts(), *["{broken jo@example.com"] * 30, *[empty] * 25, {"prompt": "alone"}]
    found = findings(tmp_path, rows, "unreadable")
    assert [(finding.severity, finding.title) for finding in found] == [
        ("error", "30 rows: this line is not JSON"),
        ("error", "25 rows: the answer is empty"),
        ("error", "missing column: completion (the columns are prompt)"),
    ]
    assert [[origin.line for origin in finding.rows] for finding in found] == [
        list(range(41, 71)),
        list(range(71, 96)),
        [96],
    ]
    assert "jo@" not in str(found) and all(len(finding.evidence) <= 5 for finding in found)
