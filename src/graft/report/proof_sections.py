"""Sections of the report for proofs beside the metrics: benchmarks, what was forgotten, people's judgments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.report.benchmark_section import benchmark_content
from graft.report.confidence_section import confidence_content
from graft.report.forgetting_section import forgetting_content
from graft.report.judgments_section import judgments_content
from graft.report.slices_section import slices_content
from graft.runs.view import RunView
from graft.shared_text import shared


@dataclass(frozen=True)
class ProofSection:
    """A section of the report.

    Attributes:
        name: Its anchor on the page, and the name that its template knows its content by.
        title: Its heading.
        template: The file in ``report/templates`` that is included below the heading.
        content: What the template shows; None where the run has nothing of it.
    """

    name: str
    title: str
    template: str
    content: Callable[[RunView], Mapping[str, Any] | None]


SECTIONS: Sequence[ProofSection] = (
    ProofSection("slices", "Slices", "section_slices.html.j2", slices_content),
    ProofSection("confidence", "How sure it is", "section_confidence.html.j2", confidence_content),
    ProofSection("benchmarks", "Benchmarks", "section_benchmarks.html.j2", benchmark_content),
    ProofSection("judgments", "People’s judgment", "section_judgments.html.j2", judgments_content),
    ProofSection("forgetting", "General abilities", "section_forgetting.html.j2", forgetting_content),
)


def proofs(view: RunView) -> list[dict[str, Any]]:
    """Return the sections that this run has something for."""
    found = ((section, section.content(view)) for section in SECTIONS)
    return [
        {"name": section.name, "title": section.title, "template": section.template, "content": shared(dict(content))}
        for section, content in found
        if content is not None
    ]
