"""Small changes of texts."""

from random import Random

import pytest

from graft.data.text_changes import CHANGES, change_case, drop_words, misspell

TEXT = "I do not like the new version of http://a.b/c by @someone :-) at 10 dollars, honestly speaking"


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_links_names_numbers_and_words_of_the_answer_stay(kind):
    changed = {CHANGES[kind](TEXT, Random(seed), {"version"}) for seed in range(60)}
    assert len(changed) > 1 and TEXT not in changed
    for text in changed:
        for kept in ("http://a.b/c", "@someone", ":-)", "10", "version"):
            assert kept in text, (kind, text)
        assert "  " not in text and text == text.strip()


def test_negations_are_not_left_out():
    texts = [drop_words("we don't like it and she is not here", Random(seed), ()) for seed in range(80)]
    assert all("don't" in text and "not" in text.split() for text in texts)
    assert {len(text.split()) for text in texts} == {8}


def test_short_words_and_short_texts_stay():
    assert misspell("a bad day", Random(0), ()) == "a bad day"
    assert drop_words("so very good", Random(0), ()) == "so very good"
    assert change_case("123", Random(0), ()) == "123"


def test_a_slip_keeps_the_first_letter_and_changes_one_place():
    for seed in range(50):
        text = misspell("wonderful", Random(seed), ())
        assert text[0] == "w" and text != "wonderful" and abs(len(text) - 9) <= 1
