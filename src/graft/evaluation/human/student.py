"""Student's t distribution."""

from __future__ import annotations

import numpy as np

from graft.evaluation.metrics.base import Array

_TABLE = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""The 97.5 % quantile for 1 … 30 degrees of freedom, as in every table of it."""
_NORMAL = 1.959964


def quantile_975(freedom: Array) -> Array:
    """Return the 97.5 % quantile for degrees of freedom (any shape), which need not be whole.

    Between the entries of the table it is linear in 1 / freedom; above 30 it goes to that of the normal distribution.
    """
    places = np.array([1 / (index + 1) for index in range(len(_TABLE))] + [0.0])[::-1]
    found: Array = np.interp(1 / np.maximum(freedom, 1.0), places, np.array([*_TABLE, _NORMAL])[::-1])
    return found
