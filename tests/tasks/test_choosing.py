"""Which task a model and rows are for, and what is said when they don't fit."""

from __future__ import annotations

import pytest

from graft.config import ModelSettings
from graft.data.example import Origin
from graft.data.readers import Row
from graft.errors import InputError
from graft.models.base import resolve
from graft.planning.plan import plan_run
from graft.planning.preview import preview
from graft.planning.settings import finetune_settings
from graft.tasks.select import choose_task
from task_rows import ROWS


def rows_of(kind):
    return [Row(row, Origin("rows.jsonl", line)) for line, row in enumerate(ROWS[kind](), 1)]


@pytest.mark.parametrize(
    ("model", "kind", "task"),
    [
        ("bert", "classes", "text-classification"),
        ("bert", "several", "text-classification"),
        ("bert", "tagged", "token-classification"),
        ("bert", "spans", "token-classification"),
        ("bert", "pairs", "feature-extraction"),
        ("bert", "summaries", "text-classification"),
        ("t5", "summaries", "summarization"),
        ("t5", "classes", "summarization"),
        ("llama", "classes", "text-generation"),
        ("llama", "tagged", "text-generation"),
        ("llama", "summaries", "text-generation"),
        ("llama", "several", "text-classification"),
        ("llama", "pairs", "feature-extraction"),
        ("llama", "spans", "token-classification"),
    ],
)
def test_model_and_rows_tell_the_task(models, model, kind, task):
    base = resolve(ModelSettings(model_name_or_path=str(models[model])))
    found, said = choose_task(None, base, rows_of(kind))
    assert found.name == task
    assert bool(said) == (task != "text-generation")


@pytest.mark.parametrize(
    ("model", "kind", "task", "said"),
    [
        ("bert", "classes", "text-generation", "requires a causal language model.*is an encoder.*text-classification"),
        ("bert", "classes", "summarization", "requires an encoder–decoder"),
        ("llama", "summaries", "summarization", "requires an encoder–decoder"),
        ("t5", "classes", "text-classification", "requires an encoder or a causal.*summarization"),
        ("bert", "summaries", None, "requires classes, but 3. rows have 3. different"),
        ("bert", "classes", "token-classification", "needs tokens with tags"),
        ("bert", "classes", "feature-extraction", "needs two texts"),
        ("llama", "classes", "text-clasification", "did you mean text-classification"),
    ],
)
def test_a_misfit_is_said_before_anything_is_written(given, tmp_path, model, kind, task, said):
    settings = finetune_settings(given(model, kind, task=task))
    with pytest.raises(InputError, match=f"(?s){said}"):
        plan_run(settings)
    assert not (tmp_path / "run").exists()


def test_other_names_of_tasks_are_known(given):
    plan = plan_run(finetune_settings(given("llama", "tagged", task="ner")))
    assert plan.task.name == "token-classification"


@pytest.mark.parametrize(
    ("model", "kind", "prompt", "trained"),
    [
        ("bert", "classes", "[CLS]", "yes"),
        ("bert", "several", "[CLS]", "rain"),
        ("bert", "tagged", "[CLS]", "/street"),
        ("bert", "pairs", "[SEP] | [CLS]", "different: "),
        ("t5", "summaries", "summarize:", "day"),
    ],
)
def test_the_preview_shows_what_is_read_and_what_is_trained(given, model, kind, prompt, trained):
    document = preview(plan_run(finetune_settings(given(model, kind))))
    shown = document["first_rows"]
    assert all(prompt in row["prompt"] for row in shown)
    assert any(trained in row["trained"] for row in shown)


def test_a_row_longer_than_the_encoder_reads_is_cut_and_said(given, write):
    long = [{"text": f"good {'cake ' * (100 if n == 3 else 1)}{n}", "label": "ab"[n % 2]} for n in range(40)]
    settings = given("bert", "classes") | {"data_files": write("long", long)}
    plan = plan_run(finetune_settings(settings))
    assert max(len(row.input_ids) for row in [*plan.rows, *plan.held_out]) == 64
    assert "1 of 40 rows truncated to the default limit of 64 tokens" in plan.data.summary["warnings"][0]
    with pytest.raises(InputError, match="accepts at most 64 tokens, not 65"):
        plan_run(finetune_settings(settings | {"max_length": 65}))


def test_held_out_classes_that_training_lacks_are_named(given, write):
    other = write("other", [{"text": "cake", "label": "perhaps"}])
    settings = finetune_settings(given("bert", "classes", eval_data_files=other))
    with pytest.raises(InputError, match="no class 'perhaps'"):
        plan_run(settings)


@pytest.mark.parametrize(
    ("model", "kind", "metrics", "said"),
    [
        ("bert", "tagged", "perplexity", "perplexity cannot be measured for token-classification.*entity_f1"),
        ("bert", "several", "perplexity", "perplexity cannot be measured for text-classification.*label_f1"),
        ("bert", "pairs", "accuracy", "accuracy requires classes as answers"),
        ("llama", "classes", "acuracy", "did you mean accuracy"),
    ],
)
def test_a_metric_that_does_not_fit_is_said_before_training(given, model, kind, metrics, said):
    with pytest.raises(InputError, match=f"(?s){said}"):
        plan_run(finetune_settings(given(model, kind, metrics=metrics)))
