"""The light of a source's copies in all cells of the lattice but the nearest: where it is evaluated, and its sum.

Copies in the second to fourth ring of cells are evaluated on 8 x 8 nodes over the image, those of two more rings on 4 x 4.
All that lies beyond is an integral over the plane outside these cells, divided by a cell's area. Seen from elsewhere in the
image, the plane's edge lies elsewhere: what that makes is an integral along the edge, of the light half-way.

Node and place numbers are the same for images of all sizes, so that images of a set share one program.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

COARSE, COARSER = 8, 4  # nodes of an axis
_RINGS = (1, 4, 6)  # the last ring of cells of the near nodes, of the coarse and of the coarser ones
_ANGLES, _RADII, _MAX_LOG_RADIUS = 64, 24, 7.0
_SIDE = 16  # places along each side of the edge


class FarPlaces(NamedTuple):
    """The far lattice of an image, pixels.

    Attributes
    ----------
    places : array (2, P)
        Of the coarse nodes and the coarser ones, as seen from each copy of the image's corner; of the integral beyond; and
        of its edge, half-way to each of the coarser nodes.
    moved : array (P,)
        How much of the source's position is to be taken from each.
    weight : array (places of the integral,)
    normal : array (2, places along the edge)
        Outwards, times the length, over a cell's area.
    nodes : array (2, coarser nodes)
    """

    places: Any
    moved: Any
    weight: Any
    normal: Any
    nodes: Any


def counts() -> np.ndarray:
    """How many places there are: coarse, coarser, of the integral and of its edge."""
    inner, coarse, coarser = ((2 * ring + 1) ** 2 for ring in _RINGS)
    cells = (coarse - inner) * COARSE**2, (coarser - coarse) * COARSER**2
    return np.array([*cells, _ANGLES * _RADII, 4 * _SIDE * COARSER**2])


@cache
def far_places(size: tuple[int, int], padded: tuple[int, int]) -> FarPlaces:
    """The far lattice of an image of `size` pixels (x, y) on a lattice of `padded` ones."""
    cells = [
        _cells(size, padded, count, low, high)
        for count, low, high in ((COARSE, *_RINGS[:2]), (COARSER, *_RINGS[1:]))
    ]
    beyond, weight = _beyond(padded)
    edge, normal = _edge(padded)
    nodes = _grid(size, COARSER).reshape(2, -1)
    # the edge as seen half-way to each node
    half_way = (edge[:, None] + 0.5 * nodes[:, :, None]).reshape(2, -1)
    moved = np.repeat([1.0, 1.0, 0.0, 0.5], counts())
    places = np.concatenate([*cells, beyond, half_way], axis=1)
    return FarPlaces(places, moved, weight / np.prod(padded), normal / np.prod(padded), nodes)


def far_sum(form, far: FarPlaces, position) -> jax.Array:
    """What all far copies of a source at `position` (2,) have on the coarse nodes (8, 8), from the form at all places."""
    coarse, coarser, beyond, edge = jnp.split(form, np.cumsum(counts())[:-1])
    coarser = jnp.sum(coarser.reshape(-1, COARSER, COARSER), axis=0)
    edge = edge.reshape(COARSER**2, -1)
    across = jnp.sum(edge[None] * far.normal[:, None], axis=2)
    lost = jnp.sum(across * (far.nodes - position[:, None]), axis=0)
    coarser = coarser - lost.reshape(COARSER, COARSER)
    finer = jnp.asarray(interpolation(chebyshev(COARSE)[0], COARSER), form.dtype)
    coarse = jnp.sum(coarse.reshape(-1, COARSE, COARSE), axis=0) + product(finer, coarser, finer)
    return coarse + jnp.dot(beyond, far.weight, precision="highest")


def _grid(size, count: int) -> np.ndarray:
    """Chebyshev nodes over an image (2: x and y, y, x)."""
    x, y = ((chebyshev(count)[0] + 1) * n / 2 - 0.5 for n in size)
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None]))


def _cells(size, padded, count: int, low: int, high: int) -> np.ndarray:
    """The nodes of an image as seen from its copies in the rings of cells after `low`, up to `high`: (2, cells nodes^2)."""
    steps = np.arange(-high, high + 1)
    row, column = (index.ravel() for index in np.meshgrid(steps, steps, indexing="ij"))
    outer = np.maximum(abs(row), abs(column)) > low
    corners = np.stack([column[outer] * padded[0], row[outer] * padded[1]])
    return (_grid(size, count)[:, None] - corners[:, :, None, None]).reshape(2, -1)


def _beyond(padded) -> tuple[np.ndarray, np.ndarray]:
    """Places (2, n) and weights of an even function's integral over all that lies beyond the cells.

    Midpoint in angle over half a turn, Gauss-Legendre in the log of the radius.
    """
    angle = np.pi * (np.arange(_ANGLES) + 0.5) / _ANGLES
    directions = np.stack([np.cos(angle), np.sin(angle)])
    edge = np.min((_RINGS[-1] + 0.5) * np.array(padded)[:, None] / np.abs(directions), axis=0)
    roots, weights = np.polynomial.legendre.leggauss(_RADII)
    radius = edge * np.exp(0.5 * _MAX_LOG_RADIUS * (roots + 1))[:, None]
    weight = radius**2 * (_MAX_LOG_RADIUS * weights * np.pi / _ANGLES)[:, None]
    return (radius * directions[:, None]).reshape(2, -1), weight.ravel()


def _edge(padded) -> tuple[np.ndarray, np.ndarray]:
    """Places (2, n) along the edge of all cells, and its normal there times the length that each stands for."""
    roots, weights = np.polynomial.legendre.leggauss(_SIDE)
    width, height = (_RINGS[-1] + 0.5) * np.array(padded)
    one, none = np.ones(_SIDE), np.zeros(_SIDE)
    places, normals = [], []
    for sign in (1.0, -1.0):
        places += [
            np.stack([sign * width * one, height * roots]),
            np.stack([width * roots, sign * height * one]),
        ]
        normals += [np.stack([sign * height * weights, none]), np.stack([none, sign * width * weights])]
    return np.concatenate(places, axis=1), np.concatenate(normals, axis=1)


@cache
def chebyshev(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev nodes on (-1, 1) and their barycentric weights (Berrut & Trefethen 2004, SIAM Rev. 46, 501)."""
    theta = np.pi * (np.arange(count) + 0.5) / count
    return np.cos(theta), (-1.0) ** np.arange(count) * np.sin(theta)


def interpolation(at, count: int) -> Any:
    """Matrices (..., places, nodes) from values at Chebyshev nodes to those at places `at` (..., places) in [-1, 1]."""
    xp = jnp if isinstance(at, jax.Array) else np
    nodes, weights = (a.astype(at.dtype).reshape(*(1,) * at.ndim, -1) for a in chebyshev(count))
    distance = at[..., None] - nodes
    # at a node its own term, however large, leaves no room for the others
    terms = weights / xp.where(distance == 0, 1e-30, distance)
    return terms / xp.sum(terms, axis=-1, keepdims=True)


def product(rows, middle, columns) -> jax.Array:
    """rows middle columns^T."""
    return jnp.matmul(jnp.matmul(rows, middle, precision="highest"), columns.T, precision="highest")
