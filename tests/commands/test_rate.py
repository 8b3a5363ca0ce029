"""``graft rate``: sheets out and back, the results, other models, a model as judge, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest

from answering_server import answering
from driven_browser import CHROMIUM, driven_browser
from graft.cli.main import main
from graft.evaluation.human.judge import read_verdict
from graft.evaluation.human.sheets import cell
from rated_rows import FORMULA, lines_of, opened, rated_run
from small_runs import question_file, tune


@pytest.fixture
def run(tmp_path):
    return rated_run(tmp_path / "run", 12)


def graft(capsys, *words):
    code = main(["rate", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def filled(path, choices, separator=","):
    """The sheet with the choices of a rater, as a spreadsheet saves it."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    for row, choice in zip(rows, choices, strict=False):
        row["better"] = choice
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    return path


# ---- sheets


def test_a_sheet_goes_out_and_comes_back(run, tmp_path, capsys) -> None:
    code, out, err = graft(capsys, run, "--rows", 6, "--raters", "ann,bob", "--export", tmp_path / "sheet.csv")
    assert code == 0 and "sheet-ann.csv" in out and "sheet-bob.csv" in out and "6 rows by 2 of 2 raters" in err
    sheet = tmp_path / "sheet-ann.csv"
    text = sheet.read_text(encoding="utf-8-sig")
    assert "base" not in text and "tuned" not in text  # blind
    filled(sheet, ["1", "2", "=", "tie", "Both bad", ""], ";")
    code, out, _ = graft(capsys, run, "--import", sheet)
    assert code == 0 and "imported: 5 judgments; without a judgment: 1" in out
    assert [line["choice"] for line in lines_of(run)] == ["left", "right", "tie", "tie", "both_bad"]
    assert {(line["rater"], line["source"]) for line in lines_of(run)} == {("ann", "sheet")}
    code, out, _ = graft(capsys, run, "--import", sheet, "--json")
    found = json.loads(out)
    assert (found["imported"], found["known"]) == (0, 5) and found["judgments"]["judgments"] == 5
    assert len(lines_of(run)) == 5


