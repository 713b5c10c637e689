"""Hankel transforms on radii that are even in the logarithm: of each order two short FFTs with a phase between.

There a function that is smooth but for a cusp at the centre is smooth throughout, and the transform of any order is a
convolution (Talman 1978, J. Comput. Phys. 29, 35; Hamilton 2000, MNRAS 312, 257). For a form whose harmonics in ln r end
before pi / step it is exact but for rounding.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from bayesjoint.light.cells import Cells

CELLS = Cells(first_octave=-16, last_octave=26, bits=4)
_FIRST = -12 * np.log(2)  # ln kappa at which the fine grid starts
_FINER = 2  # of the grid in ln kappa over that in ln r
_STENCIL = 10


class Grid(NamedTuple):
    """Octaves of the radius, and how many radii."""

    lowest: int
    highest: int
    radii: int

    @property
    def step(self) -> float:
        """Of ln r."""
        return float((self.highest - self.lowest) * np.log(2) / self.radii)

    @property
    def omega(self) -> np.ndarray:
        """Frequencies in ln r of all harmonics."""
        return 2 * np.pi * np.arange(self.radii // 2 + 1) / (self.radii * self.step)


@cache
def radii_of(grid: Grid) -> np.ndarray:
    """All radii, (radii,)."""
    return np.exp(grid.lowest * np.log(2) + grid.step * np.arange(grid.radii))


def waves_of(series, grid: Grid) -> jax.Array:
    """Harmonics in ln r of r times functions (orders, parts, radii)."""
    return jnp.fft.rfft(series * radii_of(grid)[None, None], axis=-1) / grid.radii


def hankel(waves, orders: tuple[int, ...], grid: Grid) -> jax.Array:
    """Transforms, over 2 pi, at the ends of all cells but the first, then slopes by kappa^2: (2, orders, parts, cells).

    With f x = sum_w c_w x^(iw), the transform times kappa is sum_w c_w (2/kappa)^(iw) Gamma((1+m+iw)/2) / Gamma((1+m-iw)/2).
    """
    kappa = np.sqrt(CELLS.nodes()[1:])
    waves = waves * _phases(orders, grid)[:, None]
    odd = (np.asarray(orders) % 2)[:, None, None]
    power = np.where(odd, 2.0, 1.0) + 1j * grid.omega  # the transform of each harmonic falls as kappa^-power
    both = jnp.conj(jnp.stack([waves, -0.5 * power * waves]))
    count = _FINER * grid.radii
    fine = jnp.fft.irfft(both, count, axis=-1) * count
    index, weights = _stencil(grid)
    both = jnp.einsum("...cs,cs->...c", fine[..., index], weights, precision="highest")
    both = both / kappa ** (1.0 + odd)[None]
    return jnp.stack([both[0], both[1] / (kappa**2)[None, None]])


def with_zero(both, flux, orders: tuple[int, ...]) -> jax.Array:
    """The same, with the first cell's start before them: there only the zeroth order has light, `flux`."""
    value, slope = both
    # there and next to it slopes differ by nothing that could be seen
    at_zero = value[..., :1] - slope[..., :1] * CELLS.nodes()[1]
    at_zero = jnp.where((np.asarray(orders) % 2 == 1)[:, None, None], 0.0, at_zero).at[0, 0, 0].set(flux)
    return jnp.stack(
        [jnp.concatenate([at_zero, value], axis=-1), jnp.concatenate([slope[..., :1], slope], axis=-1)]
    )


@cache
def _phases(orders: tuple[int, ...], grid: Grid) -> np.ndarray:
    """What each harmonic is turned by, (orders, harmonics), where the grid of ln kappa starts at `_FIRST`."""
    omega = grid.omega
    angle = 2 * special.loggamma((np.asarray(orders)[:, None] + 1 + 1j * omega) / 2).imag
    angle += omega * (np.log(2) - grid.lowest * np.log(2) - _FIRST)
    phase = np.exp(1j * angle)
    phase[:, -1] = phase[:, -1].real
    return phase


@cache
def _stencil(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Places on the fine grid in ln kappa and weights of Lagrange's interpolation, (cells, stencil), at the cells' ends."""
    at = (0.5 * np.log(CELLS.nodes()[1:]) - _FIRST) / (grid.step / _FINER)
    first = np.floor(at).astype(int) - _STENCIL // 2 + 1
    nodes = np.arange(_STENCIL)
    distance = (at - first)[:, None] - nodes
    weights = np.stack(
        [
            np.prod(np.delete(distance, j, axis=1) / (j - np.delete(nodes, j)), axis=1)
            for j in range(_STENCIL)
        ],
        axis=1,
    )
    return first[:, None] + nodes, weights
