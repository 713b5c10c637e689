"""How noise of neighbouring pixels correlates: measured on blank sky, and made a correlation that noise can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage, signal

from bayesjoint.data.image_input import same_shape
from bayesjoint.data.noise import blank_sky
from bayesjoint.data.whitening import power_spectrum

FLOOR = 0.01  # least power at any frequency, over the mean
_TOLERATED = 0.02
_SIGNIFICANT = 2.0
_PIXELS_PER_LAG = 20
_ROUNDS = 200


@dataclass(frozen=True, eq=False)
class NoiseCorrelation:
    """Correlation of the noise of pixels by their lag; `np.asarray` gives the coefficients.

    Attributes
    ----------
    coefficients : array (2 reach + 1, 2 reach + 1)
        1 at the middle, point-symmetric; lags in pixels, [y, x].
    errors : array (2 reach + 1, 2 reach + 1)
        Standard error of each.
    pixels : int
        Pixels of blank sky that they rest on.
    """

    coefficients: np.ndarray
    errors: np.ndarray
    pixels: int

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.coefficients, dtype)

    def __repr__(self) -> str:
        y, x = np.array(self.coefficients.shape) // 2
        along = ", ".join(
            f"{self.coefficients[place]:.3f} +- {self.errors[place]:.3f} along {axis}"
            for place, axis in (((y, x + 1), "x"), ((y + 1, x), "y"))
        )
        wide = np.sqrt(self.coefficients.sum())
        wider = f"means of many pixels scatter {wide:.2f} times as much"
        return f"NoiseCorrelation({along}; {wider}; from {self.pixels} pixels)"


def noise_correlation(image: Any, mask: Any = None, reach: int = 3) -> NoiseCorrelation:
    """Correlation of an image's noise, from its blank sky.

    Sources that stand out by 4.5 sigma are left out, with the light connected with them and two pixels around it. What
    the sky does on scales of twenty times the reach is taken away. Products of pairs of blank pixels are weighted by the
    inverse variances; lags that are not told from zero by twice their error count as zero. Last it is made a correlation
    that noise can have: no frequency has less than a hundredth of the mean power. Light too faint to be found counts as
    noise: it correlates, too.

    Parameters
    ----------
    image : Image
    mask : bool array (ny, nx), optional
        True where a pixel is no blank sky, beside those found.
    reach : int
        Largest lag along each axis, pixels.

    Returns
    -------
    NoiseCorrelation
        For `Image(..., noise_correlation=)` or `image.with_noise_correlation(...)`.

    Raises
    ------
    ValueError
        Where too few pixels are blank, or `reach` is no positive whole number.

    Examples
    --------
    >>> import bayesjoint as bj
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.2 / 3600, 0.2 / 3600]
    >>> white = np.random.default_rng(1).normal(size=(121, 121))
    >>> shifted = (white[1:] + white[:-1]) / np.sqrt(2)  # by half a pixel along y
    >>> image = bj.Image(shifted, wcs=wcs, zeropoint=31.4, psf=bj.gaussian_psf(0.8), invvar=np.ones((120, 121)))
    >>> found = noise_correlation(image, reach=1)
    >>> print(f"{found.coefficients[2, 1]:.1f} {abs(found.coefficients[1, 2]):.1f}")
    0.5 0.0
    """
    label = f"image {image.name!r}"
    if isinstance(reach, bool) or not isinstance(reach, int | np.integer) or reach < 1:
        raise ValueError(f"{label}: reach must be a whole number of pixels from 1 on, got {reach!r}")
    data, invvar = np.asarray(image.data), np.asarray(image.invvar)
    blank = _blank(data, invvar > 0, mask, label)
    count, wanted = int(blank.sum()), _PIXELS_PER_LAG * (2 * reach + 1) ** 2
    if count < wanted:
        raise ValueError(
            f"{label}: {count} pixels of blank sky are too few to tell how noise correlates up to {reach} pixels, wanted "
            f"{wanted}: give a larger cutout, a smaller reach, or noise_correlation= as measured elsewhere"
        )
    flat = _flattened(data, invvar * blank, 20 * reach + 1)
    found, errors = _by_lag(np.sqrt(invvar) * flat, blank, reach)
    told = np.where(np.abs(found) > _SIGNIFICANT * errors, found, 0.0)
    return NoiseCorrelation(_possible(told), errors, count)


def _blank(data: np.ndarray, used: np.ndarray, mask: Any, label: str) -> np.ndarray:
    """Used pixels of blank sky that are not masked."""
    if np.ptp(data[used]) == 0:
        raise ValueError(
            f"{label}: noise cannot be told from pixels that are all alike: give data with noise"
        )
    unmasked = np.ones(used.shape, bool)
    if mask is not None:
        unmasked = ~same_shape(mask, used.shape, "mask", label).astype(bool)
    return blank_sky(data, used) & unmasked


def _flattened(data: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Data less their weighted mean in boxes of `size` pixels; 0 where the weight is."""
    sums = [ndimage.uniform_filter(a, size, mode="constant") for a in (data * weight, weight)]
    return np.where(weight > 0, data - sums[0] / np.maximum(sums[1], 1e-12 * weight.max()), 0.0)


