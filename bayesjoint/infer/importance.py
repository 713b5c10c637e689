"""Importance ratios: smoothed by the shape of their tail, judged by it, and used to draw anew.

Pareto smoothed importance sampling of Vehtari, Simpson, Gelman, Yao & Gabry (2024, JMLR 25, 72).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bayesjoint.infer.mixing import ESS_FAILURE, ESS_WANTED
from bayesjoint.infer.verdict import Finding, Severity

TRUSTED_K = 0.7
_LEAST_TAIL = 5
_NO_TAIL = -1.0  # the shape of a distribution that ends at once


class Smoothed(NamedTuple):
    """Weights (N,) that sum to one, and the shape k of their tail."""

    weights: np.ndarray
    k_hat: float

    @property
    def effective(self) -> float:
        """How many draws of equal weight these are worth."""
        return float(1 / np.sum(self.weights**2))

    @property
    def holds(self) -> bool:
        """Whether means under these weights can be trusted."""
        return self.k_hat < trusted_k(len(self.weights))


def trusted_k(count: int) -> float:
    """Largest k-hat with which so many draws are enough; 0.7 from some 2000 on."""
    return min(1 - 1 / np.log10(max(count, 11)), TRUSTED_K)


def effective_number(log_ratios: np.ndarray) -> float:
    """How many draws of equal weight those of log ratios (N,) are worth, as they are."""
    ratios = np.exp(log_ratios - np.max(log_ratios))
    return float(ratios.sum() ** 2 / np.sum(ratios**2))


def smoothed(log_ratios: np.ndarray) -> Smoothed:
    """Weights from log ratios (N,), the largest of them replaced by quantiles of the Pareto distribution they follow."""
    log_ratios = np.where(np.isfinite(log_ratios), log_ratios, -np.inf)
    count = len(log_ratios)
    if not np.isfinite(log_ratios.max()):
        return Smoothed(np.full(count, 1 / count), np.inf)
    ratios = np.exp(log_ratios - log_ratios.max())
    tail = int(np.ceil(min(0.2 * count, 3 * np.sqrt(count))))
    order = np.argsort(ratios)
    cut, largest = ratios[order[-tail - 1]], order[-tail:]
    over = ratios[largest] - cut
    if tail >= _LEAST_TAIL and ratios.min() >= 1 - 1e-9:
        return Smoothed(ratios / ratios.sum(), _NO_TAIL)
    if tail < _LEAST_TAIL or over[0] <= 0 or over[-1] <= over[0] * (1 + 1e-9):
        # too few to tell, or so far apart that hardly any is left
        return Smoothed(ratios / ratios.sum(), np.inf)
    k, scale = _fit_pareto(over)
    at = (np.arange(tail) + 0.5) / tail
    quantiles = scale * (np.expm1(-k * np.log1p(-at)) / k if abs(k) > 1e-9 else -np.log1p(-at))
    ratios[largest] = np.minimum(cut + quantiles, 1.0)
    return Smoothed(ratios / ratios.sum(), k)


def _fit_pareto(values: np.ndarray) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution of sorted positive values.

    By the averaged likelihood of Zhang & Stephens (2009, Technometrics 51, 316), the shape drawn a little towards 1/2 as
    Vehtari et al. have it.
    """
    count = len(values)
    grid = 30 + int(np.sqrt(count))
    steps = 1 - np.sqrt(grid / (np.arange(grid) + 0.5))
    theta = 1 / values[-1] + steps / (3 * values[int(count / 4 + 0.5) - 1])
    shape = np.mean(np.log1p(-theta[:, None] * values), axis=1)
    likelihood = count * (np.log(-theta / shape) - shape - 1)
    weight = np.exp(likelihood - likelihood.max())
    theta = np.sum(theta * weight) / weight.sum()
    shape = np.mean(np.log1p(-theta * values))
    return float((count * shape + 5) / (count + 10)), float(-shape / theta)


def resampled(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many rows as there are weights, each as often as its weight says (systematic resampling), in chance order."""
    count = len(weights)
    places = (np.arange(count) + rng.uniform()) / count
    rows = np.searchsorted(np.cumsum(weights) / np.sum(weights), places)
    return rng.permutation(np.minimum(rows, count - 1))


def judge_importance(
    k_hat: float, effective: float, count: int, resampled: bool, method: str
) -> list[Finding]:
    """Judge draws of a Gaussian by their importance ratios, and say what does not apply to them."""
    name = {"laplace": "the fit's Gaussian", "svi": "the variational Gaussian"}[method]
    alone = Finding(
        "note", "R-hat does not apply: there are no chains, the draws are independent ones of one Gaussian"
    )
    limit = trusted_k(count)
    if not resampled:
        what = (
            f"{name} is not the posterior: PSIS k-hat of its importance ratios is {k_hat:.2f} (wanted under {limit:.2f}), "
            "so its draws are left as they are, and error bars may be wrong"
        )
        return [Finding("fail", what, k_hat, 'sample with method="nuts"'), alone]
    what = (
        f"{name} stands for the posterior (PSIS k-hat {k_hat:.2f}, wanted under {limit:.2f}); its draws, resampled by exact "
        f"importance ratios, are worth {effective:.0f} independent ones"
    )
    severity: Severity = (
        "ok" if effective >= ESS_WANTED else "warning" if effective >= ESS_FAILURE else "fail"
    )
    return [
        Finding(severity, what, k_hat, "" if severity == "ok" else 'ask for more draws, or method="nuts"'),
        alone,
    ]
