"""The PSF given as a stamp of pixels."""

from __future__ import annotations

import warnings

import numpy as np

from bayesjoint.data.transfer import PointSpread, pixel_response

UNDERSAMPLED_FWHM = 2.5


class PSF(PointSpread):
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

    @property
    def max_order(self) -> int:
        """The highest folded order within the stamp's own Nyquist frequency; none at the image's sampling."""
        return self.oversampling // 2

    def fwhm_arcsec(self, pixel_scale: float) -> float:
        """FWHM in arcsec, of the stamp as it is: with the pixel where it includes it."""
        return self.fwhm_pixels * pixel_scale

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
