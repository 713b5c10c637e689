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
_STIFFEST = 10.0  # what may be added to a curvature, in its units
_CLOSE, _NEAR = 0.3, 10.0  # gains in log posterior
_MANY = 200


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
    if not np.all(np.isfinite(scaled.data)):
        raise ValueError(
            "the curvature of the log posterior is not finite: mend the prior or the light there"
        )
    ridge = 0.0
    while True:
        matrix = sparse.csc_array(with_more_diagonal(scaled, np.full(scaled.shape[0], ridge)))
        found = _symmetric_factors(matrix)
        if found is not None and found.U.diagonal().min() > _SAFE**2:
            return found, ridge
        ridge = max(100 * ridge, _LEAST)


def _symmetric_factors(matrix: Any) -> SuperLU | None:
    """None of what is exactly singular."""
    try:
        return splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
    except RuntimeError:
        return None


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


def is_determined(matrix: np.ndarray) -> bool:
    """Whether a symmetric matrix is far enough from singular, in units of its diagonal, for errors to mean something."""
    scale = _to_unit_diagonal(matrix)
    return _safe_root(scale[:, None] * matrix * scale) is not None


def is_positive(matrix: Any) -> bool:
    """Whether a symmetric matrix, dense or sparse, is positive definite."""
    if sparse.issparse(matrix):
        scale = sparse.diags_array(_to_unit_diagonal(matrix))
        return factors(sparse.csc_array(scale @ matrix @ scale))[1] == 0.0
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
    found: Any = sparse.csr_array(matrix)
    found, total = 0.5 * (found + found.T), sparse.csr_array(found.shape)
    for members in _blocks(found):
        total = total + _whole(_positive(_parts(found, members)), members, found.shape[0])
    return total if sparse.issparse(matrix) else total.toarray()


def bounded(bending: Any, curvature: Any, gradient: np.ndarray, softest: float) -> Any:
    """What is added to a curvature (P, P) of what is known of it beyond, sparse, so that each block of that stays positive.

    In units of a block's curvature it is no more than `_STIFFEST` and no less than `softest`. Far from the maximum the
    expansion is of no use: nothing is added where a step of the block alone would gain more than `_NEAR` in log posterior,
    nor taken away where more than `_CLOSE`. Nothing is of blocks of more than `_MANY` elements.
    """
    total = sparse.csr_array(bending.shape)
    for members in (each for each in _blocks(bending) if each.shape[1] <= _MANY):
        root, inverse_root = _roots(_parts(curvature, members))
        slope = inverse_root @ gradient[members][..., None]
        gain = 0.5 * np.sum(slope**2, axis=1)
        least, most = np.where(gain < _CLOSE, softest, 0.0), np.where(gain < _NEAR, _STIFFEST, 0.0)
        in_units = inverse_root @ _parts(bending, members) @ inverse_root.transpose(0, 2, 1)
        eigenvalues, vectors = np.linalg.eigh(in_units)
        vectors = root @ vectors
        held = np.clip(eigenvalues, least, most)[:, None, :]
        total = total + _whole((vectors * held) @ vectors.transpose(0, 2, 1), members, len(gradient))
    return total


def _roots(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Roots (N, m, m) of positive matrices, and their inverses; also of what is nearly singular."""
    scale = 1 / np.sqrt(np.maximum(np.diagonal(stack, axis1=1, axis2=2), 1e-300))[..., None]
    eigenvalues, vectors = np.linalg.eigh(scale * stack * scale.transpose(0, 2, 1))
    size = np.sqrt(np.maximum(eigenvalues, _LEAST))[:, None, :]
    return vectors * size / scale, (vectors / size).transpose(0, 2, 1) * scale.transpose(0, 2, 1)


def _blocks(matrix: Any) -> list[np.ndarray]:
    """The rows of blocks (N, m) into which a symmetric sparse matrix falls, for each size m; of what is not zero."""
    _, label = csgraph.connected_components(matrix, directed=False)
    size = np.bincount(label)
    order = np.argsort(label, kind="stable")
    start = np.cumsum(size) - size
    kept = (size > 1) | (matrix.diagonal()[order[start]] != 0)
    return [order[start[kept & (size == many)][:, None] + np.arange(many)] for many in np.unique(size[kept])]


def _parts(matrix: Any, members: np.ndarray) -> np.ndarray:
    """Blocks (N, m, m) of a matrix."""
    rows, columns = np.broadcast_arrays(members[:, :, None], members[:, None, :])
    return np.asarray(matrix[rows.ravel(), columns.ravel()]).reshape(rows.shape)


def _whole(stack: np.ndarray, members: np.ndarray, size: int) -> Any:
    """A sparse matrix with these blocks (N, m, m)."""
    rows, columns = np.broadcast_arrays(members[:, :, None], members[:, None, :])
    return sparse.coo_array((stack.ravel(), (rows.ravel(), columns.ravel())), shape=(size, size)).tocsr()


def _positive(stack: np.ndarray) -> np.ndarray:
    """Symmetric matrices (N, m, m) without their negative eigenvalues."""
    if stack.shape[-1] == 1:
        return np.maximum(stack, 0.0)
    eigenvalues, vectors = np.linalg.eigh(stack)
    return (vectors * np.maximum(eigenvalues, 0)[:, None, :]) @ vectors.transpose(0, 2, 1)
