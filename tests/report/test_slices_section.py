"""The sections on slices and on confidence: whatever the values of a column are, they stay text."""

import re

import graft
from graft.cli.results import print_evaluation
from graft.data.example import Origin
from graft.evaluation.compare import evaluate
from graft.evaluation.criteria import Criteria
from graft.evaluation.rows import EvaluationRows
from graft.evaluation.store import write_evaluation
from graft.inference.predictor import CompletionScore
from graft.report.page import render
from graft.runs.folder import RunFolder
from graft.runs.view import RunView

HOSTILE = ["<script>alert(1)</script>", "</svg><b>", "\x1b[31mred\x07", "[bold]x[/bold]", "ann@example.org", "ಕನ್ನಡ"]


class Sure:
    """A predictor that is right in two of three rows, and always as sure."""

    def __init__(self, name):
        self.name, self.tokenizer = name, None

    def generate(self, examples, max_new_tokens, progress=None):
        return [""] * len(examples)

    def score(self, examples, completions, progress=None):
        return [
            [CompletionScore(-0.2 if (t == e.completion) == bool(e.origin.line % 3) else -1.7, 1) for t in texts]
            for e, texts in zip(examples, completions, strict=True)
        ]


def evaluated(folder):
    examples = [
        graft.AnswerExample(
            ({"role": "user", "content": str(n)},), "ab"[n % 2], Origin("r", n + 1, columns={"c": value})
        )
        for n, value in enumerate(HOSTILE * 35)
    ]
    rows = EvaluationRows(examples, ["a", "b"], {"path": "r", "rows": len(examples), "sha256": None})
    criteria = Criteria(["accuracy"], by=["c"], abstain_below=0.7, bootstrap_samples=200)
    found = evaluate([Sure("base"), Sure("tuned")], rows, criteria)
    folder.mkdir()
    write_evaluation(RunFolder(folder), found)
    return found.document


def test_values_of_columns_stay_text_on_the_page_and_in_the_terminal(tmp_path, capsys):
    document = evaluated(tmp_path / "run")
    page = render(RunView.read(tmp_path / "run"))
    assert 'id="slices"' in page and "<script>alert" not in page and "</svg><b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "\x1b" not in page and "\\x1b[31mred" in page
    assert "ann@example.org" not in page and "ಕನ್ನಡ" in page and "[bold]x[/bold]" in page
    print_evaluation(document)
    printed = capsys.readouterr().out
    assert "\x1b[31m" not in printed and "c = \\x1b[31mred" in printed and "c = [bold]x[/bold]" in printed


def test_charts_have_numbers_names_and_a_description(tmp_path):
    evaluated(tmp_path / "run")
    page = render(RunView.read(tmp_path / "run"))
    for ident in ("slice-plot", "reliability", "coverage"):
        (chart,) = re.findall(rf'<svg[^>]*aria-labelledby="{ident}-title.*?</svg>', page, re.DOTALL)
        assert "NaN" not in chart and f'id="{ident}-desc"' in chart and "<title" in chart
    assert "tuned is right in 0.667 of 210 rows" in page and "at least 0.7 sure" in page
