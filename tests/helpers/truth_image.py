"""Every pixel of a Sersic galaxy by brute force in real space, for whole images at once.

A pixel is the integral of the brightness I times the effective PSF, a Gaussian convolved with the pixel: k(x) k(y), a
product over the axes. The plane is cut into square cells about as wide as the PSF, with ORDER x ORDER Gauss-Legendre
nodes in each. On a cell k is the polynomial through its nodes to 1e-14, so all that is needed of I are its integrals
against the products of Lagrange's polynomials: `cell_weights` has them, cells where I is not smooth (its cusp above all)
being quartered until it is, or until what they hold is negligible. All pixels then are two matrix products. As in
`truth.py`, which is another quadrature, nothing is shared with the package.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from helpers.truth import REACH, gaussian_pixel, sersic_brightness
from numpy.polynomial.legendre import leggauss, legvander

ORDER = 16
CELL = 2.0  # width of a cell in standard deviations of the narrowest PSF
TOLERANCE = 1e-13
MAX_DEPTH = 60


@dataclass(frozen=True)
class Cells:
    """Nodes (n,) along x and y as offsets from the source, pixels, and the brightness's weight at each pair (y, x)."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def pixels(self, x, y, sigma) -> np.ndarray:
        """Pixels (y, x) at offsets x, y from the source, for Ie = 1 per square pixel and a PSF of `sigma` pixels."""
        along, across = (_kernel(at, nodes, sigma) for at, nodes in ((x, self.x), (y, self.y)))
        return across @ self.weights @ along.T


def sersic_cells(x, y, axes, n, sigmas, cell=CELL, tolerance=TOLERANCE) -> Cells:
    """Cells that serve pixels at offsets x, y from the source, under each of the Gaussian PSFs `sigmas`.

    Parameters
    ----------
    x, y : array (nx,), (ny,)
        Offsets of the pixels' columns and rows from the source.
    axes : array (2, 2)
        Rows are the semi-axis vectors of the half-light ellipse, pixels.
    n : float
        Sersic index.
    sigmas : sequence of float
        Standard deviations of the PSFs, pixels.
    """
    margin, width = REACH * max(sigmas) + 0.5, cell * min(sigmas)
    lows = [
        np.min(at) - margin + width * np.arange(np.ceil((np.ptp(at) + 2 * margin) / width)) for at in (x, y)
    ]
    nodes = [(low[:, None] + width * _rule()[0]).ravel() for low in lows]
    return Cells(*nodes, cell_weights(*lows, width, axes, n, tolerance))


def cell_weights(left, bottom, width, axes, n, tolerance) -> np.ndarray:
    """Integrals of the brightness against the Lagrange polynomials of all nodes, (rows ORDER, columns ORDER)."""
    to_unit = np.linalg.inv(np.asarray(axes, float).T)
    total = np.zeros((bottom.size, left.size, ORDER, ORDER))
    row, column = (i.ravel() for i in np.indices((bottom.size, left.size)))
    corner, size, scale = np.stack([left[column], bottom[row]], axis=1), width, 0.0
    project = np.broadcast_to(np.eye(ORDER), (row.size, 2, ORDER, ORDER))
    for _ in range(MAX_DEPTH):
        values = _at_nodes(corner, size, to_unit, n)
        weighted = values * (size**2 * _rule()[1] * _rule()[1][:, None])
        scale = max(scale, weighted.sum(axis=(1, 2)).max())
        enough = tolerance * scale / size**2
        done = _is_resolved(values, corner, size, to_unit, enough) | _is_empty(
            corner, size, to_unit, n, enough
        )
        for part in np.array_split(np.flatnonzero(done), 1 + done.sum() // 4000):
            back = np.swapaxes(project[part, 1], 1, 2) @ weighted[part] @ project[part, 0]
            np.add.at(total, (row[part], column[part]), back)
        if done.all():
            return total.transpose(0, 2, 1, 3).reshape(bottom.size * ORDER, left.size * ORDER)
        corner, project = _quarters(corner[~done], project[~done], size)
        row, column, size = np.repeat(row[~done], 4), np.repeat(column[~done], 4), size / 2
    raise RuntimeError(f"{row.size} cells are not resolved at a width of {size:.1e} pixels")


def _at_nodes(corner, size, to_unit, n) -> np.ndarray:
    """Brightness at the nodes (y, x) of each cell."""
    x, y = (corner[:, i, None] + size * _rule()[0] for i in (0, 1))
    u, v = (row[0] * x[:, None, :] + row[1] * y[:, :, None] for row in to_unit)
    return sersic_brightness(np.hypot(u, v), n)


def _is_resolved(values, corner, size, to_unit, enough) -> np.ndarray:
    """Whether each cell is narrow for its place and the highest Legendre terms of its brightness are small."""
    coefficients = _legendre() @ values @ _legendre().T
    tail = np.maximum(np.abs(coefficients[:, -2:]).max((1, 2)), np.abs(coefficients[:, :, -2:]).max((1, 2)))
    longest, shortest = 1 / np.linalg.svd(to_unit, compute_uv=False)[::-1]
    distance = np.hypot(*(corner + size / 2).T)
    return (tail < enough) & (size < np.maximum(2 * distance * shortest / longest, shortest / 2))


def _is_empty(corner, size, to_unit, n, enough) -> np.ndarray:
    """Whether the brightness is small wherever in each cell it is largest."""
    stretch = np.linalg.norm(to_unit, ord=2)
    nearest = np.hypot(*(to_unit @ (corner + size / 2).T)) - stretch * size / np.sqrt(2)
    return sersic_brightness(np.maximum(nearest, 0), n) < enough


def _quarters(corner, project, size) -> tuple[np.ndarray, np.ndarray]:
    """The corners of four cells for each, and what takes the top cell's values to theirs, along x and along y."""
    halves = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
    lower = (corner[:, None] + halves * size / 2).reshape(-1, 2)
    along = np.stack([[_halving()[x], _halving()[y]] for x, y in halves])
    return lower, (along[None] @ project[:, None]).reshape(-1, 2, ORDER, ORDER)


@cache
def _rule() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on (0, 1)."""
    nodes, weights = leggauss(ORDER)
    return (nodes + 1) / 2, weights / 2


@cache
def _legendre() -> np.ndarray:
    """Matrix from values at the nodes to Legendre coefficients."""
    nodes, weights = leggauss(ORDER)
    return (np.arange(ORDER)[:, None] + 0.5) * legvander(nodes, ORDER - 1).T * weights


@cache
def _halving() -> np.ndarray:
    """Matrices from values at a cell's nodes to those at the nodes of its lower and its upper half, (2, ORDER, ORDER)."""
    nodes = leggauss(ORDER)[0]
    return np.stack([legvander((nodes + side) / 2, ORDER - 1) @ _legendre() for side in (-1, 1)])


def _kernel(at, nodes, sigma) -> np.ndarray:
    """The effective PSF along one axis, (pixels, nodes)."""
    distance = at[:, None] - nodes
    near = np.abs(distance) < REACH * sigma + 0.5
    values = np.zeros_like(distance)
    values[near] = gaussian_pixel(distance[near], sigma)
    return values
