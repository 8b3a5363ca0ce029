"""The page in a real browser, where there is one: nothing sticks out or is squeezed, nothing is blocked, no script
but its own runs, and without that it can be read, too."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graft.report import write_report
from report import sample_run
from report.sample_evaluation import judged

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--enable-logging=stderr"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

# The page as it is, in a frame of a given width; the script is the wrapper's, measuring from outside.
WRAPPER = """<!doctype html><meta charset="utf-8">
<iframe style="border:0;width:{width}px;height:900px" sandbox="{sandbox}" srcdoc="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const inner = document.querySelector("iframe").contentDocument, page = inner.documentElement;
  const open = [...inner.querySelectorAll("details")].filter(d => (d.open = {unfolded}));
  const inside = e => e.parentElement.closest(".scroll, pre, svg, .hidden, details:not([open])");
  const wide = [...inner.querySelectorAll("main *, header *")].filter(e =>
    e.getBoundingClientRect().right > {width} + 1 && !inside(e) && !e.matches(".skip, .hidden"));
  const thin = [...inner.querySelectorAll("th[scope=row]")].filter(e => e.offsetWidth && e.offsetWidth < 40);
  const scores = inner.querySelectorAll(".scores thead th, .scores td");
  const full = [...scores].filter(e => e.offsetWidth && e.scrollWidth > e.offsetWidth + 1);
  const found = [...wide, ...thin, ...full].map(e => e.outerHTML.slice(0, 80));
  document.title = JSON.stringify([page.scrollWidth, found, open.length, inner.title]);
}});
</script>"""


def browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True)


def measure(
    report: Path, width: int, unfolded: bool, folder: Path, scripts: bool = True
) -> tuple[int, list[str], int, str]:
    sandbox = "allow-same-origin allow-scripts" if scripts else "allow-same-origin"
    wrapper = folder / "wrapper.html"
    page = html.escape(report.read_text(encoding="utf-8"))
    text = WRAPPER.format(width=width, page=page, unfolded=str(unfolded).lower(), sandbox=sandbox)
    wrapper.write_text(text, encoding="utf-8")
    dumped = browse(wrapper, folder / "profile", "--dump-dom", f"--window-size={width + 100},900").stdout
    title = re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)
    assert title, dumped[:500]
    found = json.loads(html.unescape(title[1]))
    return found[0], found[1], found[2], found[3]


def many_labels(run: Path) -> Path:
    """An evaluation of one model with 60 labels."""
    labels = [f"a label with number {index}" for index in range(60)]
    matrix = [[20 if column in (row, 0) else 0 for column in range(60)] for row in range(60)]
    judged(run, matrix, labels)
    return run


def without_evaluation(run: Path) -> Path:
    """A finished run that was not compared with its base."""
    for name in ("evaluation.json", "predictions.jsonl"):
        (sample_run.classification(run) / name).unlink()
    return run


def with_baselines(run: Path) -> Path:
    """A run whose table has the scores to beat, too."""
    path = sample_run.classification(run) / "evaluation.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    figures = document["predictors"]["base"]
    path.write_text(json.dumps(document | {"baselines": {"most_common": figures, "tfidf": figures}}), encoding="utf-8")
    return run


SAMPLES = [
    *(sample_run.classification, with_baselines, sample_run.free_text, sample_run.failed, sample_run.right_to_left),
    *(many_labels, without_evaluation),
]


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize(("width", "unfolded"), [(400, False), (400, True), (1400, True)])
def test_nothing_sticks_out(sample: Callable[[Path], Path], width: int, unfolded: bool, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    report = write_report(sample(run))
    scroll_width, wide, opened, title = measure(report, width, unfolded, tmp_path, unfolded)
    assert scroll_width <= width and wide == []
    assert opened == (report.read_text(encoding="utf-8").count("<details") if unfolded else 0)
    assert title != "owned"


def test_the_policy_lets_the_style_in_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    report = write_report(sample_run.classification(run))
    seen = browse(report, tmp_path / "profile", "--dump-dom")
    assert "Content Security Policy" not in seen.stderr
    assert "<title>tone of tweets: fine-tuning report</title>" in seen.stdout


# Types into the fields of the page and presses its buttons, and says what is then visible.
DRIVER = """<!doctype html><meta charset="utf-8">
<iframe style="border:0;width:1200px;height:900px" sandbox="{sandbox}" srcdoc="{page}"></iframe>
<script>
addEventListener("load", async () => {{
  const inner = document.querySelector("iframe").contentDocument;
  const visible = (sought) => [...inner.querySelectorAll(sought)].filter(e => e.offsetParent && e.checkVisibility());
  const rows = () => visible("#rows ol.rows > li");
  const choose = (control, value) => {{
    control.value = value;
    control.dispatchEvent(new inner.defaultView.Event("input", {{bubbles: true}}));
  }};
  const control = (name) => inner.querySelector(`[data-control="${{name}}"]`);
  const kind = (name) => inner.querySelector(`input[value="${{name}}"]`).click();
  const found = {{}};
  {steps}
  document.title = JSON.stringify(found);
}});
</script>"""


def drive(report: Path, steps: str, folder: Path, scripts: bool = True) -> dict[str, Any]:
    sandbox = "allow-same-origin allow-scripts" if scripts else "allow-same-origin"
    wrapper, page = folder / "driver.html", html.escape(report.read_text(encoding="utf-8"))
    wrapper.write_text(DRIVER.format(page=page, steps=steps, sandbox=sandbox), encoding="utf-8")
    dumped = browse(wrapper, folder / "profile", "--dump-dom", "--virtual-time-budget=5000").stdout
    title = re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)
    assert title, dumped[:500]
    found: dict[str, Any] = json.loads(html.unescape(title[1]))
    return found


def test_changed_rows_are_searched_filtered_and_sorted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    steps = """
    found.first = [rows().length, visible("details.more > summary .of-all").length];
    kind("broken"); found.broken = new Set(rows().map(r => r.className)).size === 1 && rows().length;
    kind("all"); choose(control("search"), "SHAREWARE GRATITUDE"); found.none = rows().length;
    choose(control("search"), "GRATITUDE food"); found.searched = rows().map(r => r.textContent.includes("#gratitude"));
    found.said = control("count").textContent;
    choose(control("search"), ""); choose(control("reference"), "neutral");
    found.references = [...new Set(rows().map(r => r.dataset.reference))];
    choose(control("reference"), ""); choose(control("sort"), "shortest");
    found.lengths = rows().map(r => Number(r.dataset.length));
    found.after = [rows().length, inner.querySelectorAll("#rows ol.rows > li").length];
    """
    found = drive(write_report(sample_run.classification(run)), steps, tmp_path)
    assert found["first"] == [40, 1] and found["broken"] == 20 and found["none"] == 0
    assert found["searched"] and all(found["searched"])
    total = found["after"][1]
    assert found["said"] == f"{len(found['searched'])} of {total} rows" and total > 100
    assert found["references"] == ["neutral"]
    assert found["lengths"] == sorted(found["lengths"]) and found["after"][0] == 40


def test_rows_are_filtered_by_kind_without_the_script(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    steps = """
    found.first = [rows().length, visible(".scripted, .copy").length, visible("pre.block").length > 2];
    kind("fixed"); found.fixed = [rows().length, rows().every(r => r.matches(".is-fixed"))];
    """
    found = drive(write_report(sample_run.classification(run)), steps, tmp_path, scripts=False)
    assert found == {"first": [40, 0, True], "fixed": [20, True]}


def test_each_command_has_a_button_that_copies_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    steps = """
    const blocks = visible("pre.block"), buttons = visible(".copyable > .copy");
    found.buttons = [blocks.length, buttons.length];
    const wait = () => new Promise(done => setTimeout(done, 300));
    buttons[0].click();  // without a press of a person the browser refuses
    await wait();
    found.refused = [buttons[0].textContent, String(inner.getSelection())];
    const clipboard = {writeText: async (text) => { found.text = text; }};
    Object.defineProperty(inner.defaultView.navigator, "clipboard", {value: clipboard});
    buttons[1].click();
    await wait();
    found.copied = buttons[1].textContent;
    """
    found = drive(write_report(sample_run.classification(run)), steps, tmp_path)
    assert found["buttons"][0] == found["buttons"][1] >= 5
    assert found["refused"][0].startswith("Selected") and found["refused"][1].startswith("graft chat ")
    assert found["copied"] == "Copied" and found["text"].startswith("graft evaluate ")
