"""What ArviZ computes of draws: mixing, and the tails of importance ratios.

This is the only module that imports ArviZ.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np


@cache
def arviz() -> Any:
    """ArviZ, imported when first needed (it takes seconds) and without its notice of coming changes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import arviz as package

    return package


def diagnose(draws: np.ndarray) -> tuple[float, float, float]:
    """Rank-normalised split R-hat, bulk and tail effective sample size of draws (chains, draws).

    A single chain is split in two, so that R-hat compares its halves. NaN for fewer than 8 draws, or for
    draws that do not vary. (Vehtari et al. 2021, Bayesian Analysis 16, 667.)
    """
    draws = np.asarray(draws, dtype=float)
    if draws.shape[1] < 8 or np.ptp(draws) == 0 or not np.isfinite(draws).all():
        return np.nan, np.nan, np.nan
    if draws.shape[0] == 1:
        half = draws.shape[1] // 2
        draws = draws[:, : 2 * half].reshape(2, half)
    az = arviz()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        numbers = az.rhat(draws), az.ess(draws, method="bulk"), az.ess(draws, method="tail")
    r_hat, bulk, tail = (float(number) for number in numbers)
    return r_hat, bulk, tail


def pareto_k(log_ratios: np.ndarray) -> float:
    """Shape of the tail of importance ratios: under 0.7 they can be trusted.

    (Vehtari et al. 2024, JMLR 25, 72.)
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(arviz().psislw(np.array(log_ratios))[1])
