"""Correlated noise made independent: an operator made once for each image, from its correlation and its used pixels.

Each used pixel is predicted from those of its used neighbours that come before it, within four pixels; what is left, over
its scatter, is nearly independent of the others (Vecchia 1988, J. R. Stat. Soc. B 50, 297). Masks and borders need no more
than that: only used pixels predict. Pixels with the same pattern of used neighbours share their coefficients.

Where noise is smooth, four pixels do not reach far enough: with A the prediction and C the covariance, M = A C A^T is not
quite 1. Then q(M) A, q a polynomial near M^(-1/2), takes the place of A.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from bayesjoint.compilation import quick_jit

REACH = 4
WIDTH = 2 * REACH + 1
OFFSETS = np.array(
    [(dy, dx) for dy in range(-REACH, 1) for dx in range(-REACH, REACH + 1) if (dy, dx) < (0, 0)]
)
_LATTICE = 64
_MOST_STEPS = 2
_GOOD = 0.003  # where the operator's gain is right to this, rms, it is not refined further
_FEWEST_PATTERNS = 64
_CHUNK = 1024


class Whitening(NamedTuple):
    """What makes the noise of one image independent.

    Attributes
    ----------
    stamp : array (2 ry + 1, 2 rx + 1)
        Correlation coefficients by lag.
    index : int array (ny, nx)
        Which column of `table` is a pixel's.
    table : array (REACH + 1, WIDTH, patterns)
        Coefficients of its neighbours in the rows above and in its own, and its own; pattern 0 is that of pixels without
        weight, all zeros.
    polish : array (1 to 3,)
        Coefficients of q(M) in powers of M - 1.
    log_determinant : array ()
        Of the operator from nJy, over the used pixels.
    """

    stamp: Any
    index: Any
    table: Any
    polish: Any
    log_determinant: Any

    def padded(self, room: tuple, patterns: int) -> Whitening:
        """For pixels padded by `room` without weight, with a table of so many patterns."""
        table = np.pad(self.table, ((0, 0), (0, 0), (0, patterns - self.table.shape[2])))
        return self._replace(index=np.pad(self.index, room), table=table)


def make_whitening(stamp: np.ndarray, invvar: np.ndarray) -> Whitening:
    """The operator for noise of variances 1 / invvar (ny, nx) and of correlations `stamp`, which must be valid.

    Examples
    --------
    >>> stamp = np.outer([0.25, 1.0, 0.25], [0.25, 1.0, 0.25])
    >>> operator = make_whitening(stamp, np.ones((20, 30)))
    >>> operator.table.shape, operator.polish.shape
    ((5, 9, 64), (1,))
    """
    used = invvar > 0
    known = _known_neighbours(used)
    codes = np.zeros(known.shape[1], np.uint64)
    for bit, each in enumerate(known):
        codes |= each.astype(np.uint64) << np.uint64(bit)
    patterns, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    table = np.zeros(((REACH + 1) * WIDTH, max(_FEWEST_PATTERNS, 1 << len(patterns).bit_length())))
    for start in range(0, len(patterns), _CHUNK):
        chunk = known[:, first[start : start + _CHUNK]].T
        table[: len(OFFSETS) + 1, 1 + start : 1 + start + len(chunk)] = _coefficients(stamp, chunk).T
    index = np.zeros(used.shape, np.int32)
    index[used] = 1 + inverse
    own = table[len(OFFSETS), index[used]]
    gain = _gain(stamp)
    polish = _polish(gain)
    refined = np.mean(np.log(np.abs(np.polyval(polish[::-1], gain - 1))))
    logs = 0.5 * np.sum(np.log(invvar[used])) + np.sum(np.log(own)) + used.sum() * refined
    rows = table.reshape(REACH + 1, WIDTH, -1)
    return Whitening(stamp, index, rows, polish, np.asarray(logs))


def _known_neighbours(used: np.ndarray) -> np.ndarray:
    """Of each used pixel (K, used), whether the neighbours at `OFFSETS` are used."""
    ny, nx = used.shape
    around = np.pad(used, ((REACH, 0), (REACH, REACH)))
    shifted = [around[REACH + dy : REACH + dy + ny, REACH + dx : REACH + dx + nx][used] for dy, dx in OFFSETS]
    return np.stack(shifted)


def _coefficients(stamp: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Coefficients (patterns, K + 1), a pixel's own last, from which neighbours are known (patterns, K)."""
    among = correlation_at(stamp, OFFSETS[:, None] - OFFSETS)
    here = correlation_at(stamp, OFFSETS) * known
    both = known[:, :, None] & known[:, None, :]
    weights = np.linalg.solve(np.where(both, among, np.eye(len(OFFSETS))), here[:, :, None])[:, :, 0]
    scatter = np.sqrt(1 - np.sum(weights * here, axis=1, keepdims=True))
    return np.concatenate([-weights, np.ones_like(scatter)], axis=1) / scatter