def test_the_sides_of_a_sheet_are_those_of_the_page(run, tmp_path, capsys) -> None:
    graft(capsys, run, "--rows", 12, "--raters", "ann", "--export", tmp_path / "sheet.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "sheet.csv").read_text(encoding="utf-8-sig"), newline="")))
    tuned_is_second = ["2" if row["answer 1"].startswith("Package") else "1" for row in rows]
    assert len(set(tuned_is_second)) == 2  # in random order
    graft(capsys, run, "--import", filled(tmp_path / "sheet.csv", tuned_is_second))
    (pair,) = json.loads(graft(capsys, run, "--results", "--json")[1])["judgments"]["pairs"]
    assert (pair["first"], pair["wins"], pair["losses"], pair["more"]) == ("base", 0, 12, 0) and pair["p"] < 0.001


def test_no_cell_is_a_formula(run, tmp_path, capsys) -> None:
    graft(capsys, run, "--rows", 12, "--export", tmp_path / "sheet.csv")
    text = (tmp_path / "sheet.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert not [one for row in rows for one in row if one[:1] in tuple("=+-@\t\r")]
    assert f"'{FORMULA}" in {one for row in rows for one in row}
    for text in ("=1", "+1", "-1", "@x", "\t=1", " =1", "'=1"):
        assert cell(text) == f"'{text}"
    assert cell("1 + 1") == "1 + 1"


def test_a_sheet_of_another_run_is_refused(run, tmp_path, capsys) -> None:
    other = rated_run(tmp_path / "other", 12)
    for folder in (run, other):
        graft(capsys, folder, "--rows", 3, "--export", tmp_path / f"{folder.name}.csv")
    code, _, err = graft(capsys, run, "--import", filled(tmp_path / "other.csv", "111"))
    assert code == 2 and "this sheet is of another run" in err and not (run / "judgments.jsonl").exists()


def test_everything_wrong_with_a_sheet_is_said_and_nothing_is_kept(run, tmp_path, capsys) -> None:
    graft(capsys, run, "--rows", 4, "--export", tmp_path / "sheet.csv")
    sheet = filled(tmp_path / "sheet.csv", ["1", "3", "left", "2"])
    code, _, err = graft(capsys, run, "--import", sheet)
    assert code == 2 and "row 2: better is '3'; expected 1, 2, tie or bad" in err and "row 3: better is 'left'" in err
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("better", "best"), encoding="utf-8")
    code, _, err = graft(capsys, run, "--import", sheet)
    assert code == 2 and "no column better" in err
    code, _, err = graft(capsys, run, "--import", tmp_path / "gone.csv")
    assert code == 2 and "no such file" in err
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    assert graft(capsys, run, "--import", tmp_path / "empty.csv")[0] == 2
    (tmp_path / "x.json").write_text('{"graft": "judgments"}', encoding="utf-8")
    assert graft(capsys, run, "--import", tmp_path / "x.json")[0] == 2
    assert not (run / "judgments.jsonl").exists()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_a_sheet_that_is_a_page_works_without_a_server(run, tmp_path, capsys) -> None:
    graft(capsys, run, "--rows", 3, "--raters", "ann", "--export", tmp_path / "sheet.html")
    with driven_browser(tmp_path / "profile") as browser:
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        page = browser.open((tmp_path / "sheet.html").as_uri(), 390, 780)
        page.until("!document.getElementById('row').hidden")
        for number, key in enumerate(["1", "=", "b"], 1):
            page.press(key)
            page.until("document.getElementById('count').textContent", f"{number} of 3 judged")
            if number == 1:
                page.reload()
                page.until("document.getElementById('count').textContent", "1 of 3 judged")
        page.click("#download")
        page.until("document.getElementById('over').hidden", False)
        saved = tmp_path / "judgments-ann.json"
        for _ in range(200):
            if saved.exists():
                break
            page.value("new Promise(done => setTimeout(done, 50))")
        assert page.complaints() == []
    code, out, err = graft(capsys, run, "--import", saved)
    assert code == 0 and "imported: 3 judgments" in out, err
    assert sorted(line["choice"] for line in lines_of(run)) == ["both_bad", "left", "tie"]


# ---- the page, from the command line


def rate_by_api(address, choices):
    """Judge as the page does, until ``choices`` or the rows end."""
    base, token = address.split("/#")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(base + path, data, headers), timeout=10) as answer:
            return json.load(answer)

    state = ask("/api/row")
    for choice in choices:
        if state["item"] is None:
            break
        state = ask("/api/judgment", {"item": state["item"]["key"], "choice": choice})


def test_the_command_serves_until_all_is_judged(run, capsys, monkeypatch) -> None:
    class Watched(io.StringIO):
        def write(self, text):
            for address in re.findall(r"http://127\.0\.0\.1:\d+/#[\w-]+", text):
                threading.Thread(target=rate_by_api, args=(address, ["left"] * 9)).start()
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Watched())
    assert main(["rate", str(run), "--rows", "4", "--raters", "ann,bob", "--per_row", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["planned"], found["open"]) == (4, 0) and found["judgments"]["raters"] == 2
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert document["judgments"]["judgments"] == 4 and "predictors" in document
    page = " ".join((run / "report.html").read_text(encoding="utf-8").split())
    assert "People’s judgment" in page and "4 blind judgments of 4 rows by 2 raters" in page
    card = (run / "README.md").read_text(encoding="utf-8")
    assert "## People's judgment" in card and "ann" not in re.findall(r"\w+", card)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_pauses_and_the_same_command_goes_on(run, capsys) -> None:
    command = [sys.executable, "-m", "graft.cli.main", "rate", str(run), "--rows", "5", "--json"]
    for count, code in ((2, 130), (9, 0)):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes, encoding="utf-8") as process:
            line = process.stderr.readline()
            rate_by_api(line.split(": ")[1].strip(), ["left"] * count)
            if code:
                process.send_signal(signal.SIGINT)
            found = json.loads(process.stdout.read().split('\n{"error')[0])
            assert process.wait(timeout=60) == code
        assert found["open"] == (3 if code else 0) and found["judgments"]["judgments"] == (2 if code else 5)
    assert main(["show", str(run)]) == 0
    assert "Answer 1 won 100 % of 5 decided judgments" in " ".join(capsys.readouterr().out.split())


