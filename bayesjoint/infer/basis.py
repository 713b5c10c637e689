"""Of one image's departures from a fit: small bases, and how their coefficients follow from features of the light.

Arrays on the host; `compress.py` makes a likelihood of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import linalg

if TYPE_CHECKING:
    from bayesjoint.infer.tiles import Tile

RANK = 64
_RANK_STEP = 16
_TELLING = (
    3e-4  # sigma, root mean square: a component of less is left out where parts have bases of their own
)
_RIDGE = 1e-8
_BLOCK = 1 << 15


def principal_components(departures: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (N, RANK) of departures (N, pixels) along their principal components, and those of a residual (RANK,).

    Departures are in units of the noise; only their products among each other are needed.
    """
    squares, along = np.zeros((len(departures),) * 2), np.zeros(len(departures))
    for first in range(0, departures.shape[1], _BLOCK):
        block = departures[:, first : first + _BLOCK]
        squares += block @ block.T
        along += block @ residual[first : first + _BLOCK]
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
    if not singular.any():  # nothing moves: no light, or all of it held
        return np.zeros((features.shape[1], coefficients.shape[1]))
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


class Bases(NamedTuple):
    """The bases of the parts of one image's light: coefficients (parts, N, RANK), slopes (parts, RANK), and the tiles."""

    coefficients: np.ndarray
    slope: np.ndarray
    tiles: list[Tile]

    @property
    def rank(self) -> int:
        """Of how many components one of the parts has to tell, at most: in steps, so that forms come in few sizes."""
        spread = np.sqrt(np.mean(self.coefficients**2, axis=1))
        told = max(1, int(np.max(np.sum(spread > _TELLING, axis=-1))))
        return min(RANK, _RANK_STEP * -(-told // _RANK_STEP))

    def products(self, pairs: np.ndarray, rank: int) -> np.ndarray:
        """Products (pairs, rank, rank) of the bases of two parts, over the pixels that both may fill."""
        found = np.zeros((len(pairs), rank, rank))
        directions = [self._directions(part, rank) for part in range(len(self.tiles))] if len(pairs) else []
        for k, (p, q) in enumerate(pairs):
            boxes = self.tiles[p].box, self.tiles[q].box
            if shared := common_box(*boxes):
                a, b = (_cut(directions[part], box, shared) for part, box in zip((p, q), boxes, strict=True))
                found[k] = a @ b.T
        return found

    def _directions(self, part: int, rank: int) -> np.ndarray:
        """The basis (rank, height, width) of a part on the pixels of its box."""
        tile, coefficients = self.tiles[part], self.coefficients[part, :, :rank]
        squares = np.sum(coefficients**2, axis=0)
        weights = coefficients / np.where(squares > 0, squares, 1.0)
        rows, columns = tile.box
        flat = weights.T.astype(np.float32) @ tile.departures
        return flat.reshape(rank, rows.stop - rows.start, columns.stop - columns.start)


def bases_of_tiles(tiles: list[Tile], residual: np.ndarray) -> Bases:
    """The bases of an image's tiles, the first of which is the whole image; `residual` (pixels,) is that of the fit."""
    rows, columns = tiles[0].box
    image = residual.reshape(rows.stop - rows.start, columns.stop - columns.start)
    found = [principal_components(tile.departures, image[tile.box].ravel()) for tile in tiles]
    coefficients, slope = (np.stack(part) for part in zip(*found, strict=True))
    return Bases(coefficients, slope, tiles)


def pairs_that_meet(tiles: list[list[Tile]]) -> np.ndarray:
    """Which two parts (pairs, 2) share pixels of an image, on any of the images."""
    count = len(tiles[0])
    pairs = [
        (p, q)
        for p in range(count)
        for q in range(p + 1, count)
        if any(common_box(image[p].box, image[q].box) for image in tiles)
    ]
    return np.array(pairs, int).reshape(-1, 2)


def common_box(a: tuple[slice, slice], b: tuple[slice, slice]) -> tuple[slice, slice] | None:
    """The pixels that two boxes (rows, columns) share; None where there are none."""
    both = tuple(slice(max(x.start, y.start), min(x.stop, y.stop)) for x, y in zip(a, b, strict=True))
    return both if all(side.stop > side.start for side in both) else None  # type: ignore[return-value]


def _cut(pixels: np.ndarray, box: tuple[slice, slice], inner: tuple[slice, slice]) -> np.ndarray:
    """Of pixels (k, height, width) of a box those (k, n) of a smaller one."""
    rows, columns = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, box, strict=True))
    return pixels[:, rows, columns].reshape(len(pixels), -1)
