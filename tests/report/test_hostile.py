"""Hostile strings everywhere in a run stay text: in the page, in a browser, and in the model card."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from torture import tally

from graft.report.card import render as render_card
from graft.report.page import render, write_report
from graft.runs.view import RunView
from report import sample_run
from report.test_browser import CHROMIUM, browse
from report.test_page import only_script

ATTACKS = (
    "<script>document.title='owned'</script>",
    '<img src="https://example.org/x.png" onerror="document.title=\'owned\'">',
    "\"'></td></table></main></style></title></svg><script>document.title='owned'</script>",
    '<svg onload="document.title=\'owned\'"><a href="data:text/html,x">',
    "{{ 7 * 7 }}{% raw %}",
    "[link](javascript:document.title='owned') ![image](https://example.org/x.png)",
    "```\n\n# Heading\n\n<b>bold</b>\n```python\nimport os",
    "a | b\n|---|---|\n| c | d |",
    "\n---\nlicense: mit\n---\n# Heading",
    '"; __import__("os").system("id"); "',
    "'''\n\"\"\"\nimport os\n",
    "$(id) `id` ; id && id",
    "\x1b[31m\u202e\x00",
)
KEPT = {"kind", "schema_version", "status", "started", "finished", "origin", "needs", "sha256", "headline", "metric"}
"""Keys whose values are read as something else than text."""


def poisoned(value: Any, attack: str, key: str = "") -> Any:
    """``value`` with the attack behind each of its texts."""
    if isinstance(value, str):
        return value if key in KEPT else value + attack
    if isinstance(value, list):
        return [poisoned(part, attack, key) for part in value]
    if isinstance(value, dict):
        return {name: poisoned(part, attack, name) for name, part in value.items()}
    return value


def poison(run: Path, attack: str) -> Path:
    for name in ("manifest.json", "evaluation.json"):
        path = run / name
        document = json.loads(path.read_text(encoding="utf-8"))
        if name == "manifest.json":
            document["error"] = "it failed"
            document["task_name"] = "title"
        path.write_text(json.dumps(poisoned(document, attack)), encoding="utf-8")
    for path in (run / "predictions.jsonl", *(run / "data").glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_text("".join(json.dumps(poisoned(row, attack)) + "\n" for row in rows), encoding="utf-8")
    return run


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.attributes: set[tuple[str, str]] = set()
        self.links: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found[tag] += 1
        for name, value in attributes:
            self.attributes.add((tag, name))
            if name in {"href", "src", "action", "data"}:
                self.links.add(value or "")


@pytest.mark.parametrize("sample", [sample_run.classification, sample_run.free_text])
def test_no_string_becomes_an_element(sample: Any, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    clean.mkdir()
    allowed = Elements(render(RunView.read(sample(clean))))
    with tally("escape sequences and markup") as figures:
        for number, attack in enumerate(ATTACKS):
            figures.tried += 1
            run = tmp_path / str(number)
            run.mkdir()
            found = Elements(render(RunView.read(poison(sample(run), attack))))
            strange = set(found.found) - set(allowed.found) - {"details", "summary", "pre", "strong", "mark", "div"}
            if strange or {link for link in found.links if not link.startswith("#")}:
                figures.faults.append(f"{attack!r}: {strange} {found.links}")
            scrolled = {("div", name) for name in ("aria-label", "role", "tabindex")}  # a table that may be wide
            more = found.attributes - allowed.attributes - scrolled - {(tag, "class") for tag in found.found}
            if more:
                figures.faults.append(f"{attack!r}: {more}")


@pytest.mark.parametrize("sample", [sample_run.classification, sample_run.free_text])
def test_no_string_becomes_markup_of_the_card(sample: Any, tmp_path: Path) -> None:
    reader = MarkdownIt("commonmark").enable("table")
    with tally("escape sequences and markup") as figures:
        for number, attack in enumerate(ATTACKS):
            figures.tried += 1
            run = tmp_path / str(number)
            run.mkdir()
            card = render_card(RunView.read(poison(sample(run), attack)))
            front = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
            body = ModelCard(card).text
            if not isinstance(front, dict) or front.get("license") == "mit" or "license: mit" in body.split("\n")[:3]:
                figures.faults.append(f"{attack!r}: {front}")
            tokens = reader.parse(body)
            inline = [child for token in tokens for child in token.children or ()]
            kinds = {token.type for token in (*tokens, *inline)}
            headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
            hrefs = [str(token.attrs.get("href")) for token in inline if token.type == "link_open"]
            if kinds & {"html_inline", "html_block", "image", "code_inline"} or "Heading" in headings:
                figures.faults.append(f"{attack!r}: {kinds} {headings}")
            if [href for href in hrefs if not re.fullmatch(r"https://huggingface\.co/[\w./-]+", href)]:
                figures.faults.append(f"{attack!r}: {hrefs}")
            for token in tokens:
                if token.type == "fence" and token.info == "python":
                    compile(token.content, "snippet", "exec")
                    names = {node for node in ("os", "__import__") if f"\nimport {node}" in token.content}
                    figures.faults += [f"{attack!r}: {token.content}"] if names else []


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_a_browser_runs_only_the_script_of_the_page_and_asks_for_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    report = write_report(poison(sample_run.classification(run), "".join(ATTACKS)))
    log = tmp_path / "net.json"
    seen: subprocess.CompletedProcess[str] = browse(report, tmp_path / "profile", "--dump-dom", f"--log-net-log={log}")
    title = re.search(r"<title>(.*?)</title>", seen.stdout, re.DOTALL)
    assert title and title[1] != "owned" and "document.title=" in title[1]
    assert only_script(report.read_text(encoding="utf-8")) == only_script(seen.stdout)
    assert "<img" not in seen.stdout and "Content Security Policy" not in seen.stderr
    assert "example.org" not in log.read_text(encoding="utf-8", errors="replace")
