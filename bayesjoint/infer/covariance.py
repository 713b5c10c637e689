"""What is asked of a fit's covariance: an array, or, where that would fill the memory, its inverse, which is sparse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from bayesjoint.infer import linear


@dataclass(frozen=True, eq=False)
class SparseCovariance:
    """A covariance (P, P) by the curvature that it is the inverse of; `np.asarray` gives all of it.

    Attributes
    ----------
    curvature : sparse array (P, P)
        Symmetric and positive definite.
    blocks : tuple of array
        The elements of z in sets of those that hang together most: together every one once.

    Examples
    --------
    >>> curvature = sparse.csr_array(np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 4.0]]))
    >>> covariance = SparseCovariance(curvature, (np.array([0, 1]), np.array([2])))
    >>> print(np.round(covariance.diagonal(), 4))
    [0.6667 0.6667 0.25  ]
    >>> print(np.round(covariance.within(np.array([1, 2])), 4))
    [[0.6667 0.    ]
     [0.     0.25  ]]
    """

    curvature: Any
    blocks: tuple[np.ndarray, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return self.curvature.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.columns(np.arange(self.shape[0])).astype(dtype or float)

    @cached_property
    def _scale(self) -> np.ndarray:
        return 1 / np.sqrt(self.curvature.diagonal())

    @cached_property
    def _factors(self) -> Any:
        unit = sparse.diags_array(self._scale)
        return linear.factors(sparse.csc_array(unit @ self.curvature @ unit))

    def __getstate__(self) -> dict[str, Any]:
        # what is kept of the factors cannot be pickled, and is made again
        return {"curvature": self.curvature, "blocks": self.blocks}

    @property
    def is_positive(self) -> bool:
        """Whether the curvature determines every direction."""
        return self._factors[1] == 0.0

    def solve(self, vectors: np.ndarray) -> np.ndarray:
        """The covariance times vectors (P,) or (P, N)."""
        scale = self._scale if vectors.ndim == 1 else self._scale[:, None]
        return scale * self._factors[0].solve(scale * vectors)

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Some columns (P, N)."""
        unit = np.zeros((self.shape[0], len(rows)))
        unit[rows, np.arange(len(rows))] = 1.0
        return self.solve(unit)

    def within(self, rows: np.ndarray) -> np.ndarray:
        """What some elements share (N, N)."""
        found = self.columns(rows)[rows]
        return 0.5 * (found + found.T)

    @cached_property
    def parts(self) -> tuple[np.ndarray, ...]:
        """That of each of the `blocks`, all others marginalised over."""
        return tuple(self.within(rows) for rows in self.blocks)

    def given(self, known: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As the function `given`: read off the curvature, where `known` and `rest` are all there is."""
        scatter = np.linalg.inv(self.curvature[rest][:, rest].toarray())
        return -(scatter @ self.curvature[rest][:, known]).T, scatter

    def diagonal(self) -> np.ndarray:
        """Variances (P,)."""
        found = np.empty(self.shape[0])
        for rows, part in zip(self.blocks, self.parts, strict=True):
            found[rows] = np.diag(part)
        return found


class KnownRows(NamedTuple):
    """Rows of a curvature (N, M): those of some elements, and the elements whose columns are known."""

    own: np.ndarray
    members: np.ndarray
    curvature: np.ndarray


def curvature_of(known: Sequence[KnownRows], size: int) -> Any:
    """A curvature from all its rows; what one of two rows knows of the two is true of both."""
    row = np.concatenate([np.repeat(one.own, one.members.size) for one in known])
    column = np.concatenate([np.tile(one.members, one.own.size) for one in known])
    value = np.concatenate([one.curvature.ravel() for one in known])
    total: Any
    count: Any
    mirrored = np.concatenate([row, column]), np.concatenate([column, row])
    total, count = (
        sparse.coo_array((np.tile(own, 2), mirrored), shape=(size, size)).tocsr()
        for own in (value, np.ones(value.size))
    )
    return sparse.csr_array((total.data / count.data, total.indices, total.indptr), shape=(size, size))


Covariance = np.ndarray | SparseCovariance


def within(covariance: Covariance, rows: np.ndarray) -> np.ndarray:
    """What some elements share (N, N), all others marginalised over."""
    return (
        covariance.within(rows)
        if isinstance(covariance, SparseCovariance)
        else covariance[np.ix_(rows, rows)]
    )


def root(covariance: Covariance) -> np.ndarray:
    """A matrix (P, N) whose columns' squares, summed, are the variances of what depends on the latents of one block alone.

    Of an array it is Cholesky's root, and every function is such a one.
    """
    if not isinstance(covariance, SparseCovariance):
        return np.linalg.cholesky(covariance)
    found = np.zeros((covariance.shape[0], max(len(rows) for rows in covariance.blocks)))
    for rows, part in zip(covariance.blocks, covariance.parts, strict=True):
        found[rows, : len(rows)] = np.linalg.cholesky(part)
    return found


def given(covariance: Covariance, known: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How all other elements follow those that are known (K, R), and their covariance about that (R, R)."""
    if isinstance(covariance, SparseCovariance):
        return covariance.given(known, rest)
    slope = np.linalg.solve(covariance[np.ix_(known, known)], covariance[np.ix_(known, rest)])
    return slope, covariance[np.ix_(rest, rest)] - slope.T @ covariance[np.ix_(known, rest)]


def correlated(covariance: Covariance, coupling: float) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of elements that correlate by more than `coupling`, each element with itself among them."""
    errors = np.sqrt(covariance.diagonal())
    if not isinstance(covariance, SparseCovariance):
        first, second = np.nonzero(np.abs(covariance) > coupling * np.outer(errors, errors))
        return first, second
    pairs = []
    for rows in covariance.blocks:
        near = np.abs(covariance.columns(rows)) > coupling * np.outer(errors, errors[rows])
        first, second = np.nonzero(near)
        pairs.append((first, rows[second]))
    first, second = (np.concatenate(each) for each in zip(*pairs, strict=True))
    return first, second


def variances_alone(
    covariance: Covariance, shared: np.ndarray, sets: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The variances of each set of elements given those of all other sets, the `shared` ones marginalised over."""
    if isinstance(covariance, SparseCovariance):
        curvature = covariance.curvature
        known = np.linalg.inv(curvature[shared][:, shared].toarray()) if shared.size else np.zeros((0, 0))
        found = []
        for rows in sets:
            across = curvature[rows][:, shared].toarray()
            found.append(curvature[rows][:, rows].toarray() - across @ known @ across.T)
    else:
        every = np.sort(np.concatenate(sets))
        whole = np.linalg.inv(covariance[np.ix_(every, every)])
        places = [np.searchsorted(every, rows) for rows in sets]
        found = [whole[np.ix_(rows, rows)] for rows in places]
    return [np.diag(np.linalg.inv(own)) for own in found]


def is_determined(covariance: Covariance) -> bool:
    """Whether no direction is all but free."""
    if isinstance(covariance, SparseCovariance):
        return covariance.is_positive
    return linear.is_determined(covariance)


def pack_covariance(covariance: Covariance) -> dict[str, np.ndarray]:
    """A covariance as named arrays."""
    if not isinstance(covariance, SparseCovariance):
        return {"covariance": covariance}
    matrix, blocks = covariance.curvature, covariance.blocks
    parts = {name: getattr(matrix, name) for name in ("data", "indices", "indptr")}
    return parts | {"members": np.concatenate(blocks), "sizes": np.array([len(rows) for rows in blocks])}


def unpack_covariance(packed: Mapping[str, Any]) -> Covariance:
    """The inverse of `pack_covariance`."""
    if "covariance" in packed:
        return packed["covariance"]
    matrix = sparse.csr_array(tuple(packed[name] for name in ("data", "indices", "indptr")))
    return SparseCovariance(matrix, tuple(np.split(packed["members"], np.cumsum(packed["sizes"])[:-1])))
