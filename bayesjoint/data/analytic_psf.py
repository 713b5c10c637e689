"""PSFs in closed form: round on the sky, in arcsec, before the pixel, which each image adds.

A family is a frozen dataclass with the FWHM, the extent and the transfer function `optical(k)` on the sky.
"""

from __future__ import annotations

import numbers
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from bayesjoint.data.transfer import PointSpread, pixel_response

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
WIDEST = 10  # FWHM


class AnalyticPSF(PointSpread):
    """A round PSF on the sky, before the pixel.

    Attributes
    ----------
    fwhm : float
        Arcsec; of each family a field or a property.
    """

    fwhm: Any

    @abstractmethod
    def optical(self, k: np.ndarray) -> np.ndarray:
        """Transfer function (real, 1 at zero) at k radians per arcsec, without the pixel."""

    @abstractmethod
    def extent(self) -> float:
        """Radius, arcsec, outside which the PSF is negligible."""

    def transfer(self, kx, ky, jacobian) -> np.ndarray:
        """Effective transfer function at pixel frequencies (real)."""
        return self.optical(_sky_frequency(kx, ky, jacobian)) * pixel_response(kx, ky)

    def fwhm_arcsec(self, pixel_scale: float) -> float:
        """FWHM in arcsec, before the pixel."""
        return self.fwhm

    def half_width(self, pixel_scale: float) -> float:
        """Half the width, in pixels, of the square outside which the PSF is negligible."""
        return self.extent() / pixel_scale


@dataclass(frozen=True)
class GaussianPSF(AnalyticPSF):
    """Circular Gaussian PSF, before the pixel; see `gaussian_psf`."""

    fwhm: float

    def optical(self, k) -> np.ndarray:
        """exp(-sigma^2 k^2 / 2)."""
        return np.exp(-0.5 * (self.fwhm / FWHM_PER_SIGMA * k) ** 2)

    def extent(self) -> float:
        """Where the PSF falls to 3e-7 of its peak, arcsec."""
        return 5.5 * self.fwhm / FWHM_PER_SIGMA


@dataclass(frozen=True)
class MoffatPSF(AnalyticPSF):
    """Circular Moffat PSF, before the pixel; see `moffat_psf`."""

    fwhm: float
    beta: float

    @property
    def alpha(self) -> float:
        """Core radius, arcsec."""
        return self.fwhm / (2 * np.sqrt(2 ** (1 / self.beta) - 1))

    def optical(self, k) -> np.ndarray:
        """2 (k alpha/2)^(beta-1) K_(beta-1)(k alpha) / Gamma(beta-1), with alpha the core radius."""
        order = self.beta - 1
        x = np.maximum(self.alpha * k, 1e-10)
        log_optical = (
            np.log(2) + order * np.log(x / 2) + np.log(special.kve(order, x)) - x - special.gammaln(order)
        )
        return np.where(x > 1e-6, np.exp(log_optical), 1.0)

    def extent(self) -> float:
        """Radius, arcsec, that holds all but 1e-4 of the flux (at most 10 FWHM)."""
        widest = WIDEST * self.fwhm
        outside = (1 + (widest / self.alpha) ** 2) ** (1 - self.beta)  # flux beyond it
        return widest if outside > 1e-4 else self.alpha * np.sqrt(1e-4 ** (1 / (1 - self.beta)) - 1)


@dataclass(frozen=True)
class GaussianMixturePSF(AnalyticPSF):
    """Sum of circular Gaussians, before the pixel; see `gaussian_mixture_psf`."""

    fwhms: tuple[float, ...]
    fractions: tuple[float, ...]

    def optical(self, k) -> np.ndarray:
        """Sum of fraction exp(-sigma^2 k^2 / 2)."""
        terms = zip(self.fwhms, self.fractions, strict=True)
        return sum((part * GaussianPSF(fwhm).optical(k) for fwhm, part in terms), np.zeros_like(k))

    @property
    def fwhm(self) -> float:
        """FWHM of the sum, arcsec, before the pixel."""
        if min(self.fwhms) == max(self.fwhms):
            return self.fwhms[0]
        sigma = np.array(self.fwhms) / FWHM_PER_SIGMA
        peak = np.array(self.fractions) / sigma**2

        def over_half(r: float) -> float:
            return float(np.sum(peak * (np.exp(-0.5 * (r / sigma) ** 2) - 0.5)))

        return 2 * falling_root(over_half, min(self.fwhms) / 2, max(self.fwhms) / 2)

    def extent(self) -> float:
        """Where the widest Gaussian falls to 3e-7 of its own peak, arcsec."""
        return max(GaussianPSF(fwhm).extent() for fwhm in self.fwhms)


