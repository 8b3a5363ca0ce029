"""The documentation site: built strictly from a copy, and opened in a real browser where there is one."""

from __future__ import annotations

import html
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT
from report.test_browser import CHROMIUM, browse

pytest.importorskip("zensical")

PAGES = (
    "index",
    "tutorials/first-run",
    "how-to/prepare-data",
    "reference/settings",
    "reference/python-api",
    "reference/benchmarks",
)
WRAPPER = """<!doctype html><meta charset="utf-8">
<iframe style="border:0;width:{width}px;height:900px" src="{page}"></iframe>
<script>
addEventListener("load", () => {{
  const inner = document.querySelector("iframe").contentDocument, page = inner.documentElement;
  document.title = JSON.stringify([page.scrollWidth, inner.title, inner.querySelectorAll("h1").length]);
}});
</script>"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, with a reference made anew."""
    place = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", place / "docs", ignore=shutil.ignore_patterns("reference"))
    shutil.copy(ROOT / "zensical.toml", place)
    script = runpy.run_path(str(ROOT / "scripts" / "generate_reference.py"))
    (place / "docs" / "reference").mkdir()
    for name, made in script["PAGES"].items():
        (place / "docs" / "reference" / f"{name}.md").write_text(made(), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "site"


def test_every_page_is_in_the_site_and_asks_no_other_server(site: Path) -> None:
    pages = [page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")]
    assert all((site / page).is_file() for page in pages)
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?://(?!.*rel="canonical")', text), page


def test_the_reference_names_what_the_code_has(site: Path) -> None:
    settings = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    assert "lora_r" in settings and "learning_rate" in settings
    interface = (site / "reference" / "python-api.html").read_text(encoding="utf-8")
    assert "Run.evaluate" in interface and "Silent()" in re.sub("<[^>]+>", "", interface) and " at 0x" not in interface
    assert "rougeL" in (site / "reference" / "metrics.html").read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("page", PAGES)
def test_nothing_sticks_out(site: Path, page: str, width: int, tmp_path: Path) -> None:
    wrapper = site / f"wrapper-{page.replace('/', '-')}-{width}.html"
    wrapper.write_text(WRAPPER.format(width=width, page=f"{page}.html"), encoding="utf-8")
    seen = browse(
        wrapper, tmp_path / "profile", "--allow-file-access-from-files", "--dump-dom", "--window-size=1500,900"
    )
    title = re.search(r"<title>(\[.*?\])</title>", seen.stdout, re.DOTALL)
    assert title, seen.stdout[:500]
    scroll_width, name, headings = json.loads(html.unescape(title[1]))
    assert scroll_width <= width and name and headings == 1
