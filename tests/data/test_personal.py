"""Personal data and secrets: found by form and check digit, masked, and nothing else taken for them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.data import personal
from graft.data.personal import KINDS, find, masked, shown_around, shown_text
from graft.plain_text import mask_secrets

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1234567890abcdef\nabcd1234\n-----END RSA PRIVATE KEY-----"
NIR = 1850578006084
PLANTED = {
    "e-mail": (
        "jane.doe@example.com",
        "jörg@müller.de",
        "a.b+c@mail.co.uk",
        "O'Neil@uni-wien.ac.at",
        "x@y.museum",
        "jo@foto.photography",
    ),
    "phone": (
        *("(555) 123-4567", "555-123-4567", "212-555-0123", "212.555.0123", "+1 212 555 0123", "+44 (0)20 7946 0958"),
        *("030 12345678", "06 12 34 56 78", "020 7946 0958", "+49-170-1234567", "0171/1234567", "0033 6 12 34 56 78"),
    ),
    "card": ("4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "3782 822463 10005", "6011111111111117"),
    "IBAN": (
        *("DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB82 WEST 1234 5698 7654 32"),
        *("de89370400440532013000", "gb82 west 1234 5698 7654 32"),
        *("FR1420041010050500013M02606", "MT84MALT011000012345MTLCAST001S", "NO93 8601 1117 947"),
    ),
    "id": (
        *("123-45-6789", "86 095 742 719", "12345678Z", "X1234567L", f"{NIR}{97 - NIR % 97:02}", "RSSMRA85T10A562S"),
        *(
            "529.982.247-25",
            "756.1234.5678.97",
            "11010519491231002X",
            "AB 12 34 56 C",
            "811218-9876",
            "85.07.30-033.28",
        ),
        *("2345 6789 0124", "12345678z", "rssmra85t10a562s"),
    ),
    "key": (
        *("sk-abc123def456ghi789jkl012", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "AKIAIOSFODNN7EXAMPLE"),
        *("AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe", "xoxb-123456789012-abcdefghijkl", "glpat-abcdefghij1234567890"),
        "hooks.slack.com/services/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",
        *("hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3In0.dozjgNryP4J3jVmNHl0w"),
    ),
    "private key": (
        PEM,
        PEM.replace("abcd", "ab*cd"),
        PEM.replace("\n", "\n> "),
        PEM.replace("\n", "\\n"),
        PEM.replace("RSA", "OPENSSH"),
    ),
}
BEHIND_A_WORD = {
    "phone": ("Tel: 2125551234", "call me at 555-1234", "my number is 2125551234"),
    "id": ("my SSN is 219099999", "Steuer-ID 86095742719", "CPF 52998224725", "BSN: 111222333"),
    "key": (
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "https://jo:hunter22@example.org/x",
        "Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l",
        f"AccountName=jo;AccountKey={'aB3dEfGh' * 10}iJ4lMn==;x=y",
    ),
}
HARMLESS = (
    *("ISBN 0-306-40615-2", "ISBN 978-3-16-148410-0", "978-0-306-40615-7", "order 1234567890", "order #2125551234"),
    *("version 1.2.3.4.5.6.7", "2024-01-01T00:00:00+00:00", "1700000000", "12:30:45.123456", "192.168.100.200"),
    *("git@github.com:owner/name.git", "y = x@self.weight.T", "icon@2x.png", "lodash@4.17.21", "pkg@1.0.0-beta.rc"),
    *("d41d8cd98f00b204e9800998ecf8427e", "550e8400-e29b-41d4-a716-446655440000", "0x1234567890", "8a2e:0370:7334"),
    *("sk-learn-contrib-package-name", "sk-xxxxxxxxxxxxxxxxxxxxxxxx", "hf_hub_download_with_progress2"),
    *("000-12-3456", "123-45-678", "1234 5678 9012 3456", "4111 1111 1111 1112", "1234567812345678", "12345678A"),
    *("3.14159265358979323846", "0.4111111111111111", "DE00 3704 0044 0532 0130 00", "cherry hill nj 08003-1128"),
    *("api_key = os.environ['API_KEY_OF_SERVICE']", "if '-----BEGIN RSA PRIVATE KEY-----' in text:", "a+12345678"),
    *(
        "2024-01-02 03:04:05",
        "01/02/2024 - 05/06/2025",
        "1,234,567,890",
        "$1234567890",
        "+1000000",
        "1990-2000-2010",
        "8532 7474 6802 8883",
    ),
    *("4006381333931", "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "Bearer of the token"),
    *("Basic training of models", "y = x@self.weight", "that with from 12 when", "de12 that this with from then when"),
    *("lat 52.5200, lon 13.4050", "UPS 1Z999AA10123456784", "Section 1.1.1.1.1.1.1", "mobile al 36608-9705"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_personal_is_found_and_masked(kind: str) -> None:
    for value in PLANTED[kind]:
        text = f"It says {value}, as agreed."
        assert [(found.kind, text[found.start : found.end]) for found in find(text)] == [(kind, value)]
        assert masked(text) == f"It says [{kind}], as agreed."


BLANKS, DASHES = "\u00a0\u2007\u2009\u202f\u3000", "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d"
WIDE = {ord(each): chr(ord(each) + 0xFEE0) for each in "0123456789@+()./"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "private key"])
def test_other_blanks_dashes_and_widths_hide_nothing(kind: str) -> None:
    for value in PLANTED[kind]:
        forms = [value.replace(" ", blank) for blank in BLANKS] + [value.replace("-", dash) for dash in DASHES]
        for form in (*forms, value.translate(WIDE)):
            assert [(found.kind, found.start, found.end) for found in find(f"at {form}.")] == [(kind, 3, 3 + len(form))]


def test_tags_entities_and_unseen_characters_hide_nothing() -> None:
    hidden = {
        "<b>jo</b>@example.com": "<b>[e-mail]",
        "j<b>o</b>y@example.com": "[e-mail]",
        "jo&#64;example.com and jo&amp;#x40;example.com": "[e-mail] and [e-mail]",
        "?mail=jo%40example.com&x=1": "?mail=[e-mail]&x=1",
        "jo\u200b@exam\u00adple.com": "[e-mail]",
        "jo\x00@example.com": "[e-mail]",
        "+49&nbsp;30&nbsp;1234567": "[phone]",
        "4111 <b>1111</b> 1111 1111": "[card]",
        "<a href='mailto:jo@x.de'>al@x.de</a><a>by@x.de</a>": "<a href='mailto:[e-mail]'>[e-mail]</a><a>[e-mail]</a>",
        "a &lt; b &amp; c <b>d</b> 50%40": "a &lt; b &amp; c <b>d</b> 50%40",
    }
    assert {text: masked(text) for text in hidden} == hidden


@pytest.mark.parametrize(("number", "mask"), [("0171 1234567", "[phone]"), ("4111 1111 1111 1111", "[card]")])
def test_a_row_of_numbers_takes_work_in_proportion_to_its_length(
    number: str, mask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is found only once the one behind it is masked; the whole text is not looked at again for it."""
    looked_at, scanned = 0, personal._scanned

    def counting(text: str) -> list[personal.Found]:
        nonlocal looked_at
        looked_at += len(text)
        return scanned(text)

    monkeypatch.setattr(personal, "_scanned", counting)
    text = " ".join([number] * 400)
    assert masked(text) == " ".join([mask] * 400)
    assert looked_at < 60 * len(text)


