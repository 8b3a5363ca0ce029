"""Metrics in many scripts: values that were worked out by hand, and what must hold of any text."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize
from sacrebleu.metrics import BLEU, CHRF

from graft.data.words import length_in_words, words
from graft.evaluation.metrics import Predictions, default_metrics, get_metric, select_metrics
from graft.evaluation.scripts import bleu_tokenizer

approx = pytest.approx
FOUR_OF_FIVE = (4 / 5, 3 / 4, 4 / 5, 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
"""Five words of which the first four are shared: 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples."""

BY_HAND = {
    # Reference, answer, token F1 = ROUGE-1, ROUGE-2, ROUGE-L, BLEU with the tokenizer that is named.
    "Vietnamese": ("Trời hôm nay rất đẹp", "Trời hôm nay rất xấu", *FOUR_OF_FIVE, "13a"),
    # Words: die strasse führt nach köln | bonn, 4 of 5. BLEU minds the case: führt, nach are 2 of 5, their pair 1 of 4;
    # without hits n-grams of orders 3 and 4 count as 1/2 and 1/4 hit of 3 and 2.
    "German": (
        *("Die Straße führt nach Köln", "die STRASSE führt nach Bonn", 4 / 5, 3 / 4, 4 / 5),
        *(100 * (2 / 5 * 1 / 4 * 1 / 6 * 1 / 8) ** 0.25, "13a"),
    ),
    "Russian": ("Сегодня утром шёл сильный дождь", "Сегодня утром шёл сильный снег", *FOUR_OF_FIVE, "13a"),
    # Σ is the capital of σ and ς: all words are equal. BLEU: 3 of 5, 2 of 4, 1 of 3, and half a hit of 2.
    "Greek": (
        *("Η ΟΔΟΣ είναι πολύ μεγάλη", "η οδος είναι πολύ μεγάλη", 1.0, 1.0, 1.0),
        *(100 * (3 / 5 * 2 / 4 * 1 / 3 * 1 / 4) ** 0.25, "13a"),
    ),
    "Arabic": ("ذهب الولد إلى المدرسة اليوم", "ذهب الولد إلى المدرسة أمس", *FOUR_OF_FIVE, "intl"),
    "Hebrew": ("הילד הלך אל הבית היום", "הילד הלך אל הבית אתמול", *FOUR_OF_FIVE, "intl"),
    # गया and गई, था and थी differ in marks alone: 3 of 5 words, 2 of 4 pairs. With the danda, BLEU has 4 of 6 tokens,
    # 2 of 5 pairs, 1 of 4 triples, and half a hit of 3.
    "Hindi": (
        *("मैं आज बाज़ार गया था।", "मैं आज बाज़ार गई थी।", 3 / 5, 2 / 4, 3 / 5),
        *(100 * (4 / 6 * 2 / 5 * 1 / 4 * 1 / 6) ** 0.25, "intl"),
    ),
    # ನಿನ್ನೆ ಊರಿಗೆ of four words, one pair of three; 1/2 hit of 2 triples, 1/4 of 1 quadruple.
    "Kannada": (
        *("ಅವನು ನಿನ್ನೆ ಊರಿಗೆ ಹೋದನು", "ಅವಳು ನಿನ್ನೆ ಊರಿಗೆ ಹೋದಳು", 2 / 4, 1 / 3, 2 / 4),
        *(100 * (2 / 4 * 1 / 3 * 1 / 4 * 1 / 4) ** 0.25, "intl"),
    ),
    "Tamil": (
        *("நான் நேற்று பள்ளிக்கு போனேன்", "அவள் நேற்று பள்ளிக்கு போனாள்", 2 / 4, 1 / 3, 2 / 4),
        *(100 * (2 / 4 * 1 / 3 * 1 / 4 * 1 / 4) ** 0.25, "intl"),
    ),
    # Letters with marks: ฉั น กิ น ข้ า ว (7) and ฉั น กิ น น้ ำ (6), the first four shared; pairs 3 of 6 and 5.
    # Code points for BLEU: 10 and 9; 7 of 9 are hits (น twice), 5 of 8 pairs, 4 of 7 triples, 3 of 6 quadruples.
    "Thai": (
        *("ฉันกินข้าว", "ฉันกินน้ำ", 8 / 13, 6 / 11, 8 / 13),
        *(100 * 2.718281828459045 ** (1 - 10 / 9) * (7 / 9 * 5 / 8 * 4 / 7 * 3 / 6) ** 0.25, "char"),
    ),
    # 5 of 6 characters, 3 of 5 pairs; with the full stop 6 of 7, 4 of 6, 3 of 5, 2 of 4.
    "Chinese": (
        *("我今天去学校。", "我昨天去学校。", 5 / 6, 3 / 5, 5 / 6),
        *(100 * (6 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25, "zh"),
    ),
    # 6 of 7 characters, 4 of 6 pairs (私は は学 学校 行く), 2 of 5 triples, 1 of 4 quadruples.
    "Japanese": (
        *("私は学校へ行く", "私は学校に行く", 6 / 7, 4 / 6, 6 / 7),
        *(100 * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25, "char"),
    ),
    # 3 of 4 words, 1 of 3 pairs; no triples.
    "Korean": (
        *("나는 오늘 학교에 갔다", "나는 어제 학교에 갔다", 3 / 4, 1 / 3, 3 / 4),
        *(100 * (3 / 4 * 1 / 3 * 1 / 4 * 1 / 4) ** 0.25, "13a"),
    ),
}
TWO_OF_THREE = {
    # Three characters, the first two shared: 2 of 3, 1 of 2 pairs, 0 of 1: precision and recall are 7/18 on average.
    "French": ("thé", "thè"),
    "Russian": ("дом", "дон"),
    "Greek": ("νέα", "νέο"),
    "Arabic": ("بيت", "بير"),
    "Hebrew": ("ספר", "ספל"),
    "Hindi": ("कमी", "कमा"),
    "Kannada": ("ಮನಿ", "ಮನೆ"),
    "Thai": ("กาน", "กาบ"),
    "Chinese": ("图书馆", "图书室"),
    "Japanese": ("さかな", "さかの"),
    "Korean": ("도서관", "도서실"),
}
ONE_MARK_APART = [
    *(("ಕನ್ನಡ", "ಕನ್ನಡಿ"), ("की", "के"), ("போனேன்", "போனாள்"), ("ก", "ก่"), ("ন", "না"), ("עֵד", "עַד")),
    *(("thé", "thè"), ("か", "が"), ("كَتَبَ", "كُتِبَ"), ("മ", "മീ"), ("කල", "කලා"), ("မ", "မာ")),
]
TEXT_METRICS = ("exact_match", "token_f1", "rouge1", "rouge2", "rougeL", "bleu", "chrf", "chrf++")
SCRIPT_TEXT = st.text(
    st.one_of(
        st.sampled_from("aZ0 .,ßİıΣσς"),
        st.characters(whitelist_categories=("L", "M", "N", "P", "Zs"), max_codepoint=0xFFFF),
        st.sampled_from("कीेದಿನಿ\u0cccกำ่ัမ\u1039学校かが각\u200d\u200c\u00ad"),
    ),
    max_size=24,
)


def value(name, references, answers):
    (metric,) = select_metrics([name], references, None)
    found = metric.checked_statistics(Predictions(references, answers=answers))
    return float(metric.value(found.sum(axis=0, keepdims=True))[0])


@pytest.mark.parametrize("language", BY_HAND)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_words_and_their_sequences_by_hand(language, form):
    reference, answer, one, two, longest, bleu, tokenizer = BY_HAND[language]
    answer = normalize(form, answer)
    found = {name: value(name, [reference], [answer]) for name in TEXT_METRICS}
    wanted = {"exact_match": 0.0, "token_f1": one, "rouge1": one, "rouge2": two, "rougeL": longest, "bleu": bleu}
    assert {name: found[name] for name in wanted} == approx(wanted)
    (metric,) = select_metrics(["bleu"], [reference], None)
    assert metric.tokenizer == tokenizer
    assert metric.label == {"13a": "BLEU"}.get(tokenizer, f"BLEU ({tokenizer})")


@pytest.mark.parametrize("language", TWO_OF_THREE)
def test_characters_by_hand(language):
    reference, answer = TWO_OF_THREE[language]
    assert value("chrf", [reference], [normalize("NFD", answer)]) == approx(100 * 7 / 18)
    # The whole word is one more order, without a hit; there are no pairs of words.
    assert value("chrf++", [reference], [answer]) == approx(100 * 7 / 24)


@pytest.mark.parametrize("language", BY_HAND)
def test_sacrebleu_called_directly_says_the_same(language):
    reference, answer, *_, tokenizer = BY_HAND[language]
    pairs = [(reference, answer), (reference, reference), (answer, "")]
    references, answers = [[normalize("NFC", text) for text in column] for column in zip(*pairs, strict=True)]
    assert value("bleu", references, answers) == approx(
        BLEU(tokenize=tokenizer).corpus_score(answers, [references]).score
    )
    for name, order in (("chrf", 0), ("chrf++", 2)):
        assert value(name, references, answers) == approx(
            CHRF(word_order=order).corpus_score(answers, [references]).score
        )


@pytest.mark.parametrize(("one", "other"), ONE_MARK_APART)
def test_words_that_differ_in_a_mark_are_different(one, other):
    for form in ("NFC", "NFD"):
        found = {name: value(name, [one], [normalize(form, other)]) for name in TEXT_METRICS}
        assert max(found[name] / (100 if name in {"bleu", "chrf", "chrf++"} else 1) for name in found) < 1
        assert found["exact_match"] == found["token_f1"] == found["rouge1"] == found["rougeL"] == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x²½ a_b, e\u0301té", ["x²½", "a", "b", "été"]),
        ("北京大学 12月 Python3", ["北", "京", "大", "学", "12", "月", "python3"]),
        ("ラーメン", ["ラ", "ー", "メ", "ン"]),
        ("น้ำ ๑๒ ปี", ["น้", "ำ", "๑๒", "ปี"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # in Persian, and not the same as without the joiner
        ("അവന്\u200d പോയി", ["അവന്\u200d", "പോയി"]),  # a word of Malayalam that ends with a joiner
        ("Wort\u00adteil \u200fשלום\u200f.", ["wortteil", "שלום"]),
        ("👩\u200d💻 ❤\ufe0f ok", ["ok"]),
        ("İstanbul ISPARTA ısı", ["istanbul", "isparta", "ısı"]),
        ("서울, 대학교!", ["서울", "대학교"]),
        ("\u0bcd \u093f", []),
    ],
)
def test_what_a_word_is(text, wanted):
    assert words(text) == wanted


@given(st.text(st.characters(max_codepoint=127)))
def test_words_of_ascii_are_those_of_rouge_score(text):
    assert words(text) == tokenize(text, None)


@given(st.text("ab cd", max_size=40), st.text("ab cd", max_size=40))
def test_rouge_l_is_that_of_rouge_score(reference, answer):
    theirs = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert value("rougeL", [reference], [answer]) == theirs


@given(SCRIPT_TEXT)
def test_a_text_is_best_compared_with_itself_in_either_form(text):
    metrics = {name: value(name, [text], [normalize("NFD", text)]) for name in TEXT_METRICS}
    assert metrics == {name: value(name, [text], [text]) for name in TEXT_METRICS}
    assert words(text) == words(normalize("NFC", text)) == words(normalize("NFD", text))
    assert metrics["exact_match"] == metrics["token_f1"] == 1
    assert metrics["rouge1"] == metrics["rougeL"] == (1 if words(text) else 0)
    assert metrics["chrf"] == approx(100 if normalize("NFC", text).split() else 0)


@given(SCRIPT_TEXT, SCRIPT_TEXT)
def test_different_words_never_score_as_equal(one, other):
    if sorted(words(one)) != sorted(words(other)):
        assert value("token_f1", [one], [other]) < 1 and value("rouge1", [one], [other]) < 1


@pytest.mark.parametrize(
    ("texts", "tokenizer"),
    [
        (["使用 transformers 库"], "zh"),
        (["The character 中 means middle"], "13a"),
        (["アメリカ"], "char"),
        (["東京都庁"], "zh"),
        (["東京都庁", "今日は東京に行きました"], "char"),  # one tokenizer for all rows
        (["नमस्ते", "hello there my friend"], "13a"),
        (["12", "3.5"], "13a"),
        ([], "13a"),
    ],
)
def test_the_script_of_the_references_together_selects_the_tokenizer(texts, tokenizer):
    assert bleu_tokenizer(texts) == tokenizer
    assert get_metric("bleu").fit(texts).tokenizer == tokenizer


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("https://a.b/c-d 2024-05-17", 2),
        ("北京大学", 2),
        ("東京", 1),
        ("กรุงเทพ", 3),
        ("使用 Python", 2),
        ("使用Python", 2),
        ("", 0),
        ("ನಿನ್ನೆ ಊರಿಗೆ", 2),
        ("。", 1),
    ],
)
def test_the_length_of_a_text_in_words(text, length):
    assert length_in_words(text) == length


def test_the_headline_of_texts_without_blanks():
    long = "图书馆位于城市的中心，每天早上八点开门，晚上九点关门，周末也开放，欢迎大家前来阅读。"
    assert default_metrics(["东京", "北京大学", "上海"], None)[0] == "exact_match"
    assert default_metrics([long] * 3, None)[:5] == ["rougeL", "rouge1", "rouge2", "bleu", "chrf"]
    assert "chrf" not in default_metrics(["a long answer of many words"] * 2, None)
