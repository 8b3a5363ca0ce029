"""An evaluation for people: a table's rows, one sentence, and the headline for the manifest."""

from __future__ import annotations

from typing import Any

FEW_ROWS = 30
NAMES = {
    "macro_f1": "macro-F1",
    "exact_match": "exact match",
    "token_f1": "token F1",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU",
    "json_valid": "valid JSON",
    "field_f1": "field F1",
    "label_f1": "label F1",
    "entity_f1": "entity F1",
    "entity_precision": "entity precision",
    "entity_recall": "entity recall",
    "tag_accuracy": "tag accuracy",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
}


def rows(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """(metric, a cell for each predictor with its interval, the difference with its interval and p)."""
    found = []
    for metric in metrics_of(document):
        cells = [_with_interval(metric, figures[metric]) for figures in document["predictors"].values()]
        differences = [_difference(metric, d) for d in document["differences"] if d["metric"] == metric]
        found.append((NAMES.get(metric, metric), *cells, *differences))
    return found


def metrics_of(document: dict[str, Any]) -> list[str]:
    return list(next(iter(document["predictors"].values())))


def figure(metric: str, value: float, sign: bool = False) -> str:
    """With as many digits as mean something: perplexity and BLEU two, shares three."""
    digits = 2 if metric in {"perplexity", "bleu"} else 3
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def _with_interval(metric: str, found: dict[str, float]) -> str:
    return f"{figure(metric, found['value'])} ({figure(metric, found['low'])}–{figure(metric, found['high'])})"


def _difference(metric: str, found: dict[str, Any]) -> str:
    bounds = f"{figure(metric, found['low'], True)} to {figure(metric, found['high'], True)}"
    return f"{figure(metric, found['value'], True)} ({bounds}), {p_text(found['p'])}"


def p_text(p: float) -> str:
    return "p < 0.01" if p < 0.01 else f"p = {p:.2f}"


def headline(document: dict[str, Any]) -> dict[str, Any]:
    """The first metric: its value for each predictor, n, and the difference's interval and p."""
    metric = metrics_of(document)[0]
    found: dict[str, Any] = {"metric": metric}
    for name, figures in document["predictors"].items():
        found |= {name: figures[metric]["value"], "n": figures[metric]["n"]}
    for difference in document["differences"]:
        if difference["metric"] == metric:
            found |= {name: difference[name] for name in ("low", "high", "p")}
            break
    return found


def verdict(document: dict[str, Any]) -> str:
    """One sentence: better, worse, or no difference that these rows show."""
    metric = metrics_of(document)[0]
    name = NAMES.get(metric, metric)
    predictors = document["predictors"]
    difference = next((d for d in document["differences"] if d["metric"] == metric), None)
    if difference is None:
        only, figures = next(iter(predictors.items()))
        return f"{only}: {name} {_with_interval(metric, figures[metric])}, n = {figures[metric]['n']}."
    before, after = (predictors[difference[side]][metric] for side in ("from", "to"))
    lower = metric in document.get("lower_is_better", [])
    better = (difference["value"] < 0) == lower and difference["value"] != 0
    sure = difference["low"] > 0 or difference["high"] < 0
    word = ("better" if better else "worse") if sure else "not measurably different"
    change = f"{figure(metric, before['value'])} → {figure(metric, after['value'])}"
    bounds = f"{figure(metric, difference['low'], True)} to {figure(metric, difference['high'], True)}"
    few = "" if before["n"] >= FEW_ROWS else " These are too few rows to rely on."
    return (
        f"The {difference['to']} model is {word}: {name} {change} "
        f"(95 % interval of the difference {bounds}, {p_text(difference['p'])}), n = {before['n']}.{few}"
    )
