"""A task carries all that is said of it, and is chosen by its own attributes."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from graft.config import ModelSettings
from graft.data.example import Origin
from graft.data.readers import Row
from graft.export.target import TARGETS
from graft.models.base import resolve
from graft.tasks import TASKS
from graft.tasks.label_space import LabelSpace
from graft.tasks.select import choose_task, default_task, get_task, task_for_data
from graft.tasks.snippet import Usage
from graft.tasks.text_classification import TextClassification


class Reviews(TextClassification):
    """A third party's task: clearly meant for rows with stars, and therefore tried before the others."""

    name = "reviews"
    aliases = ("stars", "sequence-classification")
    priority = 5

    def fits(self, columns, row, kind=None):
        return "stars" in columns


@pytest.fixture
def installed(monkeypatch):
    """The task among those that an entry point brings."""
    task = Reviews()
    known = list(TASKS.items())
    monkeypatch.setattr(TASKS, "items", lambda: iter([*known, ("reviews", task)]))
    return task


@pytest.mark.parametrize("name", TASKS.builtin)
def test_every_task_says_what_it_is(name):
    task = TASKS.get(name)
    assert task.name == name and task.title and task.help.endswith(".")
    assert set(task.export_targets) <= set(TARGETS.names())


def test_names_aliases_and_titles_are_told_apart():
    tasks = [task for _, task in TASKS.items()]
    names = [name for task in tasks for name in (task.name, *task.aliases)]
    assert len(names) == len(set(names))
    assert all(get_task(name) in tasks for name in names)


@pytest.mark.parametrize("kind", ["causal", "encoder", "encoder-decoder"])
def test_each_kind_of_model_has_exactly_one_default_task(kind):
    able = [task for _, task in TASKS.items() if kind in task.default_for]
    assert [default_task(kind)] == able
    assert not default_task(kind, needs_head=False).head_suffix


def test_a_task_of_a_third_party_is_found_by_its_own_columns_and_alias(installed, models):
    rows = [Row({"text": "good", "stars": 5, "label": "yes"}, Origin("rows.jsonl", 1))]
    assert task_for_data(None, rows) is installed
    base = resolve(ModelSettings(model_name_or_path=str(models["bert"])))
    task, inferred = choose_task(None, base, rows)
    assert task is installed and inferred[0].value == "reviews" and "stars" in inferred[0].why
    assert get_task("stars") is installed
    assert get_task("sequence-classification").name == "text-classification"  # no extension takes a built-in alias


@pytest.mark.parametrize("adapter", [None, "peft", "graft"])
@pytest.mark.parametrize("name", TASKS.builtin)
def test_every_snippet_is_python_that_names_the_run_and_quotes_the_text(name, adapter):
    hostile = '"""\n + "'
    spaces = LabelSpace(("a", "b"), "multi_label_classification")
    usage = Usage("runs/o'ne", [{"role": "user", "content": hostile}], adapter, spaces)
    tree = ast.parse(TASKS.get(name).snippet(usage))
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {"runs/o'ne", hostile} <= constants
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert ("PeftModel" in named) == (adapter == "peft") and ("METHODS" in named) == (adapter == "graft")


def test_the_terminal_report_of_a_run_needs_no_torch():
    code = "import sys, graft.report.terminal, graft.report.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
