"""The page: whole whatever is missing, safe whatever the data hold, and nothing loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from graft.errors import InputError
from graft.report import write_report
from graft.report.card import write_card
from graft.report.page import render
from graft.report.terminal import run_summary
from graft.runs.view import RunView
from report import sample_run

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "rect", "line", "circle", "path"}
Sample = Callable[[Path], Path]


class Outline(HTMLParser):
    """Checks that what is opened is closed, and keeps what the tests ask about."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    return parsed


def words(page: str) -> str:
    return " ".join(" ".join(outline(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)).text).split())


def only_script(page: str) -> str:
    """The one script of the page, which its policy allows by its hash, and nothing else."""
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["script-src"] == f"'sha256-{digest}'" and rules["default-src"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'" and rules["trusted-types"] == "'none'"
    assert page.count("<script") == 1
    return script


@pytest.mark.parametrize("sample", [sample_run.classification, sample_run.free_text, sample_run.failed])
def test_page_is_well_formed_and_self_contained(sample: Sample, tmp_path: Path) -> None:
    page = write_report(sample(tmp_path)).read_text(encoding="utf-8")
    parsed = outline(page)
    assert [tag for tag, _ in parsed.tags if tag in ("link", "img", "iframe", "object", "base")] == []
    script = only_script(page)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|fetch|XMLHttp|import\b|https?:", script
    )
    for tag, attributes in parsed.tags:
        assert not {"src", "style", "onclick", "onerror"} & set(attributes), (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#"), attributes
    assert not re.search(r"@import|url\(", page[: page.index("</style>")])
    assert "default-src 'none'" in page


def test_headings_tables_and_charts_are_accessible(tmp_path: Path) -> None:
    page = write_report(sample_run.classification(tmp_path)).read_text(encoding="utf-8")
    tags = outline(page).tags
    names = [tag for tag, _ in tags]
    assert names.count("h1") == 1
    assert names.count("table") == names.count("caption")
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in tags:
        if tag == "svg" and attributes.get("role") == "img":
            assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)
        if tag == "a" and attributes["href"] != "#main":
            assert (attributes["href"] or "")[1:] in ids


