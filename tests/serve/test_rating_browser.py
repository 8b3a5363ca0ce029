"""A rating in a real browser: keys, a reload in the middle, two raters, a phone's width, and hostile answers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from driven_browser import CHROMIUM, driven_browser
from graft.commands.rate import finish_rating
from graft.serve.rating import serving
from rated_rows import lines_of, opened, rated_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

SHOWN = "!document.getElementById('row').hidden"
OVER = "!document.getElementById('over').hidden"
CRITERIA = """correct: {question: "Is it right?", scale: [1, 4], labels: [wrong, right]}\nbrief: Is it brief?\n"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with driven_browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def count(page):
    return page.text("#count")


def pictures(page, name):
    """Keep a picture where a person wants to look at it."""
    folder = os.environ.get("GRAFT_TEST_PICTURES")
    if folder:
        page.picture(Path(folder) / f"{name}.png")


def fits(page, width):
    """Nothing is wider than the window, and each button can be hit with a finger."""
    wide = page.value("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= width, wide
    low = "[...document.querySelectorAll('button')].filter(b => b.offsetWidth && (b.offsetHeight < 40)).length"
    assert page.value(low) == 0


def test_two_raters_judge_by_keys_and_a_reload_loses_nothing(browser, tmp_path) -> None:
    run = rated_run(tmp_path / "run", 6)
    rating = opened(run, rows=6, raters=("ann", "bob")).rating
    with serving(rating) as server:
        ann, bob = browser.open(server.address("ann")), browser.open(server.address("bob"), 390, 780, dark=True)
        for page in (ann, bob):
            page.until(SHOWN)
        assert "base" not in ann.text("main").lower().replace("database", "") and "tuned" not in ann.text("main")
        fits(ann, 1100), fits(bob, 390)
        pictures(ann, "light"), pictures(bob, "phone-dark")
        for number, key in enumerate(["1", "2", "="], 1):
            ann.press(key)
            ann.until("document.getElementById('count').textContent", f"{number} of 6 judged")
            assert len(lines_of(run)) == number  # on the disk at once
        ann.reload()
        ann.until("document.readyState === 'complete' && document.getElementById('count').textContent", "3 of 6 judged")
        ann.until(SHOWN)
        ann.press("Backspace", "\b")
        ann.until("document.getElementById('said').textContent", "You said: Equally good")
        ann.press("b")  # a change of mind
        ann.until("document.getElementById('title').textContent", "Row 4: which answer is better?")
        ann.press("c")
        ann.write("they are the same = to me")
        ann.press("Escape")
        ann.press("=")
        ann.until("document.getElementById('count').textContent", "4 of 6 judged")
        bob.click("[data-choice=both_bad]")
        bob.until("document.getElementById('count').textContent", "1 of 6 judged")
        for page, left in ((ann, 2), (bob, 5)):
            for _ in range(left):
                before = count(page)
                page.press("2")
                page.until(f"document.getElementById('count').textContent !== {json.dumps(before)}")
            page.until(OVER)
        pictures(ann, "over")
        port = server.server_port
        addresses = {address.split("#")[0] for page in (ann, bob) for address in page.requests()}
    assert all(address.startswith(f"http://127.0.0.1:{port}/") for address in addresses)
    assert ann.complaints() == []
    said = lines_of(run)
    assert [line["choice"] for line in said[:5]] == ["left", "right", "tie", "both_bad", "tie"]
    assert said[3]["item"] == said[2]["item"] and said[4]["comment"] == "they are the same = to me"
    assert len(said) == 13 and {line["source"] for line in said} == {"page"}
    assert rating.made == rating.planned == 12


def test_answers_with_scripts_and_escapes_stay_text(browser, tmp_path) -> None:
    run = rated_run(tmp_path / "run", 1)
    with serving(opened(run, rows=1).rating) as server:
        page = browser.open(server.address("rater"))
        page.until(SHOWN)
        shown = page.text(".answers")
        assert "<script>document.title='owned'</script>" in shown and "<b>bold</b>" in shown
        assert r"\x1b[31mred" in shown and "\x1b" not in shown
        assert page.value("document.title") == "Which answer is better?"
        assert page.value("document.querySelectorAll('.answers img, .answers b, .answers script').length") == 0


def test_questions_are_answered_and_sent_with_enter(browser, tmp_path) -> None:
    run, criteria = rated_run(tmp_path / "run", 2), tmp_path / "criteria.yaml"
    criteria.write_text(CRITERIA, encoding="utf-8")
    found = opened(run, rows=2, criteria=criteria)
    with serving(found.rating) as server:
        page = browser.open(server.address("rater"), 390, 780)
        page.until(SHOWN)
        fits(page, 390)
        page.press("1")
        assert count(page) == "0 of 2 judged"  # with questions, Enter sends
        page.click("input[name=correct-0][value='4']")
        page.click("input[name=correct-1][value='2']")
        pictures(page, "phone-questions")
        page.press("Enter", "\r")
        page.until("document.getElementById('count').textContent", "1 of 2 judged")
        page.press("2")
        page.click("#next")
        page.until(OVER)
    first, second = lines_of(run)
    assert first["criteria"] == {"correct": [4, 2]} and second.get("criteria", {}) == {}
    (correct, brief) = finish_rating(found)["criteria"]
    assert {grade["mean"] for grade in correct["grades"]} == {4.0, 2.0} and brief["grades"] == []


def test_a_page_whose_server_is_gone_says_so(browser, tmp_path) -> None:
    run = rated_run(tmp_path / "run", 3)
    with serving(opened(run, rows=3).rating) as server:
        page = browser.open(server.address("rater"))
        page.until(SHOWN)
        stale = browser.open(f"http://127.0.0.1:{server.server_port}/#of-yesterday")
        stale.until("document.getElementById('problem').textContent.includes('earlier session')")
    page.press("1")
    page.until("document.getElementById('problem').textContent.startsWith('graft does not answer')")
    assert not (run / "judgments.jsonl").exists()