def correlation_at(stamp: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Correlation at lags (..., 2) in pixels, (y, x); 0 beyond the stamp."""
    reach = np.array(stamp.shape) // 2
    inside = np.all(np.abs(lags) <= reach, axis=-1)
    y, x = np.moveaxis(np.clip(lags, -reach, reach) + reach, -1, 0)
    return np.where(inside, stamp[y, x], 0.0)


def _gain(stamp: np.ndarray) -> np.ndarray:
    """M of the prediction far from borders, by frequency: the power spectrum of predicted noise, 1 where it is white."""
    row = _coefficients(stamp, np.ones((1, len(OFFSETS)), bool))[0]
    kernel = np.zeros((_LATTICE, _LATTICE))
    for (dy, dx), value in zip((*OFFSETS, (0, 0)), row, strict=True):
        kernel[-dy % _LATTICE, -dx % _LATTICE] += value
    return power_spectrum(stamp, (_LATTICE, _LATTICE)) * np.abs(np.fft.rfft2(kernel)) ** 2


def _polish(gain: np.ndarray) -> np.ndarray:
    """Coefficients of q in powers of M - 1, as few as give q^2 M = 1 at low frequencies, where light is, and on average."""
    frequency = np.hypot(np.fft.fftfreq(_LATTICE)[:, None], np.fft.rfftfreq(_LATTICE)).ravel()
    each = np.tile(np.r_[1.0, np.full(_LATTICE // 2 - 1, 2.0), 1.0], _LATTICE) / _LATTICE**2
    light = np.exp(-0.5 * (frequency / 0.12) ** 2) / (frequency + 0.02) * each
    weight = light / light.sum() + 0.02 * each
    found = np.ones(1)
    for steps in range(1 + _MOST_STEPS):
        powers = (gain.ravel()[:, None] - 1) ** np.arange(1 + steps) * np.sqrt(gain.ravel())[:, None]
        if steps:
            found = _fit_unit_square(powers, weight, each)
        if np.sum(weight * (np.abs(powers @ found) - 1) ** 2) < _GOOD**2 * weight.sum():
            break
    return found


def _fit_unit_square(powers: np.ndarray, weight: np.ndarray, each: np.ndarray) -> np.ndarray:
    """Coefficients with which (powers @ c)^2 is 1: weighted, and strictly so in the mean over `each`, for chi-squared."""
    root, strict = np.sqrt(weight), 30.0
    found = np.linalg.lstsq(powers * root[:, None], root)[0]
    for _ in range(20):
        value = powers @ found
        slope = 2 * value[:, None] * powers
        rows = np.concatenate([slope * root[:, None], strict * (each @ slope)[None]])
        found = found + np.linalg.lstsq(rows, np.r_[(1 - value**2) * root, strict * (1 - each @ value**2)])[0]
    return found


def power_spectrum(stamp: Any, shape: tuple[int, int]) -> Any:
    """Power (ny, nx // 2 + 1) of noise of this correlation and unit variance, on the frequencies of `rfft2`."""
    phases = []
    for size, count, frequencies in zip(stamp.shape, shape, (np.fft.fftfreq, np.fft.rfftfreq), strict=True):
        lags = np.arange(size) - size // 2
        phases.append(2 * np.pi * frequencies(count)[:, None] * lags)
    even, odd = ([wave(phase).astype(stamp.dtype) for phase in phases] for wave in (np.cos, np.sin))
    with jax.default_matmul_precision("highest"):
        return even[0] @ stamp @ even[1].T - odd[0] @ stamp @ odd[1].T


def whiten(whitening: Whitening, invvar: Any, departure: Any) -> jax.Array:
    """Departures from the mean (..., ny, nx), nJy, as numbers that scatter independently by 1; 0 where without weight.

    `whitening` and `invvar` may have a leading axis of images, which then is the departure's third from the end.
    """
    return _of_each(_whiten_one, whitening, invvar, departure)


whitened = quick_jit(whiten)


@jax.custom_jvp
def chi_squared(whitening: Whitening, invvar: Any, departure: Any) -> jax.Array:
    """The sum (...) of the squares of what `whiten` gives; its derivative is by the departure only."""
    return jnp.sum(whiten(whitening, invvar, departure) ** 2, axis=(-2, -1))


@chi_squared.defjvp
def _chi_squared_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    whitening, invvar, departure = primals
    independent = whiten(whitening, invvar, departure)
    slope = 2 * _of_each(_whiten_transposed_one, whitening, invvar, independent)
    return jnp.sum(independent**2, axis=(-2, -1)), jnp.sum(slope * tangents[2], axis=(-2, -1))


def _of_each(function: Any, whitening: Whitening, invvar: Any, pixels: Any) -> jax.Array:
    """A function of one image's pixels (ny, nx), of each of them."""
    pixels = jnp.asarray(pixels)
    if invvar.ndim == 3:
        # one image after the other: tables of many at once would not fit the cache
        images = whitening, jnp.asarray(invvar), jnp.moveaxis(pixels, -3, 0)
        return jnp.moveaxis(jax.lax.map(lambda image: _of_each(function, *image), images), 0, -3)
    if pixels.ndim > 2:
        return jax.vmap(lambda one: _of_each(function, whitening, invvar, one))(pixels)
    as_pixels = partial(jnp.asarray, dtype=pixels.dtype)
    operator = whitening._replace(
        stamp=as_pixels(whitening.stamp),
        index=jnp.asarray(whitening.index),
        table=as_pixels(whitening.table),
        polish=as_pixels(whitening.polish),
    )
    return function(operator, jnp.sqrt(as_pixels(invvar)), pixels)


def _whiten_one(whitening: Whitening, root: Any, departure: Any) -> jax.Array:
    return _polished(whitening, _predict(whitening, jnp.where(whitening.index > 0, root * departure, 0.0)))


def _whiten_transposed_one(whitening: Whitening, root: Any, pixels: Any) -> jax.Array:
    return root * _predict_transposed(whitening, _polished(whitening, pixels))


def _polished(whitening: Whitening, pixels: Any) -> jax.Array:
    """q(M) pixels."""
    term, found = pixels, whitening.polish[0] * pixels
    for coefficient in whitening.polish[1:]:
        before = _correlate(whitening.stamp, _predict_transposed(whitening, term))
        term = _predict(whitening, before) - term
        found = found + coefficient * term
    return found


def _predict(whitening: Whitening, pixels: Any) -> jax.Array:
    """A pixels (ny, nx): each over its scatter, less its prediction."""
    ny, nx = pixels.shape
    around = jnp.pad(pixels, ((REACH, 0), (REACH, REACH)))

    def add_row(i, found):
        above = jax.lax.dynamic_slice_in_dim(around, i, ny)
        for j in range(WIDTH):
            found = found + _at(whitening.table[i, j], whitening.index) * above[:, j : j + nx]
        return found

    # a loop, as XLA would otherwise make what comes before a part of this, and do it over for every neighbour
    return jax.lax.fori_loop(0, REACH + 1, add_row, jnp.zeros_like(pixels))


def _predict_transposed(whitening: Whitening, pixels: Any) -> jax.Array:
    """A^T pixels (ny, nx)."""
    ny, nx = pixels.shape
    room = ((0, REACH), (REACH, REACH))
    around, index = jnp.pad(pixels, room), jnp.pad(whitening.index, room)

    def add_row(i, found):
        below, patterns = (jax.lax.dynamic_slice_in_dim(a, REACH - i, ny) for a in (around, index))
        for j in range(WIDTH):
            there = slice(WIDTH - 1 - j, WIDTH - 1 - j + nx)
            found = found + _at(whitening.table[i, j], patterns[:, there]) * below[:, there]
        return found

    return jax.lax.fori_loop(0, REACH + 1, add_row, jnp.zeros_like(pixels))


def _at(row: Any, index: Any) -> jax.Array:
    return row.at[index].get(mode="promise_in_bounds")


def _correlate(stamp: Any, pixels: Any) -> jax.Array:
    """The correlation's product with pixels (ny, nx)."""
    shape = _lattice(pixels.shape, stamp.shape)
    ny, nx = pixels.shape
    modes = jnp.fft.rfft2(pixels, shape)
    return jnp.fft.irfft2(power_spectrum(stamp, shape).astype(modes.dtype) * modes, shape)[:ny, :nx]


def _lattice(shape: tuple, stamp: tuple) -> tuple[int, int]:
    """A lattice on which pixels of an image at opposite borders are further apart than noise correlates."""
    least = (n + s // 2 for n, s in zip(shape, stamp, strict=True))
    ny, nx = (cast(int, next_fast_len(n, real=True)) for n in least)
    return ny, nx


def draw_correlated(key: Any, whitening: Whitening, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Noise (..., ny, nx) of unit variance and of exactly these correlations, used pixels or not."""
    if whitening.stamp.ndim == 3:
        keys = jax.random.split(key, shape[-3])
        rest = (*shape[:-3], *shape[-2:])
        return jax.vmap(lambda k, w: draw_correlated(k, w, rest, dtype), out_axes=-3)(keys, whitening)
    *before, ny, nx = shape
    stamp = jnp.asarray(whitening.stamp, dtype)
    lattice = _lattice((ny, nx), stamp.shape)
    root = jnp.sqrt(jnp.maximum(power_spectrum(stamp, lattice), 0.0))
    white = jnp.fft.rfft2(jax.random.normal(key, (*before, *lattice), dtype))
    root = jnp.broadcast_to(root.astype(white.dtype), white.shape)
    return jnp.fft.irfft2(root * white, lattice)[..., :ny, :nx]
