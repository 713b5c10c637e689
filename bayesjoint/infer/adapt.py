"""Coordinates in which chains sample, and how they are learnt anew where the fit's covariance proves to be wrong.

Chains sample u, which is of unit covariance where the posterior is the fit's Gaussian. Their draws tell when it is not (an
index at the end of its prior, a blend, a galaxy that is hardly there): then the pooled covariance of all chains makes new
coordinates, in which the chains go on from where they stand.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Adapt = Literal["auto", "always", "never"]

UNEVEN = 4.0  # largest over smallest variance along any direction, from which on new coordinates pay for their warm-up
SLOW = 3.0  # draws worth one independent draw, from which on they do
_BATCH = 25


class Whitening(NamedTuple):
    """x = centre + root @ u."""

    centre: np.ndarray
    root: np.ndarray


def is_needed(u: np.ndarray) -> bool:
    """Whether draws u (chains, draws, D) mix slowly, or vary much more in one direction than in another, beyond chance.

    The eigenvalues of the covariance of N independent standard normal draws lie within (1 ± sqrt(D / N))^2 (Marchenko &
    Pastur 1967); the variance of B means of batches scatters by sqrt(2 / (B - 1)).
    """
    batches = u.shape[0] * (u.shape[1] // _BATCH)
    if batches < 2:
        return False  # too few to tell
    covariance, count = _pooled(u)
    by_chance = min(np.sqrt(len(covariance) / count), 0.9)
    smallest, largest = np.linalg.eigvalsh(covariance)[[0, -1]]
    uneven = largest * (1 - by_chance) ** 2 > UNEVEN * smallest * (1 + by_chance) ** 2
    # the variance of a few means of batches is itself uncertain
    slow = SLOW * (1 + 3 * np.sqrt(2 / (batches - 1)))
    return bool(uneven or u[..., 0].size > slow * count)


def learnt(whitening: Whitening, u: np.ndarray) -> Whitening:
    """Coordinates in which draws u (chains, draws, D) of the old ones have unit covariance, as far as they can tell it."""
    root = np.linalg.cholesky(_shrunk(*_pooled(u)))
    centre = u.reshape(-1, u.shape[-1]).mean(axis=0)
    return Whitening(whitening.centre + whitening.root @ centre, whitening.root @ root)


def _pooled(u: np.ndarray) -> tuple[np.ndarray, float]:
    """Covariance (D, D) of all draws, and how many independent ones they are worth along the slowest axis.

    From the variance of the means of batches, which independent draws would have by chance.
    """
    flat = u.reshape(-1, u.shape[-1])
    covariance = np.atleast_2d(np.cov(flat.T))
    batches = u[:, u.shape[1] % _BATCH :].reshape(-1, _BATCH, u.shape[-1]).mean(axis=1)
    if len(batches) < 2:
        return covariance, 1.0
    slowness = _BATCH * np.var(batches, axis=0, ddof=1) / np.diag(covariance)
    return covariance, len(flat) / max(slowness.max(), 1.0)


def _shrunk(covariance: np.ndarray, count: float) -> np.ndarray:
    """A covariance of `count` draws, its axes drawn towards each other's length as far as chance alone sets them apart.

    Logarithms of the eigenvalues of N draws in D dimensions scatter by chance with a variance of some c / (1 - c) for
    c = D / N. In logarithms, because a long axis must not lengthen the short ones; the trace is kept.
    """
    values, vectors = np.linalg.eigh(covariance)
    logs = np.log(np.maximum(values, 1e-300))
    share = len(values) / count
    by_chance = share / (1 - share) if share < 1 else np.inf
    pull = min(by_chance / max(np.var(logs), 1e-300), 1.0)
    drawn = np.exp(pull * np.mean(logs) + (1 - pull) * logs)
    return (vectors * (drawn * np.sum(values) / np.sum(drawn))) @ vectors.T
