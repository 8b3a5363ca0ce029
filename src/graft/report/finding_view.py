"""Findings as pages and the terminal show them: of a check that ran now, or as a manifest keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from graft.data.checks import Finding
from graft.data.example import Origin, shown_places
from graft.runs.manifest import FindingRecord

TONES = {"error": "bad", "warning": "waiting"}


@dataclass(frozen=True)
class FindingView:
    """A finding as texts; ``places`` are the first ones, and how many there are besides."""

    severity: str
    kind: str
    side: str
    title: str
    places: str
    why: str
    remedies: tuple[str, ...]
    fix: str
    evidence: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The kind, and the side where it is not that of training."""
        return self.kind if self.side in ("", "train") else f"{self.kind}, {self.side}"

    @property
    def tone(self) -> str:
        """The style of its severity."""
        return TONES.get(self.severity, "note")

    @property
    def sentence(self) -> str:
        """The title with the places."""
        return f"{self.title}: {self.places}" if self.places else self.title


def found_view(finding: Finding) -> FindingView:
    """Return what is shown of a finding."""
    return FindingView(
        finding.severity,
        finding.kind,
        finding.side,
        _capital(finding.title),
        str(finding.rows) if len(finding.rows) else "",
        finding.why,
        tuple(filter(None, (finding.remedy, *finding.further))),
        finding.fix,
        finding.evidence,
    )


def recorded_view(finding: FindingRecord) -> FindingView:
    """Return what is shown of a finding in a manifest."""
    places = shown_places([_origin(place) for place in finding.places], finding.count) if finding.places else ""
    remedies = (finding.remedy,) if finding.remedy else ()
    return FindingView(
        finding.severity,
        finding.kind,
        finding.side,
        _capital(finding.title),
        places,
        finding.why,
        remedies,
        finding.fix,
    )


def _origin(place: str) -> Origin:
    file, _, line = place.rpartition(":")
    return Origin(file or place, int(line) if line.isdigit() else 0)


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
