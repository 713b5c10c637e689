"""The PSF given as a stamp of pixels."""

from __future__ import annotations

import numbers
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bayesjoint.data.transfer import PointSpread, pixel_response

UNDERSAMPLED_FWHM = 2.5
TRUNCATED_PERCENT, EDGE_PERCENT = 2.0, 0.5
OFF_CENTRE = 0.2  # image pixels


class PSF(PointSpread):
    """PSF given as a stamp of pixels.

    Parameters
    ----------
    stamp : array (ny, nx)
        Samples of the PSF, normalised to sum 1 on entry, with a warning when the sum was off by over 1 %, and
        when over 2 % of the light seems to lie outside the stamp, or over 0.5 % lies in its outermost pixels; and when its
        core lies over a fifth of an image pixel beside `centre`.
    oversampling : int
        Samples per image pixel along each axis.
    includes_pixel : bool
        True for an effective PSF, as measured on stars; False when the pixel's response is still to be
        applied.
    centre : (x, y), optional
        Where in the stamp the source lies, in samples, 0-based; by default the middle of the array (between
        samples where its size is even).

    Raises
    ------
    ValueError
        For a stamp that is not two-dimensional, holds NaN, or sums to zero or less, or a centre outside it.

    Examples
    --------
    >>> y, x = np.mgrid[-12:13, -12:13]
    >>> stamp = np.exp(-(x**2 + y**2) / (2 * 1.8**2))
    >>> psf = PSF(stamp / stamp.sum())
    >>> print(f"{psf.fwhm_pixels:.2f}")
    4.22
    """

    def __init__(self, stamp, oversampling: int = 1, includes_pixel: bool = True, centre=None):
        if isinstance(stamp, str | Path):
            raise TypeError(
                f"a PSF stamp must be an array of pixels, got {stamp!r}: read it by astropy.io.fits.getdata"
            )
        stamp = np.array(stamp, dtype=float)
        if stamp.ndim != 2:
            raise ValueError(f"a PSF stamp must have two dimensions, got shape {stamp.shape}")
        if not np.all(np.isfinite(stamp)):
            raise ValueError(
                f"the PSF stamp has {np.sum(~np.isfinite(stamp))} NaN or infinite pixels: "
                "replace them (by 0 in the wings) before giving it"
            )
        is_number = isinstance(oversampling, numbers.Real) and not isinstance(oversampling, bool)
        if not (is_number and oversampling >= 1 and float(oversampling).is_integer()):
            raise ValueError(f"oversampling must be a whole number from 1 on, got {oversampling!r}")
        total = stamp.sum()
        if total <= 0:
            raise ValueError(
                f"the PSF stamp sums to {total:.4g}; a PSF's sum must be positive (1 when normalised)"
            )
        if abs(total - 1) > 0.01:
            warnings.warn(f"the PSF stamp summed to {total:.4g}; it was normalised to 1", stacklevel=2)
        self.stamp = stamp / total
        self.centre = _centre(centre, stamp.shape)
        self.oversampling = int(oversampling)
        self.includes_pixel = bool(includes_pixel)
        if self.oversampling == 1 and self.fwhm_pixels < UNDERSAMPLED_FWHM:
            warnings.warn(
                f"the PSF stamp has a FWHM of {self.fwhm_pixels:.2f} pixels and is not oversampled: its "
                "aliasing limits the model's accuracy to about 1e-3 of the peak; give an oversampled or "
                "analytic PSF",
                stacklevel=2,
            )
        self._tell_what_is_cut()
        self._tell_off_centre()

    def _tell_what_is_cut(self) -> None:
        """Warn where wings seem to lie outside the stamp, or its edge holds much light."""
        ny, nx = self.stamp.shape
        edge = 100 * _share_at_edge(self.stamp, self.oversampling)
        share = 100 * _share_outside(self.stamp)
        if share > TRUNCATED_PERCENT:
            what = (
                f"about {share:.2g} % of the PSF's light lies outside its stamp of {nx}x{ny}, going by how its wings fall "
                "towards the edge"
            )
        elif edge > EDGE_PERCENT:
            what = f"{edge:.2g} % of the PSF's light lies in the outermost pixels of its stamp of {nx}x{ny}, which cuts it"
        else:
            return
        warnings.warn(
            f"{what}; the stamp is normalised to 1, so that fluxes will come out too low by what lies outside: give a "
            "larger stamp",
            stacklevel=3,
        )

    def _tell_off_centre(self) -> None:
        """Warn where the core lies beside the centre: its image would be shifted against the others."""
        bright = np.maximum(self.stamp - 0.5 * self.stamp.max(), 0.0)
        y, x = (np.sum(bright * index) / bright.sum() for index in np.indices(bright.shape))
        apart = np.hypot(x - self.centre[0], y - self.centre[1]) / self.oversampling
        if apart > OFF_CENTRE:
            warnings.warn(
                f"the core of the PSF stamp lies at ({x:.2f}, {y:.2f}), {apart:.2f} image pixels from its centre "
                f"({self.centre[0]:g}, {self.centre[1]:g}), by which sources will be shifted in this image: give "
                "centre=(x, y) where the stamp has the source elsewhere than in its middle",
                stacklevel=3,
            )

    @classmethod
    def from_epsf(cls, epsf: Any, includes_pixel: bool = True) -> PSF:
        """The PSF of an effective PSF model of photutils: an `ImagePSF` or an `EPSFModel` of older versions.

        Parameters
        ----------
        epsf : object
            With attributes `data`, array (ny, nx), of sum 1 or, as photutils has it, oversampling^2;
            `oversampling`, a whole number or an equal pair; and possibly `origin`, (x, y) of the source: in samples of
            `data`, as an ImagePSF has it, or in image pixels, as an EPSFModel; what is nearer the middle is meant.
        includes_pixel : bool
            As an effective PSF does (Anderson & King 2000, PASP 112, 1360).

        Raises
        ------
        TypeError
            For an object without `data` and `oversampling`.
        ValueError
            For oversampling that differs between the axes, and as `PSF` itself.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> y, x = np.mgrid[-30:31, -30:31]
        >>> data = 16 * np.exp(-(x**2 + y**2) / (2 * 6.0**2)) / (2 * np.pi * 6.0**2)
        >>> PSF.from_epsf(SimpleNamespace(data=data, oversampling=(4, 4)))
        PSF(61x61, FWHM 3.53 px, oversampling 4, pixel included)
        """
        if not (hasattr(epsf, "data") and hasattr(epsf, "oversampling")):
            raise TypeError(
                "an effective PSF must have .data and .oversampling, as photutils' ImagePSF has, got "
                f"{type(epsf).__name__}: give PSF(stamp, oversampling=...) instead"
            )
        data, oversampling = np.array(epsf.data, dtype=float), _one_number(epsf.oversampling)
        total, samples = data.sum(), oversampling**2
        if total > 0 and abs(np.log(total / samples)) < abs(np.log(total)):
            data = data / samples
        origin = getattr(epsf, "origin", None)
        centre = (
            None if origin is None or data.ndim != 2 else _nearest_middle(origin, oversampling, data.shape)
        )
        return cls(data, oversampling, includes_pixel, centre)

    def __repr__(self) -> str:
        ny, nx = self.stamp.shape
        pixel = "pixel included" if self.includes_pixel else "without the pixel"
        x, y = self.centre
        place = "" if self.centre == _centre(None, self.stamp.shape) else f", centre ({x:.2f}, {y:.2f})"
        return f"PSF({nx}x{ny}, FWHM {self.fwhm_pixels:.2f} px, oversampling {self.oversampling}, {pixel}{place})"

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
        (ny, nx), (x0, y0) = self.stamp.shape, self.centre
        x, y = (np.arange(nx) - x0) / self.oversampling, (np.arange(ny) - y0) / self.oversampling
        along_x = np.exp(-1j * x[:, None] * np.ravel(kx))
        along_y = np.exp(-1j * np.ravel(ky)[:, None] * y)
        otf = along_y @ self.stamp @ along_x
        nyquist = np.pi * self.oversampling * (1 + 1e-9)
        otf = np.where((np.abs(kx) <= nyquist) & (np.abs(ky) <= nyquist), otf, 0)
        return otf if self.includes_pixel else otf * pixel_response(kx, ky)

    def _with_stamp(self, stamp: np.ndarray) -> PSF:
        """Another stamp, of any sum, on the same samples."""
        new = object.__new__(PSF)
        vars(new).update(vars(self) | {"stamp": stamp})
        return new

    @property
    def max_order(self) -> int:
        """The highest folded order within the stamp's own Nyquist frequency; none at the image's sampling."""
        return self.oversampling // 2

    def fwhm_arcsec(self, pixel_scale: float) -> float:
        """FWHM in arcsec, of the stamp as it is: with the pixel where it includes it."""
        return self.fwhm_pixels * pixel_scale

    def half_width(self, pixel_scale: float) -> float:
        """From the centre to the stamp's farthest edge, in image pixels."""
        reach = [
            max(at + 0.5, n - 0.5 - at) for at, n in zip(self.centre[::-1], self.stamp.shape, strict=True)
        ]
        return max(reach) / self.oversampling


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


