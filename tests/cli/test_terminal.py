"""What the terminal shows at 80 columns, and without escape sequences."""

import itertools
import os
import re
import sys

import pytest
from rich.cells import cell_len

from graft.cli.arguments import parse
from graft.cli.main import main
from graft.cli.output import fitted
from graft.cli.results import print_evaluation
from graft.errors import GraftError
from graft.evaluation.metrics import Predictions, get_metric
from graft.registry import load_attribute, place_in_extension

LONG = "a-name-of-a-predictor-that-is-very-long-" * 3
WIDE = "日本語の名前" * 9
NAMES = [("base", "tuned"), ("base", "previous", "tuned"), (LONG, "tuned"), (WIDE, "[red]x[/]")]
PLAIN = [({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, True), ({"TERM": "xterm"}, False)]


def evaluation(*names: str, metric: str = "accuracy") -> dict[str, object]:
    figures = {"value": 0.84512, "low": 0.81234, "high": 0.87776, "n": 1234567}
    worse = {"value": -0.24712, "low": -0.31234, "high": -0.18776, "p": 0.001, "metric": metric}
    pairs = itertools.pairwise(names)
    return {
        "predictors": {name: {metric: figures} for name in names},
        "differences": [{"from": before, "to": after, **worse} for before, after in pairs],
        "data": {"rows": 1234567, "path": "rows.jsonl"},
        "metrics": {},
        "lower_is_better": [],
    }


@pytest.mark.parametrize("columns", [30, 50, 80, 120])
@pytest.mark.parametrize("names", NAMES)
def test_no_figure_is_wrapped_or_cut(names, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    print_evaluation(evaluation(*names))
    out = capsys.readouterr().out
    for figure in ("0.845 (0.812–0.878)", "−0.247 (−0.312 to −0.188)"):
        assert all(part in out for part in (figure.split() if columns < 60 else [figure])), out
    assert not re.search(r"…|\d\n[.\d]|\d\.\n\d", out)
    table = out[: out.index("\nThe ")]
    assert all(cell_len(line) <= columns for line in table.splitlines()) or columns < 60
    assert "[red]" not in " ".join(names) or "[red]x[/]" in out


def test_a_minus_is_one_sign_and_zero_has_none():
    metric = get_metric("accuracy")
    assert metric.figure(-0.5) == "−0.500" and metric.figure(-0.5, True) == "−0.500"
    assert metric.figure(0.5, True) == "+0.500" and metric.figure(-0.0001, True) == "0.000"


def test_the_help_is_broken_between_words():
    text = fitted("      maximum number of rows, sampled with the mix of classes (default: 10,000)\nshort", 40)
    assert max(map(len, text.splitlines())) <= 40 and "10,000" in text and text.endswith("\nshort")


def on_a_terminal(code: str, environment: dict[str, str]) -> bytes:
    """What a process writes to a terminal of 80 columns."""
    import pty  # of POSIX

    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-c", code], {**os.environ, "COLUMNS": "80", **environment})
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux ends it
            break
        if not part:
            break
        written += part
    assert os.waitpid(child, 0)[1] == 0
    return written


BAR = """
from graft.cli.progress import Screen
with Screen() as screen:
    for step in range(3):
        screen.step(step, 3, {"loss": 0.5})
        screen.note("note")
from rich.text import Text
from graft.cli.console import Console
Console().print(Text("bold", style="bold red"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a pty is of POSIX")
@pytest.mark.parametrize(("environment", "plain"), PLAIN)
def test_no_escape_sequences_where_none_are_wanted(environment, plain):
    written = on_a_terminal(BAR, {"NO_COLOR": "", **environment})
    assert b"bold" in written and (b"\x1b" in written) == (not plain)


def test_the_flag_is_the_environment_variable(monkeypatch, capsys):
    monkeypatch.setenv("NO_COLOR", "")
    assert parse(["--no-color"]).options == {"color": "false"}
    assert main(["show", "no-such-folder", "--no-color"]) == 2 and os.environ["NO_COLOR"] == "1"
    assert "color" not in capsys.readouterr().err


def test_an_exception_of_a_users_file_is_no_bug_of_graft(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("import json\n\n\ndef f(text):\n    return json.loads(text)\n", encoding="utf-8")
    own = load_attribute(f"{path}:f")
    with pytest.raises(ValueError, match="Expecting") as caught:
        own("{")
    assert place_in_extension(caught.value) == f"{path}:5"
    with pytest.raises(ValueError, match="Expecting") as caught:
        __import__("json").loads("{")
    assert place_in_extension(caught.value) == ""


def test_a_metric_that_raises_is_named_with_its_line(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def f(references, answers):\n    return 1 / 0\n", encoding="utf-8")
    metric = get_metric(f"{path}:f")
    with pytest.raises(GraftError, match=r"own\.py:2: the metric f cannot be computed: ZeroDivisionError"):
        metric.statistics(Predictions(["a"], ["a"]))
