"""Statistics of people's judgments: which of two answers is better, by how much, and how sure that is."""

from graft.evaluation.human.agreement import krippendorff_alpha
from graft.evaluation.human.bradley_terry import Strength, bradley_terry
from graft.evaluation.human.power import decided_needed, detectable_share, power
from graft.evaluation.human.preference import Preference, PreferenceBootstrap, preference, sign_test
from graft.evaluation.human.votes import Vote

__all__ = [
    "Preference",
    "PreferenceBootstrap",
    "Strength",
    "Vote",
    "bradley_terry",
    "decided_needed",
    "detectable_share",
    "krippendorff_alpha",
    "power",
    "preference",
    "sign_test",
]
