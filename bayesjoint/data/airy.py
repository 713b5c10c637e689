"""Diffraction by a telescope's aperture: the PSF that space leaves, with its wings."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesjoint.data.analytic_psf import WIDEST, AnalyticPSF, falling_root, positive

ARCSEC_PER_RADIAN = np.degrees(1) * 3600
LONGEST = 100.0  # micron: shorter in nanometres is not light that telescopes see


@dataclass(frozen=True)
class AiryPSF(AnalyticPSF):
    """Diffraction of a round, centrally obscured aperture, before the pixel; see `airy_psf`."""

    wavelength: float
    diameter: float
    obscuration: float = 0.0

    @property
    def lambda_over_diameter(self) -> float:
        """Wavelength over diameter, arcsec."""
        return 1e-6 * self.wavelength / self.diameter * ARCSEC_PER_RADIAN

    def optical(self, k) -> np.ndarray:
        """The pupil's overlap with itself shifted, over its area: zero from k = 2 pi D/lambda on.

        O'Neill (1956, JOSA 46, 285); Goodman, Introduction to Fourier Optics, section 6.4.
        """
        inner, shift = self.obscuration, k * self.lambda_over_diameter / np.pi  # radii of the pupil
        overlap = _overlap(1, 1, shift)
        if inner:
            overlap = overlap - 2 * _overlap(1, inner, shift) + _overlap(inner, inner, shift)
        return overlap / (np.pi * (1 - inner**2))

    @property
    def fwhm(self) -> float:
        """FWHM, arcsec, before the pixel: 1.029 lambda/D without obscuration, less with one."""

        def amplitude(x: float, radius: float = 1.0) -> float:
            return 2 * radius**2 * float(special.j1(radius * x)) / (radius * x)

        def over_half(x: float) -> float:
            inner = self.obscuration
            seen = amplitude(x) - (amplitude(x, inner) if inner else 0.0)
            return seen / (1 - inner**2) - np.sqrt(0.5)

        return 2 * falling_root(over_half, 1e-6, 2.4) * self.lambda_over_diameter / np.pi

    def extent(self) -> float:
        """Radius, arcsec, of 10 FWHM: the wings fall as r^-3 only, and hold 1/r of the flux beyond r."""
        return WIDEST * self.fwhm


def airy_psf(wavelength: float, diameter: float, obscuration: float = 0.0) -> AiryPSF:
    """Diffraction-limited PSF of a round aperture, without the pixel: each image adds its own.

    Parameters
    ----------
    wavelength : float
        Micron.
    diameter : float
        Of the aperture, metre.
    obscuration : float
        Diameter of the central obscuration over that of the aperture, from 0 to below 1.

    Raises
    ------
    ValueError
        For a wavelength or diameter that is not positive, or an obscuration outside 0 <= obscuration < 1.

    Notes
    -----
    A bandpass is drawn as its effective wavelength, and spider arms not at all.

    Examples
    --------
    >>> psf = airy_psf(0.8, 2.4, obscuration=0.33)
    >>> print(f'{psf.lambda_over_diameter:.4f}" {psf.fwhm:.4f}"')
    0.0688" 0.0668"
    """
    given = isinstance(obscuration, numbers.Real) and not isinstance(obscuration, bool)
    if not (given and 0 <= obscuration < 1):
        raise ValueError(
            "obscuration is the diameter of the central obscuration over that of the aperture: wanted a "
            f"number from 0 to below 1, got {obscuration!r}"
        )
    wavelength = positive(wavelength, "the wavelength (micron)")
    if wavelength > LONGEST:
        raise ValueError(
            f"the wavelength must be given in micron, up to {LONGEST:g}, got {wavelength:g}: divide nanometres by 1000"
        )
    return AiryPSF(wavelength, positive(diameter, "the aperture's diameter (m)"), float(obscuration))


def _overlap(a: float, b: float, distance) -> np.ndarray:
    """Area common to two discs of radii `a` and `b` whose centres lie `distance` apart."""
    distance = np.asarray(distance, dtype=float)
    within, apart = distance <= abs(a - b), distance >= a + b
    d = np.where(within | apart, max(a, b), distance)
    to_chord = (d**2 + a**2 - b**2) / (2 * d)
    sectors = a**2 * np.arccos(np.clip(to_chord / a, -1, 1)) + b**2 * np.arccos(
        np.clip((d - to_chord) / b, -1, 1)
    )
    lens = sectors - d * np.sqrt(np.maximum(a**2 - to_chord**2, 0))
    return np.where(within, np.pi * min(a, b) ** 2, np.where(apart, 0.0, lens))
