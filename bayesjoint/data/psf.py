"""Point-spread functions and their optical transfer functions on an image's Fourier lattice.

Every PSF answers `transfer(kx, ky, jacobian)`: the transfer function of the *effective* PSF (pixel response
included) at pixel frequencies kx, ky (radians per pixel), where `jacobian` is d(x, y)/d(east, north) in
pixels per arcsec.
"""

from __future__ import annotations

import numbers
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
UNDERSAMPLED_FWHM = 2.5
NEGLIGIBLE_TRANSFER = 3e-7


def pixel_response(kx, ky) -> np.ndarray:
    """Transfer function of a square pixel: sinc(kx/2 pi) sinc(ky/2 pi)."""
    return np.sinc(kx / (2 * np.pi)) * np.sinc(ky / (2 * np.pi))


def _sky_frequency(kx, ky, jacobian) -> np.ndarray:
    """Angular frequency on the sky, radians per arcsec, of pixel frequencies: |J^T k|."""
    east = jacobian[0, 0] * kx + jacobian[1, 0] * ky
    north = jacobian[0, 1] * kx + jacobian[1, 1] * ky
    return np.hypot(east, north)


def _positive(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < np.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)


@dataclass(frozen=True)
class GaussianPSF:
    """Circular Gaussian PSF, before the pixel; see `gaussian_psf`."""

    fwhm: float

    def transfer(self, kx, ky, jacobian) -> np.ndarray:
        """Effective transfer function at pixel frequencies (real)."""
        sigma = self.fwhm / FWHM_PER_SIGMA
        return np.exp(-0.5 * (sigma * _sky_frequency(kx, ky, jacobian)) ** 2) * pixel_response(kx, ky)

    def half_width(self, pixel_scale: float) -> float:
        """Half the width, in pixels, of the square outside which the PSF is negligible."""
        return 5.5 * self.fwhm / FWHM_PER_SIGMA / pixel_scale


@dataclass(frozen=True)
class MoffatPSF:
    """Circular Moffat PSF, before the pixel; see `moffat_psf`."""

    fwhm: float
    beta: float

    def transfer(self, kx, ky, jacobian) -> np.ndarray:
        """Effective transfer function at pixel frequencies (real).

        With alpha the core radius: 2 (k alpha/2)^(beta-1) K_(beta-1)(k alpha) / Gamma(beta-1).
        """
        alpha = self.fwhm / (2 * np.sqrt(2 ** (1 / self.beta) - 1))
        order = self.beta - 1
        x = np.maximum(alpha * _sky_frequency(kx, ky, jacobian), 1e-10)
        log_optical = (
            np.log(2) + order * np.log(x / 2) + np.log(special.kve(order, x)) - x - special.gammaln(order)
        )
        return np.where(x > 1e-6, np.exp(log_optical), 1.0) * pixel_response(kx, ky)

    def half_width(self, pixel_scale: float) -> float:
        """Half the width, in pixels, of the square that holds all but 1e-4 of the flux (at most 10 FWHM)."""
        alpha = self.fwhm / (2 * np.sqrt(2 ** (1 / self.beta) - 1))
        widest = 10 * self.fwhm
        outside = (1 + (widest / alpha) ** 2) ** (1 - self.beta)  # flux beyond it
        radius = widest if outside > 1e-4 else alpha * np.sqrt(1e-4 ** (1 / (1 - self.beta)) - 1)
        return radius / pixel_scale


def gaussian_psf(fwhm: float) -> GaussianPSF:
    """Gaussian PSF of `fwhm` arcsec, without the pixel: each image adds its own.

    Examples
    --------
    >>> gaussian_psf(1.12)
    GaussianPSF(fwhm=1.12)
    """
    return GaussianPSF(_positive(fwhm, "the PSF's FWHM (arcsec)"))


def moffat_psf(fwhm: float, beta: float) -> MoffatPSF:
    """Moffat PSF of `fwhm` arcsec and exponent `beta` > 1, without the pixel: each image adds its own.

    Examples
    --------
    >>> moffat_psf(0.9, 3.5)
    MoffatPSF(fwhm=0.9, beta=3.5)
    """
    beta = _positive(beta, "the Moffat PSF's beta")
    if beta <= 1:
        raise ValueError(f"a Moffat PSF needs beta > 1 to hold a finite flux, got {beta}")
    return MoffatPSF(_positive(fwhm, "the PSF's FWHM (arcsec)"), beta)


