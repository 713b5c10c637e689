"""Optical transfer functions on an image's Fourier lattice: what every PSF answers, and the folded orders.

Every PSF answers `transfer(kx, ky, jacobian)`: the transfer function of the *effective* PSF (pixel response
included) at pixel frequencies kx, ky (radians per pixel), where `jacobian` is d(x, y)/d(east, north) in
pixels per arcsec.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

NEGLIGIBLE_TRANSFER = 3e-7
MAX_ORDER = 3
_COARSE = 1e-4


class PointSpread(ABC):
    """What an image asks of its PSF; a family of PSFs is a class that answers it.

    Attributes
    ----------
    includes_pixel : bool
        Whether the FWHM that it tells is that of the effective PSF, with the pixel in it.
    """

    includes_pixel: bool = False

    @property
    def max_order(self) -> float:
        """The highest folded order that the PSF knows: infinite in closed form, 0 sampled as the image is."""
        return np.inf

    @abstractmethod
    def transfer(self, kx, ky, jacobian) -> np.ndarray:
        """Effective transfer function at pixel frequencies kx, ky (radians per pixel), with the pixel in it."""

    @abstractmethod
    def fwhm_arcsec(self, pixel_scale: float) -> float:
        """FWHM in arcsec, for pixels of `pixel_scale` arcsec."""

    @abstractmethod
    def half_width(self, pixel_scale: float) -> float:
        """Half the width, in pixels of `pixel_scale` arcsec, of the square outside which the PSF is negligible."""


def pixel_response(kx, ky) -> np.ndarray:
    """Transfer function of a square pixel: sinc(kx/2 pi) sinc(ky/2 pi)."""
    return np.sinc(kx / (2 * np.pi)) * np.sinc(ky / (2 * np.pi))


def folded_transfer(
    psf: PointSpread, fft_shape: tuple[int, int], jacobian
) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """Transfer function on the half-plane lattice of `fft_shape`, with the folded orders that matter.

    A pixel grid folds the frequencies k + 2 pi j onto k. For an analytic or oversampled PSF that is narrow in
    pixels these orders carry signal: the smallest of `FOLDED_ORDERS` is taken that leaves out no transfer over 3e-7.

    Parameters
    ----------
    psf : PointSpread
    fft_shape : (ny, nx)
    jacobian : array (2, 2)
        d(x, y)/d(east, north), pixels per arcsec.

    Returns
    -------
    transfer : array (orders, ny, nx // 2 + 1)
        Real for analytic PSFs, else complex; (terms, orders, ...) for a PSF that is a sum of terms.
    orders : tuple of (jx, jy)
        The order of each; (0, 0) first.

    Warns
    -----
    UserWarning
        Where even the largest set leaves out transfer over 1e-4: pixels over 3 lambda/D, a FWHM under 0.4 pixel.
    """
    ny, nx = fft_shape
    ky = 2 * np.pi * np.fft.fftfreq(ny)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(nx)[None, :]
    found: dict[tuple[int, int], np.ndarray] = {}
    needed: set[tuple[int, int]] = set()
    for ring in FOLDED_ORDERS:
        new = _known(psf, ring, found)
        for jx, jy in new:
            found[jx, jy] = psf.transfer(kx + 2 * np.pi * jx, ky + 2 * np.pi * jy, jacobian)
        carry = {order for order in new if np.abs(found[order]).max() > NEGLIGIBLE_TRANSFER}
        if not carry:
            break
        needed |= carry
    else:
        beyond = _known(psf, _ring(MAX_ORDER + 1), found)
        _check_coarse([psf.transfer(kx + 2 * np.pi * j, ky + 2 * np.pi * i, jacobian) for j, i in beyond])
    orders = next(orders for orders in FOLDED_ORDERS if needed <= set(orders))
    zero = np.zeros_like(found[0, 0])
    return np.stack([found.get(order, zero) for order in orders], axis=-3), orders


def _known(psf: PointSpread, ring, found) -> list[tuple[int, int]]:
    """The orders of a ring that are not found yet and that the PSF knows."""
    return [(jx, jy) for jx, jy in ring if (jx, jy) not in found and max(-jx, abs(jy)) <= psf.max_order]


def _check_coarse(beyond: list[np.ndarray]) -> None:
    """Warn where the orders after the last would carry signal; a star then errs by about their largest transfer."""
    left_out = max((float(np.abs(transfer).max()) for transfer in beyond), default=0.0)
    if left_out > _COARSE:
        warnings.warn(
            f"the PSF is so narrow for these pixels that {MAX_ORDER} folded orders do not hold it: a point source errs "
            f"by about {left_out:.1g} of its peak (sources wider than a pixel by less); check the PSF's width, which "
            "is in arcsec (of airy_psf in micron and metre), and the pixel scale",
            stacklevel=2,
        )


def _ring(r: int) -> list[tuple[int, int]]:
    """All orders up to r; on the half-plane kx runs from 0 to pi: order jx = -1 folds it to -2 pi to -pi."""
    return sorted((jx, jy) for jx in range(-r, r) for jy in range(-r, r + 1))


def _nested_orders() -> tuple[tuple[tuple[int, int], ...], ...]:
    """Sets of orders, each within the next, so that images of about the same seeing share compiled programs."""
    rings = [_ring(r) for r in range(1, MAX_ORDER + 1)]
    alone, cross = [(0, 0)], [(0, 0), (-1, 0), (0, -1), (0, 1)]
    return tuple(tuple(sorted(each, key=lambda j: (j != (0, 0), j))) for each in (alone, cross, *rings))


FOLDED_ORDERS = _nested_orders()


def widening(transfer, fft_shape: tuple[int, ...], orders: tuple[tuple[int, int], ...]) -> jax.Array:
    """How a transfer function (..., orders, ny, nx // 2 + 1) changes with the logarithm of its PSF's width, pixels staying.

    That is k . grad T, less what of it is the pixel's; by differences on the lattice, of fourth order where there is room.

    Examples
    --------
    >>> from bayesjoint.data.analytic_psf import gaussian_psf
    >>> transfer, orders = folded_transfer(gaussian_psf(4.0), (64, 64), np.eye(2))
    >>> squares = np.fft.rfftfreq(64) ** 2 + np.fft.fftfreq(64)[:, None] ** 2
    >>> exact = -((2 * np.pi * 4.0) ** 2) / (8 * np.log(2)) * squares * transfer
    >>> print(f"{np.abs(exact).max():.2f} {np.abs(widening(transfer, (64, 64), orders) - exact).max():.4f}")
    0.71 0.0004
    """
    ny, nx = fft_shape
    order_x, order_y = np.array(orders).T
    kx = 2 * np.pi * (np.fft.rfftfreq(nx) + order_x[:, None])[:, None, :]
    ky = 2 * np.pi * (np.fft.fftshift(np.fft.fftfreq(ny)) + order_y[:, None])[:, :, None]
    shifted = jnp.fft.fftshift(jnp.asarray(transfer), axes=-2)
    slopes = ky * _differences(shifted, -2, 2 * np.pi / ny) + kx * _differences(shifted, -1, 2 * np.pi / nx)
    slopes -= (_pixel_slope(kx) + _pixel_slope(ky)) * shifted
    return jnp.fft.ifftshift(slopes, axes=-2)


def _pixel_slope(k: np.ndarray) -> np.ndarray:
    """k times the slope of the logarithm of sinc(k/2 pi); held where that is near 0."""
    half = np.where(np.abs(k) > 1e-6, k / 2, 1.0)
    return np.clip(np.where(np.abs(k) > 1e-6, half / np.tan(half) - 1, 0.0), -10.0, 10.0)


def _differences(values, axis: int, step: float) -> jax.Array:
    """Derivative along an axis: central, of fourth order, and of second order at the ends."""
    gradient: Any = jnp.gradient(values, step, axis=axis)
    near = jnp.moveaxis(gradient, axis, 0)
    moved = jnp.moveaxis(values, axis, 0)
    wide = (moved[4:] - moved[:-4]) / (4 * step)
    return jnp.moveaxis(near.at[2:-2].set((4 * near[2:-2] - wide) / 3), 0, axis)


def core_covariance(transfer: np.ndarray, fft_shape: tuple[int, int]) -> np.ndarray:
    """Covariance (2, 2) of an effective PSF, pixels^2, from its transfer (ny, nx // 2 + 1) at the lowest frequencies."""
    ny, nx = fft_shape
    kx, ky = 2 * np.pi / nx, 2 * np.pi / ny
    lowest = transfer[0, 1], transfer[1, 0], transfer[1, 1], transfer[-1, 1]
    x, y, both, across = -np.log(np.abs(lowest))
    cross = (both - across) / (2 * kx * ky)
    return np.array([[2 * x / kx**2, cross], [cross, 2 * y / ky**2]])