def test_what_is_judged_is_said_before(run, capsys) -> None:
    _, _, err = graft(capsys, run, "--rows", 12, "--export", run.parent / "x.csv")
    said = " ".join(err.split())
    assert "12 rows prove a preference of" in said and "60:40 needs 210" in said


# ---- who is compared


def test_the_reference_can_be_judged_too(run) -> None:
    rating = opened(run, rows=9, compare=("base", "tuned", "reference")).rating
    pairs = {frozenset((item.first, item.second)) for item in rating.items}
    assert len(pairs) == 3 and rating.record.models == ["base", "tuned", "reference"]


def test_an_answer_that_changed_is_not_judged(run, tmp_path, capsys) -> None:
    graft(capsys, run, "--rows", 12, "--export", tmp_path / "sheet.csv")
    graft(capsys, run, "--import", filled(tmp_path / "sheet.csv", ["1"] * 12))
    path = run / "predictions.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("task 5 & more", "task 5 & less"), encoding="utf-8")
    code, out, _ = graft(capsys, run, "--results")
    assert code == 0 and "do not count: 1." in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--compare", "base,tund"), "did you mean tuned?"),
        (("--compare", "base"), "one model cannot be compared"),
        (("--compare", "base,base"), "base is there twice"),
        (("--raters", "ann,Ann"), "a name is there twice"),
        (("--raters", "ann", "--per_row", "2"), "--per_row is 2, and there are 1 raters"),
        (("--judge_model", "x"), "--judge_model applies only to --judge"),
        (("--results", "--export", "x.csv"), "exclude each other"),
        (("--export", "x.xlsx"), "expected .csv or .html"),
        (("--rows", "0"), "--rows"),
        (("--row", "5"), "did you mean rows?"),
        (("--results",), "nothing of this run was judged yet"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(run, words, said, capsys) -> None:
    code, _, err = graft(capsys, run, *words)
    assert code == 2 and said in err, err
    assert not (run / "judgments.jsonl").exists()


def test_criteria_that_are_wrong_are_all_said(run, tmp_path, capsys) -> None:
    path = tmp_path / "criteria.yaml"
    path.write_text("right: {scale: [3, 1], labls: x}\n2: Is it?\nbrief: Is it brief?\n", encoding="utf-8")
    code, _, err = graft(capsys, run, "--criteria", path)
    assert code == 2 and "question is None" in err and "scale is [3, 1]" in err and "did you mean labels?" in err
    assert "a name has up to 40 letters" in err


# ---- a model as judge


def judging(asked):
    """Prefers the answers of the tuned model, and where there is none the first."""
    first = asked.split("[Answer 1 begins]\n")[1].split("\n[Answer 1 ends]")[0]
    second = asked.split("[Answer 2 begins]\n")[1].split("\n[Answer 2 ends]")[0]
    is_tuned = [text.startswith("It helps people") for text in (first, second)]
    return "I think so.\n**1**" if is_tuned[0] or not any(is_tuned) else "2"


def test_a_judge_is_asked_in_both_orders_and_kept_apart(run, tmp_path, capsys) -> None:
    graft(capsys, run, "--rows", 12, "--export", tmp_path / "sheet.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "sheet.csv").read_text(encoding="utf-8-sig"), newline="")))
    tuned = ["2" if row["answer 1"].startswith("Package") else "1" for row in rows]
    graft(capsys, run, "--import", filled(tmp_path / "sheet.csv", tuned))
    with answering(judging) as server:
        code, out, err = graft(capsys, run, "--rows", 12, "--judge", server.url, "--json")
        assert code == 0, err
        asked = sum(method == "POST" for method, *_ in server.seen)
        assert graft(capsys, run, "--rows", 12, "--judge", server.url)[0] == 0
        assert sum(method == "POST" for method, *_ in server.seen) == asked == 24  # answers are kept
    section = json.loads(out)["judgments"]
    judge = section["judge"]
    assert section["judgments"] == 12 and section["raters"] == 1  # people alone
    assert (judge["rows"], judge["consistent"], judge["compared"], judge["agreed"]) == (12, 10, 12, 10)
    (pair,) = judge["pairs"]
    assert (pair["losses"], pair["ties"]) == (10, 2)  # two rows by position: ties
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "A model as judge" in page and "not counted among the judgments of people" in page


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        ("1", "left"),
        ("Because it is brief.\n\n**Answer: 2**", "right"),
        ('"tie"', "tie"),
        ("Bad.", "both_bad"),
        ("1 or 2", None),
        ("", None),
        ("answer 12", None),
    ],
)
def test_the_last_line_of_a_judge_counts(answer, choice) -> None:
    assert read_verdict(answer) == choice


