"""Rows that each task learns from."""

from __future__ import annotations

import random
from typing import Any


def classes(count: int = 64) -> list[dict[str, Any]]:
    return [
        {"text": f"{'good cake' if i % 2 else 'bad rain'} {i}", "label": "yes" if i % 2 else "no"} for i in range(count)
    ]


def several(count: int = 64) -> list[dict[str, Any]]:
    draw = random.Random(0)
    rows = []
    for i in range(count):
        good, rain = draw.random() < 0.5, draw.random() < 0.5
        labels = ["good"] * good + ["rain"] * rain
        rows.append({"text": f"{'good' if good else 'bad'} {'rain' if rain else 'cake'} {i}", "labels": labels})
    return rows


def tagged(count: int = 48) -> list[dict[str, Any]]:
    """Plain tags; the words fall into several tokens each."""
    draw = random.Random(1)
    streets, cities = ["Oakfield", "Mainfields", "Springs"], ["Rome", "Paris"]
    return [
        {
            "tokens": [str(draw.randrange(100)), draw.choice(streets), "Street", "in", draw.choice(cities)],
            "tags": ["number", "street", "street", "O", "city"],
        }
        for _ in range(count)
    ]


def spans(count: int = 48) -> list[dict[str, Any]]:
    rows = []
    for i in range(count):
        name = f"{'Ann' if i % 2 else 'Bob'} {i}"
        start = len(f"{name} lives in ")
        city = "Rome" if i % 3 else "Paris"
        marks = [
            {"start": 0, "end": len(name), "label": "person"},
            {"start": start, "end": start + len(city), "label": "city"},
        ]
        rows.append({"text": f"{name} lives in {city}.", "spans": marks})
    return rows


def pairs(count: int = 48) -> list[dict[str, Any]]:
    return [
        {"sentence1": f"good cake {i}", "sentence2": f"{'love it' if i % 2 else 'bad rain'} {i}", "label": i % 2}
        for i in range(count)
    ]


def summaries(count: int = 40) -> list[dict[str, Any]]:
    return [{"text": f"the good day number {i} is a fine day in rome", "summary": f"day {i}"} for i in range(count)]


ROWS = {
    "classes": classes,
    "several": several,
    "tagged": tagged,
    "spans": spans,
    "pairs": pairs,
    "summaries": summaries,
}
