"""What ArviZ computes of draws: mixing, the tails of importance ratios, sensitivity, leave-one-out predictions.

This is the only module that imports ArviZ.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

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
    """Shape of the tail of importance ratios: under 0.7 they can be trusted; infinite where too few tell.

    (Vehtari et al. 2024, JMLR 25, 72.)
    """
    if np.size(log_ratios) < 2:
        return np.inf
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(arviz().psislw(np.array(log_ratios))[1])


def power_sensitivity(
    draws: Mapping[str, np.ndarray], log_prior: np.ndarray, log_likelihood: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """How much each scalar's posterior moves when the prior, or the likelihood, is raised to a power near one.

    The rate of the cumulative Jensen-Shannon distance per doubling of the power; all arrays are (chains, draws). Over 0.05
    counts as sensitive. (Kallioinen et al. 2024, Statistics and Computing 34, 57.)
    """
    az = arviz()
    keys = {f"scalar_{i}": name for i, name in enumerate(draws)}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        data = az.from_dict(
            posterior={key: draws[name] for key, name in keys.items()},
            log_likelihood={"likelihood": log_likelihood},
        )
        data.add_groups({"log_prior": {"prior": log_prior}}, dims={})
        both = [az.psens(data, component=component, delta=0.01) for component in ("prior", "likelihood")]
    prior, likelihood = ({name: float(found[key]) for key, name in keys.items()} for found in both)
    return prior, likelihood


class LeaveOneOut(NamedTuple):
    """Log predictive density of each block given all others (blocks,), what it owes to its own data, and the k-hats."""

    elpd: np.ndarray
    effective: np.ndarray
    k_hat: np.ndarray


def leave_one_out(log_likelihood: np.ndarray) -> LeaveOneOut:
    """PSIS-LOO from the log likelihood (draws, blocks) of independent draws.

    (Vehtari, Gelman & Gabry 2017, Statistics and Computing 27, 1413.)
    """
    az = arviz()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        data = az.from_dict(log_likelihood={"block": log_likelihood[None]})
        found = az.loo(data, pointwise=True, reff=1.0)
    elpd = found.loo_i.values
    within = np.logaddexp.reduce(log_likelihood, axis=0) - np.log(len(log_likelihood))
    return LeaveOneOut(elpd, within - elpd, found.pareto_k.values)
