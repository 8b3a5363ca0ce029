"""Entity F1 against seqeval, correlations against SciPy, and likelihoods of an encoder–decoder against its own."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score

from graft.errors import InputError
from graft.evaluation.metrics import get_metric
from graft.evaluation.metrics.base import Predictions
from graft.evaluation.metrics.entities import entities

KINDS = ["PER", "LOC", "B", "O-1"]


def bio(draw, length):
    """Any tags, also such as begin with I-, as a model may give them."""
    return ["O" if draw.random() < 0.4 else f"{draw.choice('BI')}-{draw.choice(KINDS)}" for _ in range(length)]


def value(name, predictions):
    metric = get_metric(name)
    return float(metric.value(metric.statistics(predictions).sum(axis=0, keepdims=True))[0])


def near(draw, tags):
    return [tag if draw.random() < 0.7 else bio(draw, 1)[0] for tag in tags]


@pytest.mark.parametrize("seed", range(5))
def test_entity_scores_are_seqevals(seed):
    draw = random.Random(seed)
    wanted = [bio(draw, draw.randrange(1, 12)) for _ in range(30)]
    given = [near(draw, tags) for tags in wanted]
    predictions = Predictions([" ".join(tags) for tags in wanted], [" ".join(tags) for tags in given])
    assert value("entity_f1", predictions) == pytest.approx(f1_score(wanted, given))
    assert value("entity_precision", predictions) == pytest.approx(precision_score(wanted, given))
    assert value("entity_recall", predictions) == pytest.approx(recall_score(wanted, given))
    report = classification_report(wanted, given, output_dict=True, zero_division=0)
    classes = get_metric("entity_f1").by_class(predictions)
    for kind, figures in classes.items():
        assert figures["f1"] == pytest.approx(report[kind]["f1-score"])
        assert figures["support"] == report[kind]["support"]


def test_plain_tags_are_entities_as_long_as_they_run():
    assert entities("street street O street city", prefixed=False) == {
        ("street", 0, 1),
        ("street", 3, 3),
        ("city", 4, 4),
    }
    predictions = Predictions(["Bahn Bahn O", "S-Bahn O O"], ["Bahn O O", "S-Bahn O O"])
    assert value("entity_f1", predictions) == pytest.approx(2 * 1 / (2 + 2))
    assert value("tag_accuracy", predictions) == pytest.approx(5 / 6)
    assert get_metric("seqeval") is get_metric("entity_f1")


def test_labels_are_counted_one_by_one():
    predictions = Predictions(['["a", "b"]', "[]"], ['["b", "c"]', '["a"]'])
    assert value("label_f1", predictions) == pytest.approx(2 * 1 / (3 + 2))


def test_correlations_are_scipys():
    draw = np.random.default_rng(0)
    wanted = draw.integers(0, 5, 40) / 4
    given = wanted + draw.normal(0, 0.4, 40)
    predictions = Predictions([f"{x:g}" for x in wanted], [f"{y:.6f}" for y in given])
    given = np.array([float(text) for text in predictions.answers])
    assert value("pearson", predictions) == pytest.approx(pearsonr(wanted, given).statistic)
    assert value("spearman", predictions) == pytest.approx(spearmanr(wanted, given).statistic)
    assert value("pearson", Predictions(["1", "1"], ["0", "1"])) == 0
    with pytest.raises(InputError, match="correlation"):
        value("pearson", Predictions(["yes"], ["no"]))


def test_an_encoder_decoders_scores_are_its_own_loss(given):
    import torch

    from graft.planning.plan import plan_run
    from graft.planning.settings import finetune_settings
    from graft.tasks.load import load_for

    plan = plan_run(finetune_settings(given("t5", "summaries")))
    model = load_for(plan.task, plan.encoding, plan.base, 0)
    predictor = plan.task.predictor("base", model, plan.encoding)
    examples = plan.data.eval[:3]
    written = predictor.generate(examples, 8)
    asked = [[example.completion, "a good day in rome"] for example in examples]
    scored = predictor.score(examples, asked)
    for example, texts, scores in zip(examples, asked, scored, strict=True):
        for text, score in zip(texts, scores, strict=True):
            source = plan.tokenizer(f"{example.prompt[-1]['content']}")["input_ids"] + [plan.tokenizer.eos_token_id]
            target = plan.tokenizer(text)["input_ids"] + [plan.tokenizer.eos_token_id]
            with torch.no_grad():
                loss = model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss
            assert score.tokens == len(target)
            assert score.log_likelihood == pytest.approx(-float(loss) * len(target), rel=1e-4)
    assert len(written) == 3


@pytest.mark.parametrize(
    ("model", "kind", "task"),
    [
        ("bert", "classes", None),
        ("llama", "classes", "text-classification"),
        ("llama", "tagged", "token-classification"),
        ("bert", "pairs", None),
        ("t5", "summaries", None),
    ],
)
def test_a_row_is_judged_alike_alone_and_among_longer_ones(given, model, kind, task):
    """Padding is seen by nobody."""
    import torch

    from graft.planning.plan import plan_run
    from graft.planning.settings import finetune_settings
    from graft.tasks.load import load_for

    plan = plan_run(finetune_settings(given(model, kind, task=task)))
    net = load_for(plan.task, plan.encoding, plan.base, 0)
    rows = sorted(plan.rows, key=lambda row: len(row.input_ids))
    rows = [rows[0], rows[len(rows) // 2], rows[-1]]
    pad = plan.tokenizer.pad_token_id
    with torch.no_grad():
        *together, labels = plan.objective.outputs(net, plan.objective.collate(rows, pad))
        alone = [plan.objective.outputs(net, plan.objective.collate([row], pad)) for row in rows]
    for place, output in enumerate(together):
        assert torch.allclose(output, torch.cat([found[place] for found in alone]), atol=1e-5)
    assert torch.equal(labels, torch.cat([found[-1] for found in alone]))
