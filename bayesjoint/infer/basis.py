"""Of one image's departures from a fit: a small basis, and how its coefficients follow from features of the light.

Arrays on the host; `compress.py` makes a likelihood of them.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

RANK = 64
_RIDGE = 1e-8
_BLOCK = 1 << 15


def principal_components(departures: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (N, RANK) of departures (N, pixels) along their principal components, and those of a residual (RANK,).

    Departures are in units of the noise; only their products among each other are needed.
    """
    squares, along = np.zeros((len(departures),) * 2), np.zeros(len(departures))
    for pixels in np.split(np.arange(departures.shape[1]), range(_BLOCK, departures.shape[1], _BLOCK)):
        block = departures[:, pixels[0] : pixels[-1] + 1]
        squares += block @ block.T
        along += block @ residual[pixels[0] : pixels[-1] + 1]
    rank = min(RANK, len(departures))
    values, vectors = np.linalg.eigh(squares)
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    size = np.sqrt(np.maximum(values, 0.0))
    met = size > 1e-6 * max(size[0], 1e-300)
    slope = np.where(met, vectors.T @ along / np.where(met, size, 1.0), 0.0)
    room = RANK - rank
    return np.pad(vectors * np.where(met, size, 0.0), ((0, 0), (0, room))), np.pad(slope, (0, room))


def linear_map(features: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The matrix (F, RANK) that takes departures of features (N, F) to coefficients (N, RANK), by least squares."""
    unit = np.sqrt(np.mean(features**2, axis=0))
    unit = np.where(unit > 0, unit, 1.0)
    left, singular, right = np.linalg.svd(features / unit, full_matrices=False)
    damped = singular / (singular**2 + (_RIDGE * singular[0]) ** 2)
    return (right.T * damped) @ (left.T @ coefficients) / unit[:, None]


def log_likelihood_errors(
    features: np.ndarray, to_coefficients: np.ndarray, coefficients: np.ndarray, slope: np.ndarray
) -> np.ndarray:
    """By how much the map errs in the log likelihood (N,) of the points that it was made from."""
    made = features @ to_coefficients
    return np.sum((made - coefficients) * (slope - 0.5 * (made + coefficients)), axis=1)


def telling_waves(features: np.ndarray, terms: int, waves: int, number: int) -> np.ndarray:
    """Which (number,) of the `waves` tell most of the departures of features (N, F), ascending.

    By pivoted QR: each is the one of which those before tell the least.
    """
    block = features[:, : 2 * terms * waves].reshape(-1, waves)
    order = linalg.qr(block, mode="r", pivoting=True)[-1]
    return np.sort(order[:number])


def at_waves(features: np.ndarray, terms: int, waves: int, chosen: np.ndarray) -> np.ndarray:
    """Of features (N, F) at `waves` those at the chosen ones, and of the skies."""
    end = 2 * terms * waves
    block = features[:, :end].reshape(len(features), 2 * terms, waves)[:, :, chosen]
    return np.concatenate([block.reshape(len(features), -1), features[:, end:]], axis=1)
