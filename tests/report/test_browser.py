"""The page in a real browser, where there is one: nothing sticks out or is squeezed, nothing is blocked, no script
runs."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.report import write_report
from report import sample_run

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--enable-logging=stderr"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

# The page as it is, in a frame of a given width; the script is the wrapper's, measuring from outside.
WRAPPER = """<!doctype html><meta charset="utf-8">
<iframe style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe>
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


def measure(report: Path, width: int, unfolded: bool, folder: Path) -> tuple[int, list[str], int, str]:
    wrapper = folder / "wrapper.html"
    page = html.escape(report.read_text(encoding="utf-8"))
    wrapper.write_text(WRAPPER.format(width=width, page=page, unfolded=str(unfolded).lower()), encoding="utf-8")
    dumped = browse(wrapper, folder / "profile", "--dump-dom", f"--window-size={width + 100},900").stdout
    title = re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)
    assert title, dumped[:500]
    found = json.loads(html.unescape(title[1]))
    return found[0], found[1], found[2], found[3]


def with_baselines(run: Path) -> Path:
    """A run whose table has the scores to beat, too."""
    path = sample_run.classification(run) / "evaluation.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    figures = document["predictors"]["base"]
    path.write_text(json.dumps(document | {"baselines": {"most_common": figures, "tfidf": figures}}), encoding="utf-8")
    return run


@pytest.mark.parametrize("sample", [sample_run.classification, with_baselines, sample_run.free_text, sample_run.failed])
@pytest.mark.parametrize(("width", "unfolded"), [(400, False), (400, True), (1400, True)])
def test_nothing_sticks_out(sample: Callable[[Path], Path], width: int, unfolded: bool, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    scroll_width, wide, opened, title = measure(write_report(sample(run)), width, unfolded, tmp_path)
    assert scroll_width <= width and wide == []
    assert bool(opened) == unfolded
    assert title != "owned"


def test_the_policy_lets_the_style_in_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    report = write_report(sample_run.classification(run))
    seen = browse(report, tmp_path / "profile", "--dump-dom")
    assert "Content Security Policy" not in seen.stderr
    assert "<title>tone of tweets: fine-tuning report</title>" in seen.stdout
