"""Near duplicates: what is found is near, and what is near is found, compared with all pairs computed as they are."""

import random
import string
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_rows import examples_of
from graft.data.example import AnswerExample, Origin
from graft.data.example_set import ExampleSet, prompt_key
from graft.data.near import near_clusters, near_twins
from graft.data.shingles import Bands, jaccard, shingles, template_shingles


def examples(*prompts, file="a.jsonl"):
    made = [
        AnswerExample(({"role": "user", "content": prompt},), "a", Origin(file, line))
        for line, prompt in enumerate(prompts, 1)
    ]
    return ExampleSet.of(made)


def clusters(*prompts, **options):
    return near_clusters(examples(*prompts), **options).leaders.tolist()


def noise(count, seed=0, length=60):
    chance = random.Random(seed)
    return ["".join(chance.choices(string.ascii_lowercase + "     ", k=length)) for _ in range(count)]


LONG = "the quick brown fox jumps over the lazy dog by the river"


def test_near_texts_are_together_and_others_are_not():
    assert clusters(LONG, "something else entirely", f"{LONG}!", LONG.upper()) == [0, 1, 0, 0]
    found = near_clusters(examples(LONG, "something else", f"{LONG}!"))
    assert found.twins.tolist() == [2, -1, 0]
    assert found.similarities[[0, 2]] == pytest.approx(jaccard(shingles(LONG), shingles(f"{LONG}!")))


def test_an_instruction_makes_no_few_short_texts_near():
    instruction = "Classify the text as one of: bad, good. Answer with one of these only."
    texts = ["Great!", "Bad.", "So so", "I love it", "No way", "Hm ok", "Yes!!", "never"]
    assert clusters(*[f"{instruction}\n\n{text}" for text in texts]) == list(range(8))
    assert clusters(*[f"{instruction}\n\n{text}" for text in (LONG, f"{LONG}!", "never")]) == [0, 0, 2]


@pytest.mark.parametrize(
    "prompts",
    [
        ["", "", " ", "\n"],
        ["a"],
        ["ab", "abc", "abcd"],
        ["room number 1", "room number 12", "room number 2"],
        ["\u4f60\u597d\u4e16\u754c\u8fd9\u662f\u4e00", "\u5b8c\u5168\u4e0d\u540c\u7684\u53e5\u5b50"],
        ["\ud800 half a character", "a whole character"],
    ],
)
def test_what_is_empty_short_or_different_is_alone(prompts):
    assert clusters(*prompts) == list(range(len(prompts)))


def test_case_and_blanks_do_not_count_and_no_rows_are_no_error():
    assert clusters("Same Thing", "same  thing\n") == [0, 0]
    assert near_clusters(examples()).leaders.tolist() == []
    assert near_twins(examples("a"), examples()).places.tolist() == [-1]
    assert near_twins(examples(), examples("a")).places.tolist() == []


def test_emoji_and_other_scripts_are_compared_by_character():
    text = "\U0001f600 \u0645\u0631\u062d\u0628\u0627 \u4f60\u597d\uff0c\u4e16\u754c\uff01 \u0928\u092e\u0938 " * 3
    assert clusters(text, f"{text}\U0001f600", text[::-1]) == [0, 0, 2]


def test_a_chain_is_one_cluster_though_its_ends_are_not_near():
    chain = [LONG[start:] + noise(1)[0][:start] for start in range(0, 24, 4)]
    assert jaccard(shingles(chain[0]), shingles(chain[-1])) < 0.5
    assert clusters(*chain) == [0] * len(chain)


def test_what_more_than_half_of_the_texts_have_does_not_count():
    instruction = "Classify the text as one of: negative, neutral, positive. Answer with one of these only. "
    texts = noise(40, length=30)
    assert clusters(*(instruction + text for text in texts)) == list(range(40))
    twins = [instruction + text for text in (*texts, f"{texts[3]}!")]
    assert clusters(*twins)[-1] == 3
    assert "class" in template_shingles([text.lower() for text in twins])


