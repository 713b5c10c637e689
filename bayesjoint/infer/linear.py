"""Symmetric matrices that may be all but singular: solved, inverted, and made positive."""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse
from scipy.sparse import csgraph

_SAFE = 1e-5  # least ratio of a root's diagonal, of a matrix of unit diagonal, that Cholesky's way is trusted with
_ROUNDS = 5
_LEAST = 1e-12  # eigenvalue of a matrix of unit diagonal


def solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solve a symmetric system scaled to unit diagonal; through its eigenvectors where it is nearly singular."""
    scale = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = scale[:, None] * matrix * scale
    try:
        root = linalg.cholesky(scaled, lower=True, check_finite=False)
        if np.diag(root).min() > _SAFE:
            return scale * linalg.cho_solve((root, True), scale * vector, check_finite=False)
    except np.linalg.LinAlgError:
        pass
    eigenvalues, vectors = np.linalg.eigh(scaled)
    return scale * (vectors @ ((vectors.T @ (scale * vector)) / np.maximum(eigenvalues, _LEAST)))


def solve_within(matrix: np.ndarray, vector: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Solve a symmetric system, no element larger than its reach (P,).

    Elements that would go further stop there, and the others are solved for given these: in a field of many sources one that
    is badly known then does not hold up the others, as it would were the whole step shortened.

    Examples
    --------
    >>> print(solve_within(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([6.0, 0.0]), np.array([1.0, 9.0])))
    [ 1.  -0.5]
    """
    step, held = solve(matrix, vector), np.zeros(len(vector), bool)
    for _ in range(_ROUNDS):
        over = ~held & (np.abs(step) > reach * (1 + 1e-12))
        if not over.any():
            return step
        held |= over
        step[over] = np.clip(step, -reach, reach)[over]
        if held.all():
            return step
        rest = vector[~held] - matrix[np.ix_(~held, held)] @ step[held]
        step[~held] = solve(matrix[np.ix_(~held, ~held)], rest)
    return step * min(1.0, 1 / np.max(np.abs(step) / reach))


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a symmetric matrix, through eigenvectors: small eigenvalues are held to a least one."""
    scale = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    eigenvalues, vectors = np.linalg.eigh(scale[:, None] * matrix * scale)
    found = (vectors / np.maximum(eigenvalues, _LEAST)) @ vectors.T
    return scale[:, None] * (0.5 * (found + found.T)) * scale


def positive_part(matrix: np.ndarray) -> np.ndarray:
    """The nearest positive semi-definite matrix; block by block, where a symmetric matrix falls into blocks.

    Examples
    --------
    >>> print(positive_part(np.array([[1.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 3.0]])))
    [[1. 0. 0.]
     [0. 0. 0.]
     [0. 0. 3.]]
    """
    matrix = 0.5 * (matrix + matrix.T)
    count, label = csgraph.connected_components(sparse.csr_array(matrix != 0), directed=False)
    found = np.diag(np.maximum(np.diag(matrix), 0.0))
    size = np.bincount(label, minlength=count)
    for block in np.flatnonzero(size > 1):
        own = np.ix_(*2 * (np.flatnonzero(label == block),))
        eigenvalues, vectors = np.linalg.eigh(matrix[own])
        found[own] = (vectors * np.maximum(eigenvalues, 0)) @ vectors.T
    return found
