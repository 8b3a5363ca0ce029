"""What a search leaves: its page, its table, the winner's workflow file, and what ``graft show`` prints of it."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from graft.cli.main import main
from graft.documents import read_yaml
from graft.errors import InputError
from graft.report.search_charts import best_so_far, cheapest
from graft.report.search_importance import importance
from graft.report.search_luck import against_base, luck, luck_in_words
from graft.report.search_page import write_search_pages
from graft.report.search_terminal import print_search
from graft.report.search_view import SearchView
from graft.runs.kind import FolderKind, folder_kind
from graft.runs.manifest import TrialRecord, read_trials
from report import sample_search
from report.test_browser import CHROMIUM, browse, measure
from report.test_hostile import ATTACKS
from report.test_page import outline, words

Sample = Callable[[Path], Path]
SAMPLES = [
    sample_search.search,
    sample_search.one,
    sample_search.none,
    sample_search.many,
    sample_search.all_failed,
    sample_search.odd,
    sample_search.outliers,
]

BROWSED = [sample_search.search, sample_search.many, sample_search.odd]
"""A browser takes seconds for each."""


def page_of(folder: Path) -> str:
    return write_search_pages(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_is_well_formed_and_self_contained(sample: Sample, tmp_path: Path) -> None:
    page = page_of(sample(tmp_path))
    parsed = outline(page)
    assert [tag for tag, _ in parsed.tags if tag in ("script", "link", "img", "iframe", "object", "base")] == []
    for tag, attributes in parsed.tags:
        assert not {"src", "style", "onclick", "onerror"} & set(attributes), (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#"), attributes
    names = [tag for tag, _ in parsed.tags]
    assert names.count("h1") == 1 and names.count("table") == names.count("caption")
    assert all("scope" in attributes for tag, attributes in parsed.tags if tag == "th")
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {str(attributes["href"])[1:] for tag, attributes in parsed.tags if tag == "a"}
    assert links <= set(ids)
    assert "nan" not in re.findall(r"\b\w+\b", page.lower())


def test_the_page_says_what_matters(tmp_path: Path) -> None:
    said = words(page_of(sample_search.search(tmp_path / "tone-search")))
    for expected in (
        "Trial 10 is the best: held-out loss 0.3425; the defaults have 0.3568.",
        "20 (11 completed, 6 pruned, 2 failed, 1 duplicate)",
        "random, seed 42",
        "held-out loss on 150 held-out rows",
        "1e-06 to 0.001, logarithmic",
        "as the best of 17 trials, the winner is 0.0143 better than the defaults",
        "trial 7, failed: out of memory",
        "equal to trial 4",
        "graft chat tone-search/best",
        "Hutter, Hoos and Leyton-Brown 2014",
    ):
        assert expected in said, expected


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (sample_search.none, "No trial has ended yet."),
        (sample_search.one, "The default settings are the best so far"),
        (sample_search.all_failed, "No trial has a score: 6 failed."),
        (sample_search.odd, "Trial 5 is the best: accuracy 0.611; the defaults have 0.424."),
        (sample_search.outliers, "1 score is far worse than the others"),
    ],
)
def test_whatever_is_there_is_said(sample: Sample, expected: str, tmp_path: Path) -> None:
    assert expected in words(page_of(sample(tmp_path)))


def test_why_the_defaults_failed_is_in_the_table(tmp_path: Path) -> None:
    assert "defaults: out of memory" in words(page_of(sample_search.all_failed(tmp_path)))


def test_every_trial_is_in_every_order_of_the_table(tmp_path: Path) -> None:
    page = page_of(sample_search.search(tmp_path))
    orders = re.findall(r'data-order="([\w-]+)".*?</table>', page, re.DOTALL)
    assert orders == ["score", "number", "time", "setting-0", "setting-1", "setting-2"]
    by_key = {
        key: [int(number) for number in re.findall(r'scope="row" class="number">(\d+)<', table)]
        for key, table in re.findall(r'data-order="([\w-]+)"(.*?)</table>', page, re.DOTALL)
    }
    assert all(sorted(numbers) == list(range(20)) for numbers in by_key.values())
    trials = read_trials(tmp_path)
    assert by_key["number"] == list(range(20)) and by_key["score"][:2] == [10, 0]
    rates = [trials[number].settings["learning_rate"] for number in by_key["setting-0"]]
    assert rates == sorted(rates)
    assert page.count('name="order"') == len(orders)


def test_best_so_far_and_the_front_follow_completed_trials(tmp_path: Path) -> None:
    view = SearchView.read(sample_search.search(tmp_path))
    assert [number for number, _ in best_so_far(view)] == [0, 10]
    front = cheapest(view, view.ran)
    assert front[-1].number == 10 and all(trial.status == "completed" for trial in front)
    assert [trial.seconds for trial in front] == sorted(trial.seconds for trial in front)


def scored(folder: Path, score: Callable[[float, float], float], count: int = 120) -> SearchView:
    """A search of two settings from 0 to 1 with a known score, and one that changes nothing."""
    numbers, trials = random.Random(1), []
    for number in range(count):
        settings = {"a": numbers.random(), "b": numbers.random(), "c": numbers.choice(["x", "y"])}
        value = score(settings["a"], settings["b"])  # type: ignore[arg-type]
        trials.append(TrialRecord(number=number, settings=settings, value=value))
    unit = {"type": "float", "low": 0.0, "high": 1.0}
    space = {"a": unit, "b": unit, "c": {"type": "choice", "values": ["x", "y"]}}
    return SearchView.read(sample_search.write(folder, trials, space=space))


def test_importance_finds_the_known_shares(tmp_path: Path) -> None:
    one = importance(scored(tmp_path / "one", lambda a, b: 3 * a))
    assert one.shares[0][0] == "a" and one.shares[0][1] > 0.9 and one.known > 0.9
    both = dict(importance(scored(tmp_path / "both", lambda a, b: 2 * a + b)).shares)
    assert both["a"] == pytest.approx(0.8, abs=0.1) and both["b"] == pytest.approx(0.2, abs=0.1)  # 4 : 1
    assert both["c"] < 0.05
    together = importance(scored(tmp_path / "together", lambda a, b: float((a > 0.5) != (b > 0.5))))
    assert together.together > 0.6


def test_importance_is_not_told_of_noise_or_few_trials(tmp_path: Path) -> None:
    few = importance(SearchView.read(sample_search.one(tmp_path / "few")))
    assert few.shares == () and "at least 10 trials" in few.why_not
    numbers = random.Random(2)
    noise = importance(scored(tmp_path / "noise", lambda a, b: numbers.random(), count=30))
    assert noise.shares == () and "does not predict" in noise.why_not
    equal = importance(scored(tmp_path / "equal", lambda a, b: 1.0))
    assert equal.why_not == "all trials have the same score"


def judged(folder: Path, untouched: tuple[float, float], rows: bool = False) -> SearchView:
    """Two trials: scores 1.0 and 0.8 where they are selected, others on untouched rows."""
    numbers = random.Random(0)
    noise = [numbers.gauss(0, 1) for _ in range(200)]
    trials = [
        TrialRecord(number=number, value=value, untouched=other)
        if not rows
        else TrialRecord(
            number=number, value=value, untouched=other, untouched_rows=[(2 * (other + each), 2) for each in noise]
        )
        for number, (value, other) in enumerate(zip((1.0, 0.8), untouched, strict=True))
    ]
    return SearchView.read(sample_search.write(folder, trials))


def test_luck_is_the_part_of_the_gain_that_untouched_rows_do_not_have(tmp_path: Path) -> None:
    half = luck(judged(tmp_path / "half", (1.0, 0.9)))
    assert half is not None and half.interval is None
    assert (half.selected, half.untouched, half.share) == pytest.approx((0.2, 0.1, 0.5))
    none = judged(tmp_path / "none", (1.0, 0.75))
    found = luck(none)
    assert found is not None and found.share == 0 and "no sign of luck" in luck_in_words(none, found)
    all_of_it = judged(tmp_path / "all", (1.0, 1.1))
    found = luck(all_of_it)
    assert found is not None and found.share == 1 and "all of the gain was luck" in luck_in_words(all_of_it, found)


def test_the_interval_of_the_gain_is_paired_by_row(tmp_path: Path) -> None:
    found = luck(judged(tmp_path, (1.0, 0.9), rows=True))
    assert found is not None and found.interval is not None
    # The rows differ by far more than the trials; but in each row the difference is the same.
    assert (found.interval.value, found.interval.low, found.interval.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_winner_is_compared_with_its_base_on_the_rows_behind_the_selection(tmp_path: Path) -> None:
    view = SearchView.read(sample_search.search(tmp_path))
    found = against_base(view)
    assert found is not None and found.metric.name == "accuracy" and found.rows == 421
    lines = (tmp_path / "best" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    scores = [json.loads(line)["scores"] for line in lines][150:]
    for side, value in (("base", found.base), ("tuned", found.tuned)):
        assert value == pytest.approx(sum(row[side]["accuracy"] for row in scores) / 421)
    assert found.difference.low < found.tuned - found.base < found.difference.high


def test_csv_has_all_trials_with_all_digits_and_no_formulas(tmp_path: Path) -> None:
    write_search_pages(sample_search.odd(tmp_path))
    raw = (tmp_path / "trials.csv").read_bytes()
    assert raw.count(b"\r\n") == 17 and raw.endswith(b"\r\n")  # RFC 4180
    rows = list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    trials = read_trials(tmp_path)
    assert len(rows) == len(trials)
    for row, trial in zip(rows, trials, strict=True):
        assert float(row["value"]) == trial.value and int(row["trial"]) == trial.number
        for name in ("weight", "tiny"):
            assert row[name] == "" if name not in trial.settings else float(row[name]) == trial.settings[name]
    cells = [cell for row in rows for cell in row.values()]
    assert any(cell.startswith("'=cmd|") for cell in cells)
    numbers = [cell for cell in cells if cell.startswith("-")]
    assert numbers and all(float(cell) < 0 for cell in numbers)
    assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in cells)
    assert any(row["lora_target_modules"] == '["q_proj", "v_proj"]' for row in rows)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_texts_stay_text(attack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"name{attack}"
    space = {name: {"type": "choice", "values": [attack, "other"]}, "b": {"type": attack, "low": attack, "high": None}}
    trials = [
        TrialRecord(number=number, settings={name: attack, "b": attack}, value=float(number), seconds=1.0)
        for number in range(3)
    ]
    trials.append(TrialRecord(number=3, settings={name: attack}, status="failed", error=f"{attack}\n{attack}"))
    records = {"strategy": attack, "error": attack, "base": {"name": attack}, "metric": f"m{attack}"}
    sample_search.write(tmp_path, trials, space=space, **records)
    parsed = outline(page_of(tmp_path))
    assert not {"script", "img", "a href"} & {tag for tag, _ in parsed.tags}
    assert all(not set(attributes) & {"onload", "onerror", "src"} for _, attributes in parsed.tags)
    assert [attributes["href"] for tag, attributes in parsed.tags if tag == "a" and attributes["href"][:1] != "#"] == []
    assert main(["show", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\u202e" not in printed


def test_secrets_of_errors_are_masked(tmp_path: Path) -> None:
    error = f"no access with hf_{'a' * 30} to /home/ada/models/private"
    trial = TrialRecord(number=1, status="failed", error=error)
    page = page_of(sample_search.write(tmp_path, [trial], winner=None))
    table = (tmp_path / "trials.csv").read_text(encoding="utf-8")
    assert "aaaaaaaa" not in page and "aaaaaaaa" not in table
    assert "/home/ada" not in page


def test_best_yaml_has_the_settings_of_the_winner_first_and_no_place(tmp_path: Path) -> None:
    write_search_pages(sample_search.search(tmp_path))
    text = (tmp_path / "best.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Trial 10 of 20: held-out loss 0.3425 (defaults: 0.3568)\nlearning_rate: ")
    written, winner = read_yaml(tmp_path / "best.yaml"), read_trials(tmp_path)[10]
    assert written == {
        "model_name_or_path": "smollm2-135m-instruct",
        "data_files": ["tone-train.jsonl"],
        "seed": 42,
        **winner.settings,
    }


def test_without_a_winner_there_is_no_best_yaml(tmp_path: Path) -> None:
    write_search_pages(sample_search.one(tmp_path))
    assert not (tmp_path / "best.yaml").exists()


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("width", [40, 80, 140])
def test_show_fits_the_terminal(sample: Sample, width: int, tmp_path: Path) -> None:
    folder = sample(tmp_path / "s")
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_search(folder, console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("s  ")


def test_show_is_plain_text_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sample_search.search(tmp_path / "tone-search")
    assert main(["show", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "Trial 10 is the best" in printed and "and 15 more" in printed
    assert main(["show", str(folder), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["winner"]["number"] == 10 and len(document["trials"]) == 20
    assert document["luck"]["selected"] > document["luck"]["untouched"] > 0
    assert document["best"] == str(folder / "best")


@pytest.mark.parametrize("command", ["chat", "evaluate", "auto-opt", "doctor"])
def test_commands_that_want_a_run_name_the_winner(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sample_search.search(tmp_path / "tone-search")
    assert folder_kind(folder) is FolderKind.SEARCH
    assert main([command, str(folder)]) == 2
    assert f"give its winner: {folder / 'best'}" in capsys.readouterr().err


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no manifest\.json"):
        write_search_pages(tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("sample", [*BROWSED, sample_search.all_failed])
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_sticks_out_in_a_browser(sample: Sample, width: int, tmp_path: Path) -> None:
    report = write_search_pages(sample(tmp_path / "s"))
    scroll_width, wide, _, title = measure(report, width, False, tmp_path)
    assert scroll_width <= width and wide == []
    assert title == "s: search report"


# In the page itself: texts of drawings that lie on one another, or outside of their drawing.
OVERLAPS = """
  const frames = [...document.querySelectorAll("svg.chart")].filter(e => e.getBoundingClientRect().width);
  const found = [];
  for (const svg of frames) {
    const box = e => e.getBoundingClientRect(), whole = box(svg.closest(".card"));
    const texts = [...svg.querySelectorAll("text")].filter(e => getComputedStyle(e).visibility === "visible");
    for (const [n, one] of texts.entries()) {
      const a = box(one);
      if (a.left < whole.left || a.right > whole.right + 1) found.push("out: " + one.textContent);
      for (const other of texts.slice(n + 1)) {
        const b = box(other);
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 1 && down > 2) found.push(one.textContent + " | " + other.textContent);
      }
    }
  }
  const shown = [...document.querySelectorAll(".order")].filter(e => box2(e)).map(e => e.dataset.order);
  const number = document.querySelector("input[value=number]");
  if (number) number.click();
  const then = [...document.querySelectorAll(".order")].filter(e => box2(e)).map(e => e.dataset.order);
  const trial = [...document.querySelectorAll(".trial[tabindex]")].find(e => e.getBoundingClientRect().width);
  let read = null;
  if (trial) { trial.focus(); read = getComputedStyle(trial.querySelector(".value")).visibility; }
  document.title = JSON.stringify([found, shown, then, read]);
"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("sample", BROWSED)
@pytest.mark.parametrize("width", [500, 1400])
def test_drawings_are_readable_and_the_table_is_sorted_in_a_browser(sample: Sample, width: int, tmp_path: Path) -> None:
    page = page_of(sample(tmp_path / "s"))
    open_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    script = f"<script>const box2 = e => e.getBoundingClientRect().width;{OVERLAPS}</script></body>"
    measured = tmp_path / "measured.html"
    measured.write_text(open_policy.replace("</body>", script), encoding="utf-8")
    dumped = browse(measured, tmp_path / "profile", "--dump-dom", f"--window-size={width},900").stdout
    title = re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)
    assert title is not None
    found, shown, then, read = json.loads(title[1].replace("&quot;", '"').replace("&amp;", "&"))
    assert found == []
    assert shown == ["score"] and then == ["number"]
    assert read == "visible"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_the_policy_lets_the_style_in_and_nothing_else(tmp_path: Path) -> None:
    report = write_search_pages(sample_search.odd(tmp_path / "s"))
    seen: subprocess.CompletedProcess[str] = browse(report, tmp_path / "profile", "--dump-dom")
    assert "Content Security Policy" not in seen.stderr
    assert "<title>s: search report</title>" in seen.stdout
