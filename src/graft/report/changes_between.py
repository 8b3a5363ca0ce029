"""Which two models a page compares, and whether what lies between them is proven."""

from __future__ import annotations

from dataclasses import dataclass

from graft.runs.metric_info import MetricInfo
from graft.runs.view import Difference, RunView


@dataclass(frozen=True)
class Compared:
    """The predictors that a page compares; ``before`` is None where one was judged alone."""

    before: str | None
    after: str

    def difference(self, view: RunView, metric: str) -> Difference | None:
        """Return the paired difference between the two in a metric."""
        return view.difference(metric, self.before, self.after) if self.before else None


def compared(view: RunView) -> Compared | None:
    """Return the tuned model, or else the last one, and the first one that it is compared with; None without scores."""
    names = view.predictors
    if not names:
        return None
    after = "tuned" if "tuned" in names else names[-1]
    return Compared(names[0] if names[0] != after else None, after)


def judged(metric: MetricInfo, difference: Difference | None) -> str:
    """Return ``better`` or ``worse`` where the interval of the difference leaves out zero, else ``open``."""
    if difference is None or difference.low is None or difference.high is None:
        return "open"
    if difference.low <= 0 <= difference.high:
        return "open"
    rises = difference.low > 0
    return "better" if rises != metric.lower_is_better else "worse"
