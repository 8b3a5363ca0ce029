"""The statistics of people's judgments: published values, and simulated raters with known preferences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from graft.evaluation.human import (
    PreferenceBootstrap,
    Vote,
    bradley_terry,
    decided_needed,
    detectable_share,
    krippendorff_alpha,
    power,
    preference,
    sign_test,
)
from graft.evaluation.human.binomial import probabilities, two_sided
from graft.evaluation.human.summary import Criterion, judgments_section
from graft.runs.judgment_record import JudgmentRecord, JudgmentsRecord
from graft.runs.record import validate

SIMULATIONS = 1000


def logistic(logits):
    return 1 / (1 + np.exp(-logits))


def votes(outcomes, rater="ann"):
    return [Vote(str(row), rater, "tuned", "base", outcome) for row, outcome in enumerate(outcomes)]


# ---- power


def test_the_number_of_judgments_that_a_claim_needs() -> None:
    assert decided_needed(0.6) == 210 and decided_needed(0.7) == 54
    assert decided_needed(0.4) == 210  # the same preference for the other side
    assert decided_needed(0.5) is None
    assert decided_needed(1.0) is not None and decided_needed(1.0) <= 8


@pytest.mark.parametrize("share", [0.55, 0.6, 0.7, 0.85])
def test_the_power_stays_above_80_percent_from_there(share: float) -> None:
    needed = decided_needed(share)
    assert needed is not None
    assert all(power(needed + more, share) >= 0.8 for more in range(60))
    assert power(needed - 1, share) < 0.8


def test_power_is_what_simulated_sign_tests_find() -> None:
    wins = np.random.default_rng(1).binomial(210, 0.6, size=20_000)
    significant = np.array([two_sided(count, 210) <= 0.05 for count in range(211)])
    assert significant[wins].mean() == pytest.approx(power(210, 0.6), abs=0.01)


def test_very_weak_preferences_are_approximated() -> None:
    needed = decided_needed(0.52)
    assert needed is not None and needed > 2_000 and power(needed, 0.52) == pytest.approx(0.8, abs=0.01)


def test_what_a_number_of_judgments_can_show() -> None:
    assert detectable_share(210) == 0.6 and detectable_share(209) == 0.61
    assert detectable_share(3) is None


# ---- the sign test


def test_the_sign_test_is_the_exact_binomial_one() -> None:
    assert probabilities(10, 0.3).sum() == pytest.approx(1)
    assert two_sided(8, 10) == pytest.approx(2 * (45 + 10 + 1) / 1024)
    assert two_sided(5, 10) == 1 and two_sided(0, 0) == 1
    assert sign_test(votes(["first"] * 8 + ["second"] * 2 + ["tie"] * 5)) == (8, 2, two_sided(8, 10))


def test_a_row_counts_once_however_many_judge_it() -> None:
    three = [Vote("1", rater, "tuned", "base", "first") for rater in "abc"]
    split = [Vote("2", "a", "tuned", "base", "first"), Vote("2", "b", "tuned", "base", "second")]
    assert sign_test([*three, *split]) == (1, 0, 1.0)


# ---- intervals


def shares(rows, raters, each, generator, of_rows, of_raters, theta=0.4):
    """Wins of simulated raters (judgments, simulations), the numbers of rows and raters, and two true shares."""
    row = np.repeat(np.arange(rows), each)
    rater = np.array([(r + i) % raters for r in range(rows) for i in range(each)])
    by_row = generator.normal(0, of_rows, (rows, SIMULATIONS))
    by_rater = generator.normal(0, of_raters, (raters, SIMULATIONS))
    wins = generator.random((rows * each, SIMULATIONS)) < logistic(theta + by_row[row] + by_rater[rater])
    other_rows = generator.normal(0, of_rows, (2_000, 1, 1))
    by_these = logistic(theta + other_rows + by_rater).mean(axis=(0, 1))
    drawn = generator.normal(0, 1, (2, 200_000))
    by_others = logistic(theta + of_rows * drawn[0] + of_raters * drawn[1]).mean()
    return row, rater, wins.astype(float), by_these, by_others


@pytest.mark.parametrize(
    ("rows", "raters", "each", "of_rows", "of_raters"),
    [(50, 1, 1, 0.0, 0.0), (50, 2, 2, 0.7, 0.0), (100, 3, 3, 0.7, 0.3), (150, 6, 3, 0.7, 0.5)],
)
def test_95_percent_of_the_intervals_cover_the_true_share(rows, raters, each, of_rows, of_raters) -> None:
    generator = np.random.default_rng(0)
    row, rater, wins, by_these, _ = shares(rows, raters, each, generator, of_rows, of_raters)
    share, low, high = PreferenceBootstrap(row, rater).by_row(wins)
    assert 0.93 <= ((low <= by_these) & (by_these <= high)).mean() <= 0.97
    assert np.all((low <= share) & (share <= high))


@pytest.mark.parametrize(("rows", "raters", "of_raters"), [(100, 5, 0.5), (150, 8, 0.3), (100, 8, 0.8)])
def test_95_percent_of_the_intervals_cover_what_other_raters_would_say(rows, raters, of_raters) -> None:
    generator = np.random.default_rng(2)
    row, rater, wins, _, by_others = shares(rows, raters, 3, generator, 0.7, of_raters)
    bootstrap = PreferenceBootstrap(row, rater)
    _, low, high = bootstrap.by_row_and_rater(wins)
    assert 0.93 <= ((low <= by_others) & (by_others <= high)).mean() <= 0.97
    if of_raters >= 0.5:  # the interval over rows alone is about these raters, and far too narrow for others
        _, low, high = bootstrap.by_row(wins)
        assert ((low <= by_others) & (by_others <= high)).mean() < 0.85


def test_an_interval_where_all_agree_has_a_width() -> None:
    found = preference(votes(["first"] * 12))
    assert found.share == 1 and found.high == 1 and found.low is not None and 0.6 < found.low < 0.9
    assert found.rater_low is None  # one rater says nothing of others


def test_ties_are_counted_and_leave_the_share_alone() -> None:
    found = preference(votes(["first"] * 6 + ["second"] * 2 + ["tie"] * 3 + ["both_bad"]))
    assert (found.wins, found.losses, found.ties, found.both_bad, found.share) == (6, 2, 3, 1, 0.75)
    nothing = preference(votes(["tie", "both_bad"]))
    assert (nothing.share, nothing.low, nothing.p) == (None, None, 1.0)


# ---- Bradley–Terry


def test_two_models_have_the_logit_of_their_share() -> None:
    found, tie_added = bradley_terry(votes(["first"] * 30 + ["second"] * 10), ["base", "tuned"])
    assert [strength.model for strength in found] == ["tuned", "base"] and not tie_added
    assert found[0].strength - found[1].strength == pytest.approx(math.log(3))
    assert found[0].low < found[0].strength < found[0].high


def test_known_strengths_are_recovered() -> None:
    truth = {"a": 0.8, "b": 0.1, "c": -0.9}
    generator = np.random.default_rng(5)
    drawn = []
    for row in range(3000):
        first, second = generator.choice(list(truth), size=2, replace=False)
        won = generator.random() < logistic(truth[first] - truth[second])
        drawn.append(Vote(str(row), "ann", str(first), str(second), "first" if won else "second"))
    found, _ = bradley_terry(drawn, list(truth), samples=200)
    assert [strength.model for strength in found] == ["a", "b", "c"]
    for strength in found:
        assert strength.strength == pytest.approx(truth[strength.model], abs=0.1)
        assert strength.low < truth[strength.model] < strength.high


def test_a_model_that_never_lost_is_finite() -> None:
    never = [Vote(str(n), "ann", "a", other, "first") for n, other in enumerate(["b", "c"] * 5)]
    never += [Vote(f"{n}x", "ann", "b", "c", "tie") for n in range(4)]
    found, tie_added = bradley_terry(never, ["a", "b", "c"])
    assert tie_added and found[0].model == "a" and math.isfinite(found[0].strength) and found[0].strength < 5


# ---- agreement

_ = None
PUBLISHED = [  # Krippendorff 2011, section D: four observers, twelve units
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level, alpha) -> None:
    units = [[float(value) for value in unit if value is not None] for unit in zip(*PUBLISHED, strict=True)]
    found = krippendorff_alpha(units, level)
    assert found == pytest.approx(alpha, abs=0.0005)


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha([[0, 0], [1, 1], [2, 2]]) == 1
    assert krippendorff_alpha([[0, 1], [1, 0]]) < 0
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None and krippendorff_alpha([[1], [2]]) is None
    random = np.random.default_rng(3).integers(0, 3, (4000, 2))
    assert krippendorff_alpha(random.tolist()) == pytest.approx(0, abs=0.03)


# ---- the section


def record(row, rater, choice, left="base", right="tuned", **more):
    return JudgmentRecord(item=f"i{row}", row=str(row), rater=rater, left=left, right=right, choice=choice, **more)


def test_the_section_counts_the_last_judgment_of_each_rater() -> None:
    given = [record(row, "ann", "right") for row in range(8)] + [record(0, "bob", "tie"), record(0, "ann", "left")]
    section = judgments_section(given, ["base", "tuned"], others=2)
    assert (section["judgments"], section["rows"], section["raters"], section["of_other_answers"]) == (9, 8, 2, 2)
    (pair,) = section["pairs"]
    assert (pair["first"], pair["wins"], pair["losses"], pair["ties"]) == ("base", 1, 7, 1)
    assert (section["left"], section["decided"]) == (1, 8) and section["alpha_rows"] == 1
    assert pair["needed"] == decided_needed(1 / 8) and pair["more"] > 0
    assert "ann" not in str(section)  # names stay in the private file
    validate(JudgmentsRecord, section, "")


def test_several_pairs_are_harder_to_prove() -> None:
    pairs = [("a", "b"), ("b", "c"), ("a", "c")]
    given = [
        record(f"{one}{other}{row}", "ann", "left" if row < won else "right", one, other)
        for (one, other), won in zip(pairs, (9, 10, 6), strict=True)
        for row in range(10)
    ]
    section = judgments_section(given, ["a", "b", "c"])
    found = {(pair["first"], pair["second"]): pair for pair in section["pairs"]}
    assert found["b", "c"]["p_adjusted"] == pytest.approx(3 * two_sided(10, 10))
    assert found["a", "b"]["p"] == pytest.approx(two_sided(9, 10))
    assert found["a", "b"]["p_adjusted"] == pytest.approx(2 * two_sided(9, 10))
    assert found["a", "c"]["p_adjusted"] == found["a", "c"]["p"] and found["a", "c"]["more"] > 0
    assert len(section["strengths"]) == 3


def test_position_bias_is_about_sides_and_not_models() -> None:
    sides = [("base", "tuned"), ("tuned", "base")]
    section = judgments_section([record(n, "ann", "left", *sides[n % 2]) for n in range(20)], ["base", "tuned"])
    assert (section["left"], section["decided"]) == (20, 20) and section["left_p"] < 0.001
    assert section["pairs"][0]["share"] == 0.5


def test_grades_belong_to_the_models_whatever_their_side() -> None:
    given = [
        record(1, "ann", "right", criteria={"correct": [2, 5]}),
        record(2, "ann", "left", "tuned", "base", criteria={"correct": [4, 1]}),
        record(2, "bob", "left", "tuned", "base", criteria={"correct": [4, None]}),
    ]
    (found,) = judgments_section(given, ["base", "tuned"], [Criterion("correct", "Is it right?")])["criteria"]
    assert {grade["model"]: (grade["mean"], grade["n"]) for grade in found["grades"]} == {
        "base": (1.5, 2),
        "tuned": (pytest.approx(13 / 3), 3),
    }
