"""Gradient and curvature of an image of sources in windows, put together tile by tile and overlap by overlap.

Two sources share curvature only where their windows meet, so that the cost of a field grows with the number of its sources
and not with its square.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse


class Columns(NamedTuple):
    """Slopes of sources' pixels in windows: (S, k, size, size), and the windows' first pixels (S, 2), x and y.

    `moves` (S, k, 2) is by how many pixels each parameter moves a source.
    """

    pixels: Any
    origin: Any
    moves: Any


class ImageTerms(NamedTuple):
    """What one image says of its model pixels, and how they move: a leading axis where there are several.

    Attributes
    ----------
    value : array ()
        Log density.
    score, weight : array (ny, nx)
        Its slope, and the Fisher information, in each model pixel.
    shared : array (K', ny, nx)
        Slopes of all pixels in the parameters that no one windowed source has.
    windows : tuple of Columns
        For each `Windowed` component.
    slope, cross, square : array (Q,), (Q, ny, nx), (Q, Q)
        Of the noise's parameters, as `density_terms` has them.
    """

    value: Any
    score: Any
    weight: Any
    shared: Any
    windows: tuple[Columns, ...]
    slope: Any
    cross: Any
    square: Any


def assemble(
    terms: ImageTerms, count: int, together: np.ndarray, windows: list[np.ndarray]
) -> tuple[np.ndarray, Any, Any]:
    """Gradient (K,), curvature (K, K) and its `bending` (K, K), sparse, of one image in its K = `count` parameters."""
    gradient, blocks = np.zeros(count), _Blocks(count)
    last = slice(count - terms.slope.size, count)
    noise = np.arange(count)[last]
    shared = terms.shared.reshape(together.size, terms.score.size)
    gradient[together] += shared @ terms.score.ravel()
    blocks.add(together, together, (shared * terms.weight.ravel()) @ shared.T)
    gradient[noise] += terms.slope
    blocks.add(noise, noise, terms.square)
    cross = terms.cross.reshape(noise.size, shared.shape[1])
    blocks.add_both(together, noise, shared @ cross.T)
    tiles = [
        tile
        for own, columns in zip(windows, terms.windows, strict=True)
        for tile in _tiles(own, columns, terms)
    ]
    for tile in tiles:
        gradient[tile.parameters] += tile.pixels @ terms.score[tile.box].ravel()
        under = terms.shared[:, *tile.box].reshape(together.size, tile.pixels.shape[1])
        blocks.add_both(tile.parameters, together, tile.weighted @ under.T)
        if noise.size:
            blocks.add_both(
                tile.parameters, noise, tile.pixels @ terms.cross[:, *tile.box].reshape(noise.size, -1).T
            )
    _add_overlaps(blocks, tiles)
    return gradient, blocks.matrix(), _bending(count, tiles, terms.score)


class _Tile(NamedTuple):
    """One source on the image: its parameters, how they move it, the part of its window within, its slopes there, and
    these by weight.
    """

    parameters: np.ndarray
    moves: np.ndarray
    box: tuple[slice, slice]
    pixels: np.ndarray
    weighted: np.ndarray


def _tiles(index: np.ndarray, columns: Columns, terms: ImageTerms) -> list[_Tile]:
    (ny, nx), tiles = terms.score.shape, []
    size = columns.pixels.shape[-2:]
    for own, pixels, origin, moves in zip(index, *columns, strict=True):
        x, y = np.round(origin).astype(int)
        y0, y1, x0, x1 = max(y, 0), min(y + size[0], ny), max(x, 0), min(x + size[1], nx)
        if y1 <= y0 or x1 <= x0:
            continue
        box = slice(y0, y1), slice(x0, x1)
        inside = pixels[:, y0 - y : y1 - y, x0 - x : x1 - x].reshape(own.size, -1)
        tiles.append(_Tile(own, moves, box, inside, inside * terms.weight[box].ravel()))
    return tiles


def _bending(count: int, tiles: list[_Tile], score: np.ndarray) -> Any:
    """What the curvature (K, K) lacks by leaving out how slopes change as sources move: minus the score times that.

    A slope's pixels move along with the source, so that they change by minus their own gradient, the sum of whose product
    with the score is, by parts, that of theirs with the score's gradient.
    """
    blocks, along = _Blocks(count), (_gradient(score.T).T, _gradient(score))
    for tile in tiles:
        pulls = np.stack([tile.pixels @ each[tile.box].ravel() for each in (along[1], along[0])])
        bent, is_moving = -tile.moves @ pulls, np.any(tile.moves != 0, axis=1)
        both = bent + bent.T
        both[np.ix_(is_moving, is_moving)] /= 2
        blocks.add(tile.parameters, tile.parameters, both)
    return blocks.matrix()


def _gradient(pixels: np.ndarray) -> np.ndarray:
    """The derivative (ny, nx) along x, by neighbours and next ones; beyond the edges there is nothing."""
    padded = np.pad(pixels, ((0, 0), (2, 2)))
    return (8 * (padded[:, 3:-1] - padded[:, 1:-3]) - (padded[:, 4:] - padded[:, :-4])) / 12


def _add_overlaps(blocks: _Blocks, tiles: list[_Tile]) -> None:
    """Products of the slopes of all pairs of sources whose windows meet, and of each with itself."""
    if not tiles:
        return
    edges = np.array([[t.box[0].start, t.box[0].stop, t.box[1].start, t.box[1].stop] for t in tiles])
    if np.all(edges == edges[0]):
        every = np.concatenate([t.parameters for t in tiles])
        pixels, weighted = (
            np.concatenate([getattr(t, part) for t in tiles]) for part in ("pixels", "weighted")
        )
        blocks.add(every, every, weighted @ pixels.T)
        return
    y0, y1, x0, x1 = edges.T
    meet = np.minimum(y1[:, None], y1) > np.maximum(y0[:, None], y0)
    meet &= np.minimum(x1[:, None], x1) > np.maximum(x0[:, None], x0)
    for i, j in zip(*np.nonzero(np.triu(meet)), strict=True):
        a, b = tiles[i], tiles[j]
        if i == j:
            blocks.add(a.parameters, a.parameters, a.weighted @ a.pixels.T)
            continue
        box = max(y0[i], y0[j]), min(y1[i], y1[j]), max(x0[i], x0[j]), min(x1[i], x1[j])
        blocks.add_both(a.parameters, b.parameters, _part(a.weighted, a, box) @ _part(b.pixels, b, box).T)


def _part(pixels: np.ndarray, tile: _Tile, box: tuple) -> np.ndarray:
    """Of pixels (k, n) of a tile those within a box."""
    rows, columns = tile.box
    whole = pixels.reshape(len(pixels), rows.stop - rows.start, columns.stop - columns.start)
    y0, y1, x0, x1 = box
    inside = whole[:, y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start]
    return inside.reshape(len(pixels), -1)


class _Blocks:
    """A sparse symmetric matrix, block by block."""

    def __init__(self, count: int):
        self.count, self.rows, self.columns, self.values = count, [], [], []

    def add(self, rows: np.ndarray, columns: np.ndarray, block: np.ndarray) -> None:
        self.rows.append(np.repeat(rows, columns.size))
        self.columns.append(np.tile(columns, rows.size))
        self.values.append(block.ravel())

    def add_both(self, rows: np.ndarray, columns: np.ndarray, block: np.ndarray) -> None:
        """A block off the diagonal, and its mirror image."""
        self.add(rows, columns, block)
        self.add(columns, rows, block.T)

    def matrix(self) -> Any:
        if not self.values:
            return sparse.csr_array((self.count, self.count))
        where = np.concatenate(self.rows), np.concatenate(self.columns)
        return sparse.coo_array((np.concatenate(self.values), where), shape=(self.count, self.count)).tocsr()