def test_some_numbers_are_found_behind_the_word_that_names_them() -> None:
    for kind, texts in BEHIND_A_WORD.items():
        for text in texts:
            assert [found.kind for found in find(text)] == [kind], text
            assert kind == "key" or not find(text.split()[-1]), text


def test_numbers_are_found_beside_other_numbers() -> None:
    beside = {
        "212-555-0123 212-555-0124": "[phone] [phone]",
        "(212) 555-0123 (212) 555-0124": "[phone] [phone]",
        "room 12 212-555-0123 at 5": "room 12 [phone] at 5",
        "212-555-0123 5 pm": "[phone] 5 pm",
        "030 12345678 030 12345679": "[phone] [phone]",
        "4111 1111 1111 1111 12/26 123": "[card] 12/26 123",
        "DE89 3704 0044 0532 0130 00 from 12": "[IBAN] from 12",
        "17 212 555 0123 12 212 99": "17 212 555 0123 12 212 99",
    }
    assert {text: masked(text) for text in beside} == beside


def test_what_resembles_personal_data_is_left_alone() -> None:
    assert {text: masked(text) for text in HARMLESS if masked(text) != text} == {}


def test_every_secret_that_is_found_is_also_masked_in_messages_of_graft() -> None:
    assert [key for key in PLANTED["key"] if key in mask_secrets(f"cannot use {key}")] == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from([v for vs in PLANTED.values() for v in vs]), st.text(max_size=12))))
def test_masking_twice_changes_nothing_more(parts: list[str]) -> None:
    once = masked(" ".join(parts))
    assert masked(once) == once
    found = find("".join(parts))
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


def test_a_shown_text_is_masked_before_it_is_cut_and_has_no_control_characters() -> None:
    assert shown_text("a\nb \x1b[31m\u200bjo@example.com") == "a\\nb \\x1b[31m\\u200b[e-mail]"
    assert shown_text("x" * 100) == "x" * 79 + "…"
    card = "4111 1111 1111 1111"
    for length in range(19_950, 20_010):
        assert "4111" not in shown_text("y " * (length // 2) + card, most=30_000)


def test_what_is_shown_around_a_place_is_masked_as_the_whole_text_is() -> None:
    key = PEM.replace("abcd1234", "abcd1234efgh5678\n" * 100)
    text = f"my key: {key}\x00 <b>jo</b>@example.com said {'so ' * 20}"
    at = text.index("\x00")
    assert shown_around(text, at, at + 1) == "my key: [private key]\\x00 <b>[e-mail] said so so s…"
    assert (
        shown_around(text, at + 20, at + 21)
        == shown_around(text, at + 8, at + 9)
        == "…y key: [private key]\\x00 <b>[e-mail] said so so so so so so s…"
    )
    assert shown_around("a" * 60, 30, 31) == f"…{'a' * 51}…" and shown_around("ab " * 20, 30, 31).count("…") < 2
    assert shown_around(f"{'a' * 24} b {'c' * 24}", 25, 26) == f"{'a' * 24} b {'c' * 24}"
    assert shown_around(f"{'x' * 9} {'a' * 24} b {'c' * 24} d", 35, 36) == f"{'a' * 24} b {'c' * 24}"
    assert shown_around("abc", 1, 1) == "abc" and shown_around("", 0, 0) == ""


def test_phone_tables_are_loaded_only_for_a_text_that_may_have_one() -> None:
    code = "import sys, json; from graft.data.personal import masked; masked('in 2024, 12 rows'); "
    code += "print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "phonenumbers" not in json.loads(done.stdout)