def test_of_a_long_text_both_ends_are_compared():
    body = " ".join(noise(1000, length=50))
    assert len(body) > 40_000
    assert clusters(body, body.replace(body[20_000:20_500], ""), body[20_000:]) == [0, 0, 2]


def test_of_a_conversation_the_last_prompt_is_compared_and_rows_are_not_near_themselves():
    def turns(*texts):
        return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]}

    _, found = examples_of(
        turns(LONG, "yes", "and then?", "no"), turns(LONG, "yes", "and then??", "no"), turns("x", "y")
    )
    assert len(found) == 5
    near = near_clusters(found)
    assert near.leaders.tolist() == [0, 1, 2, 1, 4] and near.twins.tolist() == [-1, 3, -1, 1, -1]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_all_pairs_and_no_others_are_found(threshold):
    """Among 300 texts with 200 that were changed a little: as all 124,750 pairs say."""
    chance, texts = random.Random(5), noise(300, length=150)
    for original in chance.choices(texts, k=200):
        letters = list(original)
        for place in chance.sample(range(len(letters)), chance.randint(1, 9)):
            letters[place] = chance.choice(string.ascii_lowercase)
        texts.append("".join(letters))
    made = examples(*texts)
    sets = [shingles(prompt_key(example)) for example in made]
    pairs = combinations(range(len(sets)), 2)
    near = {(one, other) for one, other in pairs if jaccard(sets[one], sets[other]) >= threshold}
    found = near_clusters(made, threshold)
    together = {(one, other) for one, other in near if found.leaders[one] == found.leaders[other]}
    assert len(near) >= 20 and len(together) >= 0.99 * len(near)
    for place in np.flatnonzero(found.twins >= 0).tolist():
        exact = jaccard(sets[place], sets[found.twins[place]])
        assert exact == found.similarities[place] >= threshold
    for place in np.flatnonzero(found.twins < 0).tolist():
        assert found.leaders[place] == place
    half = near_twins(made[300:], made[:300], threshold)
    sought = {other for one, other in near if one < 300 <= other}
    assert len(sought - {300 + place for place in np.flatnonzero(half.places >= 0).tolist()}) <= 0.01 * len(sought)
    for place in np.flatnonzero(half.places >= 0).tolist():
        best = max(jaccard(sets[300 + place], one) for one in sets[:300])
        assert half.similarities[place] == pytest.approx(best) and best >= threshold


def test_many_alike_take_few_comparisons(monkeypatch):
    """4,000 texts of one kind: by all pairs these would be 8 million comparisons."""
    import graft.data.near as near

    counted = []
    monkeypatch.setattr(near, "jaccard", lambda one, other: counted.append(1) or jaccard(one, other))
    texts = [f"{LONG} and back again over all the hills and valleys {n}" for n in range(4000)]
    others = noise(4100, seed=9)
    found = near_clusters(examples(*texts, *others)).leaders
    assert (found[:4000] == 0).all() and (found[4000:] == np.arange(4000, 8100)).all()
    assert len(counted) < 10 * 4000
    same = near_clusters(examples(*["all the same text"] * 4000, *noise(100))).leaders
    assert (same[:4000] == 0).all()


def test_the_same_is_found_every_time():
    texts = [*noise(200), *(text[:-1] for text in noise(200))]
    assert clusters(*texts) == clusters(*texts)


def test_wider_bands_are_taken_for_higher_thresholds():
    assert [Bands.for_threshold(each).rows for each in (0.5, 0.8, 0.9)] == sorted(
        Bands.for_threshold(each).rows for each in (0.5, 0.8, 0.9)
    )
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 1.0):
        bands = Bands.for_threshold(threshold)
        assert bands.keys * bands.rows <= 128
        assert 1 - (1 - threshold**bands.rows) ** bands.keys >= 0.99


@settings(max_examples=30)
@given(st.lists(st.text(max_size=30), max_size=30))
def test_any_texts_are_taken(texts):
    found = near_clusters(examples(*texts))
    assert (found.leaders <= np.arange(len(texts))).all()
    twins = near_twins(examples(*texts), examples(*texts))
    for place, example in enumerate(examples(*texts)):
        assert (twins.similarities[place] == 1) == bool(prompt_key(example))