def _by_lag(pixels: np.ndarray, blank: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlation coefficients by lag, and their standard errors (Bartlett 1946, J. R. Stat. Soc. Suppl. 8, 27)."""
    ny, nx = pixels.shape
    products, pairs = np.zeros((2, 2 * reach + 1, 2 * reach + 1))
    for dy in range(reach + 1):
        for dx in range(-reach, reach + 1):
            one = slice(dy, ny), slice(max(dx, 0), nx + min(dx, 0))
            other = slice(0, ny - dy), slice(max(-dx, 0), nx + min(-dx, 0))
            both = blank[one] & blank[other]
            for place in ((reach + dy, reach + dx), (reach - dy, reach - dx)):
                products[place] = np.sum((pixels[one] * pixels[other])[both])
                pairs[place] = both.sum()
    found = products / np.maximum(pairs, 1) / (products[reach, reach] / pairs[reach, reach])
    apart = signal.fftconvolve(found, found[::-1, ::-1])  # sum over m of r(m) r(m + k)
    near, twice = apart[reach:-reach, reach:-reach], apart[::2, ::2]
    variance = (1 + 2 * found**2) * np.sum(found**2) + twice - 4 * found * near
    errors = np.sqrt(np.maximum(variance, 0.0) / np.maximum(pairs, 1))
    errors[reach, reach] = 0.0
    return found, errors


def _lattice_of(stamp: np.ndarray) -> tuple[int, int]:
    """Fine enough to see the least of a stamp's power spectrum."""
    ny, nx = (max(64, 8 * n) for n in stamp.shape)
    return ny, nx


def _possible(stamp: np.ndarray) -> np.ndarray:
    """The nearest stamp whose power spectrum is positive, raised to the floor."""
    shape, reach = _lattice_of(stamp), np.array(stamp.shape) // 2
    for _ in range(_ROUNDS):
        power = power_spectrum(stamp, shape)
        if power.min() >= 0:
            break
        around = np.fft.irfft2(np.maximum(power, FLOOR), shape)
        stamp = np.roll(around, reach, (0, 1))[: stamp.shape[0], : stamp.shape[1]]
        stamp = stamp / stamp[tuple(reach)]
    return _raised(0.5 * (stamp + stamp[::-1, ::-1]))


def _raised(stamp: np.ndarray) -> np.ndarray:
    """With as much white noise as brings the least power to the floor."""
    least = power_spectrum(stamp, _lattice_of(stamp)).min()
    if least > 0.99 * FLOOR:
        return stamp
    white = np.zeros_like(stamp)
    white[tuple(np.array(stamp.shape) // 2)] = (FLOOR - least) / (1 - FLOOR)
    return (stamp + white) / (1 + white.max())


def checked_correlation(given: Any, label: str) -> np.ndarray:
    """The correlation as an image uses it: `given`, raised to the floor.

    Raises
    ------
    ValueError
        For what is not the correlation of any noise.
    """
    stamp = np.array(given, dtype=float)
    what = f"{label}: noise_correlation must be correlation coefficients by lag in pixels"
    if stamp.ndim != 2 or not all(n % 2 for n in stamp.shape):
        raise ValueError(f"{what}, of odd sides (lag 0 in the middle), got shape {stamp.shape}")
    if not np.all(np.isfinite(stamp)):
        raise ValueError(
            f"{what}, got {np.sum(~np.isfinite(stamp))} that are not finite: give 0 beyond what is known"
        )
    middle = stamp[stamp.shape[0] // 2, stamp.shape[1] // 2]
    if abs(middle - 1) > 1e-6:
        raise ValueError(
            f"{what}, 1 at lag 0, got {middle:.6g} in the middle: divide by it where it is a covariance"
        )
    apart = np.abs(stamp - stamp[::-1, ::-1]).max()
    if apart > 1e-6:
        raise ValueError(
            f"{what}, the same at opposite lags, got some that differ by {apart:.2g}: give the mean of the stamp and "
            "stamp[::-1, ::-1]"
        )
    least = power_spectrum(stamp, _lattice_of(stamp)).min()
    if least < -_TOLERATED:
        raise ValueError(
            f"{what} of noise that can be, but its power spectrum falls to {least:.2g} of its mean: a kernel is not its "
            "correlation (give the kernel's correlation with itself), and one cut off too early is not positive "
            "(give a larger stamp)"
        )
    return _raised(0.5 * (stamp + stamp[::-1, ::-1]))