class PSF:
    """PSF given as a stamp of pixels.

    Parameters
    ----------
    stamp : array (ny, nx)
        Samples of the PSF, centred on the middle of the array (between pixels where its size is even),
        normalised to sum 1 on entry, with a warning when the sum was off by over 1 %.
    oversampling : int
        Samples per image pixel along each axis.
    includes_pixel : bool
        True for an effective PSF, as measured on stars; False when the pixel's response is still to be
        applied.

    Raises
    ------
    ValueError
        For a stamp that is not two-dimensional, holds NaN, or sums to zero or less.

    Examples
    --------
    >>> y, x = np.mgrid[-12:13, -12:13]
    >>> stamp = np.exp(-(x**2 + y**2) / (2 * 1.8**2))
    >>> psf = PSF(stamp / stamp.sum())
    >>> print(f"{psf.fwhm_pixels:.2f}")
    4.22
    """

    def __init__(self, stamp, oversampling: int = 1, includes_pixel: bool = True):
        stamp = np.array(stamp, dtype=float)
        if stamp.ndim != 2:
            raise ValueError(f"a PSF stamp must have two dimensions, got shape {stamp.shape}")
        if not np.all(np.isfinite(stamp)):
            raise ValueError(
                f"the PSF stamp has {np.sum(~np.isfinite(stamp))} NaN or infinite pixels: "
                "replace them (by 0 in the wings) before giving it"
            )
        if oversampling != int(oversampling) or oversampling < 1:
            raise ValueError(f"oversampling must be a whole number from 1 on, got {oversampling!r}")
        total = stamp.sum()
        if total <= 0:
            raise ValueError(
                f"the PSF stamp sums to {total:.4g}; a PSF's sum must be positive (1 when normalised)"
            )
        if abs(total - 1) > 0.01:
            warnings.warn(f"the PSF stamp summed to {total:.4g}; it was normalised to 1", stacklevel=2)
        self.stamp = stamp / total
        self.oversampling = int(oversampling)
        self.includes_pixel = bool(includes_pixel)
        if self.oversampling == 1 and self.fwhm_pixels < UNDERSAMPLED_FWHM:
            warnings.warn(
                f"the PSF stamp has a FWHM of {self.fwhm_pixels:.2f} pixels and is not oversampled: its "
                "aliasing limits the model's accuracy to about 1e-3 of the peak; give an oversampled or "
                "analytic PSF",
                stacklevel=2,
            )

    def __repr__(self) -> str:
        ny, nx = self.stamp.shape
        pixel = "pixel included" if self.includes_pixel else "without the pixel"
        return f"PSF({nx}x{ny}, FWHM {self.fwhm_pixels:.2f} px, oversampling {self.oversampling}, {pixel})"

    @property
    def fwhm_pixels(self) -> float:
        """Full width at half maximum in image pixels, from the number of samples over half the maximum.

        The circle of that area; the maximum and the count come from a parabola through the core, sampled 5
        times finer.
        """
        fine = _interpolate_core(self.stamp)
        return 2 * np.sqrt(np.sum(fine > fine.max() / 2) / np.pi) / 5 / self.oversampling

    def transfer(self, kx, ky, jacobian) -> np.ndarray:
        """Effective transfer function (complex) on the grid of pixel frequencies kx (1, nx), ky (ny, 1).

        The stamp's discrete-time Fourier transform, cut at the stamp's own Nyquist frequency.
        """
        ny, nx = self.stamp.shape
        x, y = ((np.arange(n) - (n - 1) / 2) / self.oversampling for n in (nx, ny))
        along_x = np.exp(-1j * x[:, None] * np.ravel(kx))
        along_y = np.exp(-1j * np.ravel(ky)[:, None] * y)
        otf = along_y @ self.stamp @ along_x
        nyquist = np.pi * self.oversampling * (1 + 1e-9)
        otf = np.where((np.abs(kx) <= nyquist) & (np.abs(ky) <= nyquist), otf, 0)
        return otf if self.includes_pixel else otf * pixel_response(kx, ky)

    def half_width(self, pixel_scale: float) -> float:
        """Half the stamp's width in image pixels."""
        return max(self.stamp.shape) / 2 / self.oversampling


