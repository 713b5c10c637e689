"""PSFs in closed form: round on the sky, in arcsec, before the pixel, which each image adds.

A family is a frozen dataclass with the FWHM, the extent and the transfer function `optical(k)` on the sky.
"""

from __future__ import annotations

import numbers
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bayesjoint.data.transfer import PointSpread, pixel_response

FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
_WIDEST = 10  # FWHM


class AnalyticPSF(PointSpread):
    """A round PSF on the sky, before the pixel."""

    @abstractmethod
    def optical(self, k: np.ndarray) -> np.ndarray:
        """Transfer function (real, 1 at zero) at k radians per arcsec, without the pixel."""

    @abstractmethod
    def extent(self) -> float:
        """Radius, arcsec, outside which the PSF is negligible."""

    def transfer(self, kx, ky, jacobian) -> np.ndarray:
        """Effective transfer function at pixel frequencies (real)."""
        return self.optical(_sky_frequency(kx, ky, jacobian)) * pixel_response(kx, ky)

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

    def fwhm_arcsec(self, pixel_scale: float) -> float:
        """FWHM in arcsec, before the pixel."""
        return self.fwhm

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

    def fwhm_arcsec(self, pixel_scale: float) -> float:
        """FWHM in arcsec, before the pixel."""
        return self.fwhm

    def extent(self) -> float:
        """Radius, arcsec, that holds all but 1e-4 of the flux (at most 10 FWHM)."""
        widest = _WIDEST * self.fwhm
        outside = (1 + (widest / self.alpha) ** 2) ** (1 - self.beta)  # flux beyond it
        return widest if outside > 1e-4 else self.alpha * np.sqrt(1e-4 ** (1 / (1 - self.beta)) - 1)


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


def _sky_frequency(kx, ky, jacobian) -> np.ndarray:
    """Angular frequency on the sky, radians per arcsec, of pixel frequencies: |J^T k|."""
    east = jacobian[0, 0] * kx + jacobian[1, 0] * ky
    north = jacobian[0, 1] * kx + jacobian[1, 1] * ky
    return np.hypot(east, north)


def _positive(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < np.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)