def gaussian_psf(fwhm: float) -> GaussianPSF:
    """Gaussian PSF of `fwhm` arcsec, without the pixel: each image adds its own.

    Examples
    --------
    >>> gaussian_psf(1.12)
    GaussianPSF(fwhm=1.12)
    """
    return GaussianPSF(positive(fwhm, "the PSF's FWHM (arcsec)"))


def moffat_psf(fwhm: float, beta: float) -> MoffatPSF:
    """Moffat PSF of `fwhm` arcsec and exponent `beta` > 1, without the pixel: each image adds its own.

    Examples
    --------
    >>> moffat_psf(0.9, 3.5)
    MoffatPSF(fwhm=0.9, beta=3.5)
    """
    beta = positive(beta, "the Moffat PSF's beta")
    if beta <= 1:
        raise ValueError(
            f"a Moffat PSF holds a finite flux only with beta > 1, got beta {beta:g}: give a larger one (seeing has "
            "2.5 to 4.8)"
        )
    return MoffatPSF(positive(fwhm, "the PSF's FWHM (arcsec)"), beta)


def gaussian_mixture_psf(fwhms: Sequence[float], fractions: Sequence[float]) -> GaussianMixturePSF:
    """Sum of round Gaussian PSFs, without the pixel: each image adds its own.

    Parameters
    ----------
    fwhms : sequence of float
        FWHM of each Gaussian, arcsec.
    fractions : sequence of float
        Fraction of the flux in each, positive; normalised to sum 1, with a warning when the sum was off by over
        1 %. With negative ones the sum might fall below zero, or through half its maximum more than once.

    Raises
    ------
    ValueError
        For no Gaussians, as many fractions as there are not widths, or numbers that are not positive.

    Examples
    --------
    >>> psf = gaussian_mixture_psf([0.9, 2.2], [0.85, 0.15])
    >>> psf
    GaussianMixturePSF(fwhms=(0.9, 2.2), fractions=(0.85, 0.15))
    >>> print(f"{psf.fwhm:.4f}")
    0.9149
    """
    widths = tuple(
        positive(fwhm, "each FWHM of a mixture (arcsec)") for fwhm in np.atleast_1d(fwhms).tolist()
    )
    parts = [
        positive(part, "each fraction of a mixture (of the flux)")
        for part in np.atleast_1d(fractions).tolist()
    ]
    if len(widths) != len(parts) or not widths:
        raise ValueError(
            f"a mixture needs one fraction of the flux for each FWHM, got {len(widths)} FWHMs and "
            f"{len(parts)} fractions"
        )
    total = sum(parts)
    if abs(total - 1) > 0.01:
        warnings.warn(
            f"the mixture's fractions summed to {total:.4g}; they were normalised to 1", stacklevel=2
        )
    return GaussianMixturePSF(widths, tuple(part / total for part in parts))


def _sky_frequency(kx, ky, jacobian) -> np.ndarray:
    """Angular frequency on the sky, radians per arcsec, of pixel frequencies: |J^T k|."""
    east = jacobian[0, 0] * kx + jacobian[1, 0] * ky
    north = jacobian[0, 1] * kx + jacobian[1, 1] * ky
    return np.hypot(east, north)


def positive(value: Any, name: str) -> float:
    """A positive, finite number, of Python, NumPy or JAX; else ValueError."""
    number = value.item() if hasattr(value, "dtype") and np.shape(value) == () else value
    if isinstance(number, bool) or not isinstance(number, numbers.Real) or not 0 < float(number) < np.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(number)


def falling_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls from `low` to `high` passes zero."""
    found: Any = optimize.brentq(function, low, high, xtol=1e-13)
    return float(found)
