"""Which token stands for which word."""

from __future__ import annotations

from itertools import pairwise

import pytest

from graft.data.example import Origin, TaggedExample
from graft.errors import Problems
from graft.tasks.encoding import Encoding
from graft.tasks.label_space import LabelSpace
from graft.tasks.token_classification import TOKEN_CLASSIFICATION, align
from tiny_models import tiny_model_tokenizer
from tiny_task_models import tiny_bert_tokenizer

WORDS = ["W211", "Oakfield", "St.", "good", "lovely,", "x"]


@pytest.fixture(scope="module", params=["wordpiece", "bytes"])
def tokenizer(request):
    return tiny_bert_tokenizer() if request.param == "wordpiece" else tiny_model_tokenizer()


def text_of(tokenizer, ids):
    return tokenizer.decode(ids).replace(" ", "").lower()


def test_a_words_tokens_begin_where_it_is_said(tokenizer):
    """From one word's first token to the next one's, the tokens spell just that word."""
    ids, firsts, _ = align(tokenizer, WORDS, 64)
    assert ids == tokenizer(" ".join(WORDS))["input_ids"]
    marks = 1 if ids[-1] == tokenizer.sep_token_id else 0
    borders = [*firsts, len(ids) - marks]
    for word, (start, stop) in zip(WORDS, pairwise(borders), strict=True):
        assert text_of(tokenizer, ids[start:stop]) == word.lower()


def test_words_that_are_cut_off_have_no_token(tokenizer):
    ids, firsts, _ = align(tokenizer, WORDS, 8)
    assert len(ids) == 8
    assert firsts[0] is not None and firsts[-1] is None
    known = [first for first in firsts if first is not None]
    assert firsts == known + [None] * (len(WORDS) - len(known))


def test_letters_of_several_bytes_count_once():
    words = ["東京", "ñandú", "привет", "x"]
    tokenizer = tiny_model_tokenizer()
    ids, firsts, _ = align(tokenizer, words, 64)
    borders = [*firsts, len(ids)]
    for word, (start, stop) in zip(words, pairwise(borders), strict=True):
        assert text_of(tokenizer, ids[start:stop]) == word


def test_a_word_that_is_nothing_to_the_tokenizer_takes_no_other_words_token():
    _, firsts, _ = align(tiny_bert_tokenizer(), ["good", "\u200b\u0301", "day"], 64)
    assert firsts[0] == 1 and firsts[2] is not None and firsts[2] > 1
    assert firsts[1] is None


def test_targets_stand_at_first_tokens_and_nowhere_else():
    tokenizer = tiny_bert_tokenizer()
    example = TaggedExample(("Oakfield", "Street", "in"), ("street", "street", "O"), Origin("f", 1))
    encoding = Encoding(tokenizer, LabelSpace(("O", "street")), 64)
    (row,) = TOKEN_CLASSIFICATION.encode([example], encoding, Problems())
    _, firsts, _ = align(tokenizer, ["Oakfield", "Street", "in"], 64)
    assert [row.target[first] for first in firsts] == [1, 1, 0]
    assert sum(tag != -100 for tag in row.target) == 3
    assert TOKEN_CLASSIFICATION.preview(row, encoding)[1].count("/street") == 2
