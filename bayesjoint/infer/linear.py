"""Symmetric matrices that may be all but singular, dense or sparse: solved, inverted, and made positive."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import SuperLU, splu

_SAFE = 1e-5  # least ratio of a root's diagonal, of a matrix of unit diagonal, that Cholesky's way is trusted with
_ROUNDS = 5
_LEAST = 1e-12  # eigenvalue of a matrix of unit diagonal


def dense(matrix: Any) -> np.ndarray:
    """A matrix with all its zeros."""
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def with_more_diagonal(matrix: Any, more: np.ndarray) -> Any:
    """A matrix with something (P,) added to its diagonal."""
    return matrix + (sparse.diags_array(more) if sparse.issparse(matrix) else np.diag(more))


def solve(matrix: Any, vector: np.ndarray) -> np.ndarray:
    """Solve a symmetric system scaled to unit diagonal; what is nearly singular through its eigenvectors, or, where it is
    sparse, with the least that makes it positive added to its diagonal.
    """
    scale = _to_unit_diagonal(matrix)
    if sparse.issparse(matrix):
        scaled = sparse.csc_array(sparse.diags_array(scale) @ matrix @ sparse.diags_array(scale))
        return scale * factors(scaled)[0].solve(scale * vector)
    scaled = scale[:, None] * matrix * scale
    root = _safe_root(scaled)
    if root is not None:
        return scale * linalg.cho_solve((root, True), scale * vector, check_finite=False)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    return scale * (vectors @ ((vectors.T @ (scale * vector)) / np.maximum(eigenvalues, _LEAST)))


def _to_unit_diagonal(matrix: Any) -> np.ndarray:
    return 1 / np.sqrt(np.maximum(matrix.diagonal(), 1e-300))


def _safe_root(scaled: np.ndarray) -> np.ndarray | None:
    """Cholesky's root of a matrix of unit diagonal, where that is far enough from singular."""
    try:
        root = linalg.cholesky(scaled, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    return root if np.diag(root).min() > _SAFE else None


def factors(scaled: Any) -> tuple[SuperLU, float]:
    """Of a sparse matrix of unit diagonal, and what was added to it so that it be positive; pivots stay on the diagonal, and
    are as those of Cholesky's root squared.
    """
    ridge = 0.0
    while True:
        matrix = sparse.csc_array(with_more_diagonal(scaled, np.full(scaled.shape[0], ridge)))
        found = splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        if found.U.diagonal().min() > _SAFE**2:
            return found, ridge
        ridge = max(100 * ridge, _LEAST)


def solve_within(matrix: Any, vector: np.ndarray, reach: np.ndarray) -> np.ndarray:
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
    """The inverse of a symmetric matrix; of what is nearly singular small eigenvalues are held to a least one."""
    scale = _to_unit_diagonal(matrix)
    scaled = scale[:, None] * matrix * scale
    root = _safe_root(scaled)
    if root is not None:
        found = linalg.cho_solve((root, True), np.eye(len(scale)), check_finite=False)
    else:
        eigenvalues, vectors = np.linalg.eigh(scaled)
        found = (vectors / np.maximum(eigenvalues, _LEAST)) @ vectors.T
    return scale[:, None] * (0.5 * (found + found.T)) * scale


def is_positive(matrix: np.ndarray) -> bool:
    """Whether a symmetric matrix is positive definite."""
    try:
        linalg.cholesky(matrix, lower=True)
    except (np.linalg.LinAlgError, ValueError):
        return False
    return True


def positive_part(matrix: Any) -> Any:
    """The nearest positive semi-definite matrix; block by block, where a symmetric matrix falls into blocks.

    Examples
    --------
    >>> print(positive_part(np.array([[1.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 3.0]])))
    [[1. 0. 0.]
     [0. 0. 0.]
     [0. 0. 3.]]
    """
    found = sparse.csr_array(matrix)
    entries = sparse.coo_array(0.5 * (found + found.T))
    _, label = csgraph.connected_components(entries, directed=False)
    size = np.bincount(label)
    order = np.argsort(label, kind="stable")
    start = np.cumsum(size) - size
    within = np.empty(len(label), int)
    within[order] = np.arange(len(label)) - start[label[order]]
    total = sparse.csr_array(found.shape)
    for many in np.unique(size):
        blocks = np.flatnonzero(size == many)
        mine = size[label[entries.row]] == many
        row, column = entries.row[mine], entries.col[mine]
        stack = np.zeros((len(blocks), many, many))
        stack[np.searchsorted(blocks, label[row]), within[row], within[column]] = entries.data[mine]
        members = order[start[blocks][:, None] + np.arange(many)]
        where = np.repeat(members, many, axis=1).ravel(), np.tile(members, many).ravel()
        total = total + sparse.coo_array((_positive(stack).ravel(), where), shape=found.shape).tocsr()
    return total if sparse.issparse(matrix) else total.toarray()


def _positive(stack: np.ndarray) -> np.ndarray:
    """Symmetric matrices (N, m, m) without their negative eigenvalues."""
    if stack.shape[-1] == 1:
        return np.maximum(stack, 0.0)
    eigenvalues, vectors = np.linalg.eigh(stack)
    return (vectors * np.maximum(eigenvalues, 0)[:, None, :]) @ vectors.transpose(0, 2, 1)