def test_the_answers_of_a_server_can_be_judged(run, capsys) -> None:
    with answering(lambda asked: f"an answer to {len(asked)} letters") as server:
        words = (run, "--compare", f"tuned,{server.url}", "--rows", 3, "--export", run.parent / "x.csv")
        code, _, err = graft(capsys, *words)
        assert code == 0, err
        asked = len(server.bodies())
        assert graft(capsys, *words)[0] == 0 and len(server.bodies()) == asked == 3  # only what is needed, and once
    record = json.loads((run / "rating.json").read_text(encoding="utf-8"))
    assert len(record["models"]) == 2 and record["models"][0] == "tuned"
    assert all(item["answers"][1].startswith("an answer to") for item in record["items"])


def test_rows_that_were_evaluated_elsewhere_cannot_be_asked_of_a_server(run, capsys) -> None:
    (run / "data" / "eval.jsonl").write_text(
        '{"prompt": "a", "completion": "b", "origin": "z.jsonl:1"}\n', encoding="utf-8"
    )
    code, _, err = graft(capsys, run, "--compare", "tuned,http://127.0.0.1:9", "--export", run.parent / "x.csv")
    assert code == 2 and "predictions.jsonl is of other rows" in err, err


@pytest.mark.slow
def test_a_bundle_can_be_judged(tiny_llama, tmp_path, capsys) -> None:
    run = tune(tiny_llama, question_file(tmp_path), tmp_path / "run", max_steps=6, evaluate=True)
    assert main(["auto-opt", str(run), "--format", "hf", "-o", str(tmp_path / "packed")]) == 0
    words = ("--rows", 3, "--max_new_tokens", 6, "--export", tmp_path / "x.csv")
    code, _, err = graft(capsys, run, "--compare", f"reference,{tmp_path / 'packed'}", *words)
    assert code == 0, err
    record = json.loads((run / "rating.json").read_text(encoding="utf-8"))
    assert record["models"] == ["reference", "packed"] and len(record["items"]) == 3
    answers = {line["origin"]: line["answers"]["tuned"] for line in lines_of(run, "predictions.jsonl")}
    for item in record["items"]:  # the bundle answers as the run does, as far as it may
        assert item["answers"][1] and answers[item["row"]].startswith(item["answers"][1].strip()[:4])


def test_answers_that_are_not_recorded_are_generated(tiny_llama, tmp_path, capsys) -> None:
    run = tune(tiny_llama, question_file(tmp_path), tmp_path / "run", max_steps=6)
    sheet = ("--rows", 3, "--max_new_tokens", 6, "--export", tmp_path / "x.csv")
    code, _, err = graft(capsys, run, *sheet)
    assert code == 0, err
    first = json.loads((run / "rating.json").read_text(encoding="utf-8"))
    assert first["models"] == ["base", "tuned"] and first["items"]
    code, _, err = graft(capsys, run, "--compare", f"reference,{tiny_llama}", *sheet)
    assert code == 0, err
    second = json.loads((run / "rating.json").read_text(encoding="utf-8"))
    assert {item["item"] for item in first["items"]} <= {item["item"] for item in second["items"]}
    assert second["id"] == first["id"] and len(second["models"]) == 4
