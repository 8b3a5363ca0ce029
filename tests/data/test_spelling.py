"""Texts, labels, tags and names that only their characters make different, and words in scripts other than Latin."""

import json
from collections import Counter
from unicodedata import normalize

import pytest

from graft.config import DataSettings, build
from graft.data.classes import Classes, folded_label, spelling_warnings
from graft.data.columns import recognize
from graft.data.columns.labeled import labeled_texts
from graft.data.columns.tagged import tagged_words
from graft.data.example import AnswerExample, Origin
from graft.data.example_set import prompt_key
from graft.data.pipeline import prepare, read_examples
from graft.data.sources import load_readable
from graft.data.spelling import composed, folded, visible
from graft.data.templates import parse_template
from graft.data.words import words_to_tag
from graft.errors import InputError
from graft.planning.quick_checks import checked
from graft.progress import SILENT

E_ACUTE = ("caf\u00e9", "cafe\u0301")


def written(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return {"data_files": (str(path),)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        E_ACUTE,
        ("STRASSE", "straße"),
        ("ΟΔΟΣ", "οδος"),
        ("İZMİR", "izmir"),
        ("\u1fb3", "\u0391\u0399"),  # ᾳ, whose capitals are ΑΙ
        ("\uac00", "\u1100\u1161"),  # 가, and its two letters
        ("\u095b", "\u091c\u093c"),  # ज़, which NFC takes apart
    ],
)
def test_the_same_without_letter_case(one, other):
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), [("ı", "i"), ("か", "が"), ("की", "के"), ("é", "e"), ("я", "R")])
def test_other_letters_stay_others(one, other):
    assert folded(one) != folded(other) and composed(one) != composed(other)


def test_what_cannot_be_seen():
    assert visible("Wort\u00adteil\ufeff\u200b") == "Wortteil"
    assert visible("می\u200cخواهم") == "می\u200cخواهم"


def test_labels_in_either_form_of_unicode_are_one_class():
    classes = Classes.of([E_ACUTE[0], E_ACUTE[0], E_ACUTE[1], "caf\u00e9\u200b", "tea"])
    assert classes.labels == [E_ACUTE[0], "tea"]
    assert classes.name(E_ACUTE[1], Origin("r", 1)) == E_ACUTE[0]
    (said,) = classes.said
    assert said.value == ["cafe\\u0301 = café", "caf\\xe9\\u200b = café"]
    assert said.why.startswith("labels that differ only in letter case, blanks or the form of Unicode are one class")
    assert folded_label(" Très  Bien ") == folded_label(normalize("NFD", "très bien"))


def variants(given, recognize=recognize):
    settings = build(DataSettings, given)
    loaded = load_readable(settings)
    data = checked(prepare(settings, 1, None, recognize, loaded), loaded, 1, SILENT)
    (found,) = [finding for finding in data.findings if finding.kind == "label_variants"]
    return found


def test_classes_of_answers_that_differ_only_in_spelling_are_said(tmp_path):
    rows = [{"text": f"t{place}", "answer": ["positive", "negative"][place % 2]} for place in range(30)]
    rows[4]["answer"] = rows[6]["answer"] = "Positive"
    rows[7]["answer"] = rows[9]["answer"] = "negative "
    found = variants({"text_template": "{text} => {answer}", **written(tmp_path, rows)})
    assert found.severity == "warning" and "learned as different ones" in found.why
    assert [place.line for place in found.rows] == [5, 7, 8, 10]
    assert '"Positive" (2) may be "positive" (13)' in found.evidence[0] and '"negative " (2)' in found.evidence[1]


def test_a_class_of_one_row_is_refused_with_the_one_that_it_is_like(tmp_path):
    rows = [{"text": f"t{place}", "answer": ["positive", "negative"][place % 2]} for place in range(30)]
    rows[7]["answer"] = "negative "
    given = {"text_template": "{text} => {answer}", **written(tmp_path, rows)}
    with pytest.raises(InputError) as caught:
        prepare(build(DataSettings, given), seed=1)
    assert "occurs once" in str(caught.value) and "' negative' (14) and ' negative ' (1)" in str(caught.value)


def test_tags_that_differ_only_in_case_are_said(tmp_path):
    rows = [{"tokens": [f"w{place}", "in"], "tags": [["B-per", "B-PER"][place == 3], "O"]} for place in range(20)]
    found = variants(written(tmp_path, rows), tagged_words)
    assert found.severity == "warning" and [place.line for place in found.rows] == [4]
    assert '"B-PER" (1) may be "B-per" (19)' in found.evidence[0]


def test_what_is_spelled_in_one_way_is_not_said():
    assert spelling_warnings(Counter({"yes": 3, "no": 2, "ja": 1})) == []
    assert spelling_warnings({"caf\u00e9": 2, "cafe\u0301": 1}) == [
        "classes that differ only in letter case, blanks or the form of Unicode are learned as different ones: "
        "'café' (2) and 'cafe\\u0301' (1); write each in one way"
    ]


def test_heads_read_such_labels_as_one_class(tmp_path):
    rows = [{"text": f"t{place}", "label": [*E_ACUTE, "tea"][place % 3]} for place in range(9)]
    read = read_examples(build(DataSettings, written(tmp_path, rows)), recognize=labeled_texts)
    assert read.mapping.labels == [E_ACUTE[0], "tea"]


def test_prompts_in_either_form_are_the_same_for_the_split():
    one, other = (AnswerExample(({"role": "user", "content": text},), "x", Origin("r", 1)) for text in E_ACUTE)
    assert prompt_key(one) == prompt_key(other)


def test_words_of_a_text_with_spans(tmp_path):
    """Marks belong to their letters, and in scripts without blanks a span can begin at any letter."""
    hindi, chinese = "राम दिल्ली_में है।", "张三在北京工作"
    rows = [
        {"text": hindi, "spans": [{"start": 4, "end": 10, "label": "city"}]},
        {"text": chinese, "spans": [[0, 2, "per"], [3, 5, "city"]]},
        {"text": "in Rome, Via_X", "spans": [[3, 7, "city"]]},
    ]
    one, two, three = read_examples(build(DataSettings, written(tmp_path, rows)), recognize=tagged_words).examples
    assert one.words == ("राम", "दिल्ली_में", "है", "।") and one.tags == ("O", "B-city", "O", "O")
    assert two.words == tuple(chinese) and two.tags == ("B-per", "I-per", "O", "B-city", "I-city", "O", "O")
    assert three.words == ("in", "Rome", ",", "Via_X") and three.tags == ("O", "B-city", "O", "O")


def test_words_of_a_typed_text():
    assert words_to_tag("He is in Rome.") == ["He", "is", "in", "Rome."]
    assert words_to_tag("राम दिल्ली गया।") == ["राम", "दिल्ली", "गया।"]
    assert words_to_tag("张三在 IBM 工作。") == ["张", "三", "在", "IBM", "工", "作", "。"]


def test_columns_of_templates_in_any_script():
    assert parse_template('{ಪ್ರಶ್ನೆ} -> {उत्तर}, {{x}} {"a": 1}').names == ("ಪ್ರಶ್ನೆ", "उत्तर")