def _centre(centre: Any, shape: tuple[int, ...]) -> tuple[float, float]:
    """The pair (x, y) given, or the middle of the stamp."""
    ny, nx = shape
    if centre is None:
        return (nx - 1) / 2, (ny - 1) / 2
    pair = np.asarray(centre, dtype=float)
    if pair.shape != (2,) or not (0 <= pair[0] <= nx - 1 and 0 <= pair[1] <= ny - 1):
        raise ValueError(
            f"the PSF's centre must be (x, y) within its stamp of {nx}x{ny} samples, 0-based, got {centre!r}"
        )
    return float(pair[0]), float(pair[1])


def _one_number(oversampling: Any) -> Any:
    """Oversampling of both axes, from a number or a pair."""
    values = np.unique(oversampling)
    if values.size != 1:
        raise ValueError(
            f"the effective PSF is oversampled {oversampling} times along (y, x); wanted the same along both: resample "
            "it"
        )
    return values[0].item()


def _nearest_middle(origin: Any, oversampling: int, shape: tuple[int, int]) -> np.ndarray:
    """An origin (x, y) in samples, whether it was given in these or in image pixels."""
    middle = np.array(_centre(None, shape))
    in_samples = np.asarray(origin, dtype=float)
    readings = in_samples, in_samples * oversampling
    return min(readings, key=lambda reading: float(np.sum((reading - middle) ** 2)))