def _interpolate_core(stamp: np.ndarray, finer: int = 5) -> np.ndarray:
    """The stamp's core resampled `finer` times by zero-padding its Fourier transform."""
    y, x = np.unravel_index(np.argmax(stamp), stamp.shape)
    reach = 24
    core = stamp[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    ny, nx = core.shape
    spectrum = np.fft.fftshift(np.fft.fft2(core))
    my, mx = finer * ny, finer * nx
    padded = np.zeros((my, mx), complex)
    top, left = my // 2 - ny // 2, mx // 2 - nx // 2
    padded[top : top + ny, left : left + nx] = spectrum
    return np.fft.ifft2(np.fft.ifftshift(padded)).real * finer**2


def fwhm_arcsec(psf: GaussianPSF | MoffatPSF | PSF, pixel_scale: float) -> float:
    """The FWHM of any PSF in arcsec (of a stamp: effective, pixel included)."""
    return psf.fwhm_pixels * pixel_scale if isinstance(psf, PSF) else psf.fwhm


def folded_transfer(
    psf, fft_shape: tuple[int, int], jacobian
) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """Transfer function on the half-plane lattice of `fft_shape`, with the folded orders that matter.

    A pixel grid folds the frequencies k + 2 pi j onto k. For an analytic or oversampled PSF that is narrow in
    pixels these orders carry signal: the smallest of `FOLDED_ORDERS` is taken that leaves out no transfer over 3e-7.

    Parameters
    ----------
    psf : PSF, GaussianPSF or MoffatPSF
    fft_shape : (ny, nx)
    jacobian : array (2, 2)
        d(x, y)/d(east, north), pixels per arcsec.

    Returns
    -------
    transfer : array (orders, ny, nx // 2 + 1)
        Real for analytic PSFs, else complex.
    orders : tuple of (jx, jy)
        The order of each; (0, 0) first.
    """
    ny, nx = fft_shape
    ky = 2 * np.pi * np.fft.fftfreq(ny)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(nx)[None, :]
    reach = 0 if _is_native(psf) else (psf.oversampling // 2 if isinstance(psf, PSF) else 3)
    found: dict[tuple[int, int], np.ndarray] = {}
    needed: set[tuple[int, int]] = set()
    for ring in FOLDED_ORDERS:
        new = [(jx, jy) for jx, jy in ring if (jx, jy) not in found and max(-jx, abs(jy)) <= reach]
        for jx, jy in new:
            found[jx, jy] = psf.transfer(kx + 2 * np.pi * jx, ky + 2 * np.pi * jy, jacobian)
        carry = {order for order in new if np.abs(found[order]).max() > NEGLIGIBLE_TRANSFER}
        if not carry:
            break
        needed |= carry
    orders = next(orders for orders in FOLDED_ORDERS if needed <= set(orders))
    zero = np.zeros_like(found[0, 0])
    return np.stack([found.get(order, zero) for order in orders]), orders


def _nested_orders() -> tuple[tuple[tuple[int, int], ...], ...]:
    """Sets of orders, each within the next, so that images of about the same seeing share compiled programs.

    On the half-plane kx runs from 0 to pi: order jx = -1 folds it to -2 pi to -pi.
    """
    rings = [sorted((jx, jy) for jx in range(-r, r) for jy in range(-r, r + 1)) for r in (1, 2, 3)]
    alone, cross = [(0, 0)], [(0, 0), (-1, 0), (0, -1), (0, 1)]
    return tuple(tuple(sorted(each, key=lambda j: (j != (0, 0), j))) for each in (alone, cross, *rings))


FOLDED_ORDERS = _nested_orders()


def core_covariance(transfer: np.ndarray, fft_shape: tuple[int, int]) -> np.ndarray:
    """Covariance (2, 2) of an effective PSF, pixels^2, from its transfer (ny, nx // 2 + 1) at the lowest frequencies."""
    ny, nx = fft_shape
    kx, ky = 2 * np.pi / nx, 2 * np.pi / ny
    lowest = transfer[0, 1], transfer[1, 0], transfer[1, 1], transfer[-1, 1]
    x, y, both, across = -np.log(np.abs(lowest))
    cross = (both - across) / (2 * kx * ky)
    return np.array([[2 * x / kx**2, cross], [cross, 2 * y / ky**2]])


def _is_native(psf) -> bool:
    return isinstance(psf, PSF) and psf.oversampling == 1