TEXT_ON_GROUND = [
    *[(text, ground) for text in ("ink", "soft", "tuned") for ground in ("ground", "surface", "sunk")],
    *[(text, f"{text}-soft") for text in ("tuned", "bad", "waiting")],
    *[("ink", f"{ground}-soft") for ground in ("tuned", "bad", "waiting")],
    ("base", "surface"),
    ("bad", "surface"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON_GROUND)
def test_contrast_is_aa(scheme: str, text: str, ground: str, tmp_path: Path) -> None:
    """WCAG 2.1, 1.4.3: at least 4.5 to 1."""
    style = render(RunView.read(tmp_path)).split("</style>")[0]
    part = style.split("@media (prefers-color-scheme: dark)")[scheme == "dark"].split("}")[0]
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part))
    lighter, darker = sorted((luminance(colors[text]), luminance(colors[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(color: str) -> float:
    """Relative luminance of ``#rrggbb``, as WCAG defines it."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_data_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["task_name"] = sample_run.HOSTILE
    manifest["settings"]["system_prompt"] = sample_run.HOSTILE
    manifest["data"]["summary"]["warnings"] = [sample_run.HOSTILE]
    manifest["data"]["summary"]["labels"] = {sample_run.HOSTILE: 3}
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    page = write_report(run).read_text(encoding="utf-8")
    assert only_script(page) and "<img" not in page
    assert page.count("</style>") == 1
    assert words(page).count("<script>document.title='owned'</script>") >= 4


def test_what_the_page_says_of_a_classification(tmp_path: Path) -> None:
    text = words(write_report(sample_run.classification(tmp_path)).read_text(encoding="utf-8"))
    document = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    for name in ("base", "tuned"):
        assert f"{document['predictors'][name]['accuracy']['value']:.3f}" in text
        for row in document["confusion"][name]:
            assert all(f" {cell} " in text for cell in row)
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = [(row["scores"]["base"]["accuracy"], row["scores"]["tuned"]["accuracy"]) for row in rows]
    fixed, broken = scores.count((0.0, 1.0)), scores.count((1.0, 0.0))
    assert f"{fixed} rows that tuning fixed" in text and f"{broken} rows that tuning broke" in text
    assert f"{fixed - 20} more" in text
    assert "4 texts occur twice with different labels" in text
    assert "95 % of the rows have at most 96 tokens" in text
    assert "commercial use is allowed" in text
    assert "graft chat" in text and "PeftModel.from_pretrained" in text
    assert "best: step 99, 0.3517" in text


def test_free_text_is_ranked_by_its_metric(tmp_path: Path) -> None:
    page = write_report(sample_run.free_text(tmp_path)).read_text(encoding="utf-8")
    text = words(page)
    assert "rows that tuning improved" in text and "ROUGE-L" in text
    assert "日本語の形態素解析エンジンです" in text
    assert "<mark>" in page
    assert "Confusion" not in page


def test_failed_run_says_why_and_how_to_go_on(tmp_path: Path) -> None:
    text = words(write_report(sample_run.failed(tmp_path)).read_text(encoding="utf-8"))
    assert "The run failed after step 40: the disk is full" in text
    assert "graft finetune --resume --output_path" in text
    assert "graft chat" not in text


@pytest.mark.parametrize("sample", [sample_run.classification, sample_run.free_text])
@pytest.mark.parametrize("name", ["manifest.json", "metrics.jsonl", "evaluation.json", "predictions.jsonl"])
def test_any_file_may_be_missing_and_a_damaged_one_is_named(sample: Sample, name: str, tmp_path: Path) -> None:
    run = sample(tmp_path)
    for content in ("[]\n", "\x00\ufffd{\n", "[" * 100_000 + "\n"):
        (run / name).write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=name):
            _ = RunView.read(run).predictions
    (run / name).unlink()
    outline(render(RunView.read(run)))


def test_empty_folder_has_a_page(tmp_path: Path) -> None:
    assert "This run has no records" in words(write_report(tmp_path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_unfinished_runs(status: str, tmp_path: Path) -> None:
    run = sample_run.failed(tmp_path)
    (run / "manifest.json").write_text(json.dumps({"status": status}), encoding="utf-8")
    assert "resume" in words(write_report(run).read_text(encoding="utf-8"))


def test_one_model_alone(tmp_path: Path) -> None:
    """``graft evaluate MODEL -o D`` leaves an evaluation of one predictor and no manifest."""
    run = sample_run.classification(tmp_path)
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    for section in ("predictors", "classes", "confusion"):
        del document[section]["tuned"]
    document["differences"] = []
    (run / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    (run / "manifest.json").unlink()
    text = words(write_report(run).read_text(encoding="utf-8"))
    assert f"{document['predictors']['base']['accuracy']['value']:.3f}" in text


def test_scores_to_beat_stand_beside_those_of_the_models(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    figure = {"value": 0.4321, "low": 0.4, "high": 0.46, "n": 571}
    document["baselines"] = {"most_common": {"accuracy": {**figure, "value": 0.3}}, "tfidf": {"accuracy": figure}}
    (run / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    page = write_report(run).read_text(encoding="utf-8")
    head = page[page.index("<thead") : page.index("</thead>")]
    assert head.index("most common") < head.index("TF-IDF") < head.index("base") < head.index("tuned")
    assert "<b>0.432</b>" in page and "always predicting the most frequent label: 0.3" in page
    card = write_card(run).read_text(encoding="utf-8")
    assert "| most common | TF-IDF | base | tuned |" in card
    assert run_summary(run)["baselines"]["tfidf"] == {"accuracy": figure}


def test_many_labels_list_the_mistakes(tmp_path: Path) -> None:
    labels = [f"label {index}" for index in range(40)]
    matrix = [[50 if row == column else int(column == row + 1) for column in range(40)] for row in range(40)]
    score = {"accuracy": {"value": 0.98, "low": 0.97, "high": 0.99, "n": 2039}}
    document = {"data": {}, "labels": labels, "predictors": {"base": score}, "confusion": {"base": matrix}}
    (tmp_path / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
    text = words(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "most frequent mistakes" in text and "label 9" in text


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["settings"]["token"] = "hf_secret"
    manifest["inferred_settings"].append({"name": "token", "value": "hf_secret", "why": "HF_TOKEN"})
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "hf_secret" not in write_report(run).read_text(encoding="utf-8")


def test_the_page_is_a_function_of_the_files(tmp_path: Path) -> None:
    run = sample_run.classification(tmp_path)
    assert write_report(run).read_bytes() == write_report(run).read_bytes()
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]