def _share_at_edge(stamp: np.ndarray, oversampling: int) -> float:
    """Light in the outermost image pixels of a stamp."""
    return float(1 - stamp[oversampling:-oversampling, oversampling:-oversampling].sum())


def _share_outside(stamp: np.ndarray, ratio: float = 0.75) -> float:
    """Estimated light outside a stamp, over that inside: the frames outside it continue the three within it.

    In frames whose sizes fall by `ratio`, power-law wings r^-p hold light that falls outwards by ratio^(p - 2); where that
    fall steepens from frame to frame it goes on to do so. Wings shallower than those of diffraction, p = 3, are not
    believed, and the outermost frame counts by two standard errors less than it holds, for noise, which its lack of
    symmetry tells.
    """
    y, x = ((2 * np.abs(np.arange(n) - (n - 1) / 2) + 1) / n for n in stamp.shape)
    size = np.round(np.maximum(x, y[:, None]), 9).ravel()
    sizes, index = np.unique(size, return_inverse=True)
    light = np.cumsum(np.bincount(index, stamp.ravel()))
    within = np.interp(ratio ** (2.0 * np.arange(4)), np.append(0, sizes**2), np.append(0, light))
    outer, middle, inner = -np.diff(within)
    noise = (stamp - stamp[::-1, ::-1]).ravel()[size > ratio] / np.sqrt(2)
    outer -= 2 * np.sqrt(np.sum(noise**2))
    if outer <= 0:
        return 0.0
    fall = min(outer / middle, ratio) if middle > 0 else ratio
    before = max(middle / inner, fall) if middle > 0 and inner > 0 else fall
    fall *= fall / before
    return float(outer * fall / (1 - fall))
