"""An image: pixels in nanojansky, their weights, and the geometry that places the sky on them.

`Image` is a frozen pytree. Its arrays travel into compiled programs as arguments; its name, band and shapes
are static; the WCS, PSF object and provenance stay with the image outside compiled programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bayesjoint.data.analytic_psf import positive
from bayesjoint.data.frame import PixelMap, TangentFrame, fit_pixel_map, image_centre, pixels_per_arcsec
from bayesjoint.data.image_input import (
    as_pixels,
    check_wcs,
    estimated_weights,
    finite_number,
    same_shape,
    usable_weights,
)
from bayesjoint.data.lattice import padded_shape, window_lattice
from bayesjoint.data.possible_correlation import checked_correlation
from bayesjoint.data.psf_basis import BasisPSF
from bayesjoint.data.transfer import PointSpread, core_covariance, folded_transfer
from bayesjoint.data.whitening import Whitening, make_whitening
from bayesjoint.units import AB_ZEROPOINT_NJY

_ARRAYS = (
    "data",
    "invvar",
    "transfer",
    "windows",
    "psf_covariance",
    "pixel_map",
    "pixel_area",
    "centre",
    "log_normaliser",
    "time",
    "whitening",
)
_STATIC = ("name", "band", "shape", "fft_shape", "orders", "psf_weights", "window_lattices")
PSF_ROOM = 4.0  # FWHM of the PSF, by which windows are wider than sources


@jax.tree_util.register_pytree_node_class
class Image:
    """One image of the sky in its native pixels.

    Parameters
    ----------
    data : array (ny, nx)
        Pixels in the units of `zeropoint`; converted to nJy per pixel on entry.
    wcs : astropy.wcs.WCS
        Celestial WCS of the pixels, 0-based as astropy has it; any orientation, handedness, SIP.
    zeropoint : float
        AB magnitude of one data unit.
    psf : PSF, or what `gaussian_psf` and its like give
        Any `PointSpread`.
    invvar : array (ny, nx), optional
        Inverse variance, data units^-2; zero, NaN, infinite and negative values carry no weight. Estimated
        from the image's background and its sky noise when not given.
    mask : bool array (ny, nx), optional
        True where a pixel is not to be used.
    name, band : str, optional
        The image's own name (unique in a set; default the band) and its filter.
    time : float, optional
        Time of the exposure, days.
    frame : TangentFrame, optional
        The sky frame of positions; by default the tangent plane about the image's centre. An `ImageSet` gives
        all its images one frame.
    noise_correlation : array (odd, odd) or what `noise_correlation` finds, optional
        How the noise of pixels correlates, by their lag [y, x]: 1 in the middle, point-symmetric. By default
        pixels scatter independently. Raised to a power of at least 0.01 of the mean at every frequency.

    Attributes
    ----------
    data : array (ny, nx)
        nJy per pixel; 0 where a pixel has no weight.
    invvar : array (ny, nx)
        Inverse variance, nJy^-2; 0 where a pixel has no weight.
    shape : (ny, nx)
    pixel_area : float
        arcsec^2 at the image's centre.

    Raises
    ------
    ValueError, TypeError
        For input that cannot be an image, saying what came and what was wanted.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> import numpy as np
    >>> from bayesjoint.data.analytic_psf import gaussian_psf
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    >>> wcs.wcs.crpix, wcs.wcs.cdelt = [16.5, 16.5], [-0.2 / 3600, 0.2 / 3600]
    >>> image = Image(np.zeros((32, 32)), wcs=wcs, zeropoint=25.0, psf=gaussian_psf(0.8),
    ...               invvar=np.ones((32, 32)), band="r")
    >>> image
    Image('r', band 'r', 32x32 px of 0.200", zero point 25.000, PSF FWHM 0.80", 1024 of 1024 pixels used)
    """

    def __init__(
        self,
        data,
        *,
        wcs,
        zeropoint,
        psf,
        invvar=None,
        mask=None,
        name=None,
        band=None,
        time=None,
        frame=None,
        noise_correlation=None,
    ):
        label = f"image {name or band!r}" if (name or band) else "the image"
        data = as_pixels(data, label)
        check_wcs(wcs, label)
        zeropoint = finite_number(zeropoint, "zeropoint (AB magnitude of one data unit)", label)
        if not isinstance(psf, PointSpread):
            raise TypeError(
                f"{label}: psf must be bj.PSF(stamp), or bj.gaussian_psf(fwhm), bj.moffat_psf(fwhm, beta) or "
                f"another in closed form, got {type(psf).__name__}"
            )
        used = np.isfinite(data)
        if mask is not None:
            used &= ~same_shape(np.ma.filled(mask, True), data.shape, "mask", label).astype(bool)
        self.noise_estimated = invvar is None
        if invvar is None:
            invvar = estimated_weights(data, used, label)
        invvar = same_shape(np.ma.filled(invvar, 0.0), data.shape, "invvar", label)
        invvar = usable_weights(invvar, used, label)
        to_njy = 10 ** (-0.4 * (zeropoint - AB_ZEROPOINT_NJY))
        self.data = np.where(invvar > 0, data, 0.0) * to_njy
        self.invvar = invvar / to_njy**2
        self.wcs, self.psf, self.zeropoint = wcs, psf, zeropoint
        self.band = str(band) if band is not None else (str(name) if name is not None else "image")
        self.name = str(name) if name is not None else self.band
        self.time = None if time is None else np.asarray(finite_number(time, "time (days)", label))
        self.shape: tuple[int, int] = data.shape
        self.windows, self.window_lattices = (), ()
        self.window_widths: tuple[float, ...] = ()  # arcsec
        self._set_geometry(frame or image_centre(wcs, data.shape), label)
        self._set_noise(noise_correlation, label)

    def _set_noise(self, correlation, label: str) -> None:
        """What makes the noise independent, where it correlates, and the log density's constant."""
        self.whitening: Whitening | None = None
        logs = 0.5 * np.sum(np.log(self.invvar[self.invvar > 0]))
        if correlation is not None:
            self.whitening = make_whitening(checked_correlation(correlation, label), self.invvar)
            logs = self.whitening.log_determinant
        self.log_normaliser = np.asarray(logs - 0.5 * self.number_used * np.log(2 * np.pi))

    def _set_geometry(self, frame: TangentFrame, label: str) -> None:
        """Everything that follows from the WCS, the PSF and the frame."""
        self.frame = frame
        try:
            self.pixel_map: PixelMap = fit_pixel_map(self.wcs, self.shape, frame)
        except ValueError as error:
            raise ValueError(f"{label}: {error}") from None
        here = image_centre(self.wcs, self.shape)
        centre = np.array(frame.offsets(here.ra, here.dec), dtype=float)
        self.jacobian = pixels_per_arcsec(self.wcs, self.shape)
        self.centre = centre
        self.pixel_area = np.asarray(1 / abs(np.linalg.det(self.jacobian)))
        self.fft_shape = padded_shape(self.shape, self.psf.half_width(self.pixel_scale))
        self.transfer, self.orders = folded_transfer(self.psf, self.fft_shape, self.jacobian)
        self.psf_weights, core = None, self.transfer
        if isinstance(self.psf, BasisPSF):
            middle = np.array(self.shape[::-1]) / 2 - 0.5
            self.psf_weights, core = (
                self.psf.weights,
                np.tensordot(self.psf.nominal(middle), self.transfer, axes=1),
            )
        self.psf_covariance = core_covariance(core[0], self.fft_shape)

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel, arcsec (the root of its area)."""
        return float(np.sqrt(self.pixel_area))

    @property
    def number_used(self) -> int:
        """Number of pixels that carry weight."""
        return int(np.sum(self.invvar > 0))

    @property
    def noise_correlation(self) -> np.ndarray | None:
        """Correlation coefficients of the noise by lag (2 ry + 1, 2 rx + 1); None where pixels scatter independently."""
        return None if self.whitening is None else self.whitening.stamp

    def with_noise_correlation(self, correlation) -> Image:
        """The same image with noise that correlates between pixels as said; None for noise that does not."""
        new = object.__new__(Image)
        new.__dict__.update(self.__dict__)
        new._set_noise(correlation, f"image {self.name!r}")
        return new

    def with_mask(self, mask) -> Image:
        """The same image without the pixels (ny, nx) where `mask` is True, besides those that carry no weight already.

        Raises
        ------
        ValueError
            For a mask of another shape, and where no pixel is left.
        """
        label = f"image {self.name!r}"
        gone = same_shape(mask, self.shape, "mask", label).astype(bool)
        new = object.__new__(Image)
        new.__dict__.update(self.__dict__, data=np.where(gone, 0.0, self.data))
        new.invvar = usable_weights(self.invvar, ~gone, label)
        new._set_noise(self.noise_correlation, label)
        return new

    def with_frame(self, frame: TangentFrame, name: str | None = None) -> Image:
        """The same image with positions in `frame`, and a new name when given."""
        new = object.__new__(Image)
        new.__dict__.update(self.__dict__)
        if name is not None:
            new.name = name
        if frame != self.frame:
            new._set_geometry(frame, f"image {self.name!r}")
        return new

    def with_band(self, band: str) -> Image:
        """The same image in a band of this name: images of one band share brightnesses."""
        new = object.__new__(Image)
        new.__dict__.update(self.__dict__, band=str(band))
        return new

    def with_windows(self, *widths: float) -> Image:
        """The same image with windows of these widths, arcsec, for sources that are `Windowed`."""
        for width in widths:
            positive(width, f"image {self.name!r}: the width of windows (arcsec)")
        found = [window_lattice(self.psf, self.shape, self.jacobian, self.pixel_scale, w) for w in widths]
        new = object.__new__(Image)
        new.__dict__.update(self.__dict__)
        new.windows, new.window_lattices = tuple(zip(*found, strict=True)) or ((), ())
        new.window_widths = tuple(float(width) for width in widths)
        return new

    def with_source_windows(self, widths: Sequence[float]) -> Image:
        """The same image with windows for sources of these widths, arcsec: wider by what its PSF needs."""
        room = PSF_ROOM * self.psf.fwhm_arcsec(self.pixel_scale)
        return self.with_windows(*(width + room for width in widths))

    def without_data(self) -> Image:
        """The same image with its pixels unknown (`data` is None): `observe` then samples them, to predict data."""
        new = object.__new__(Image)
        new.__dict__.update(self.__dict__, data=None)
        return new

    def with_data(self, data) -> Image:
        """The same image with other pixels, nJy, of the same shape."""
        data = np.asarray(data, self.invvar.dtype)
        if data.shape != self.invvar.shape:
            raise ValueError(
                f"image {self.name!r}: data must have shape {self.invvar.shape}, got {data.shape}"
            )
        new = object.__new__(Image)
        new.__dict__.update(self.__dict__, data=data)
        return new

    def __repr__(self) -> str:
        if not hasattr(self, "wcs"):
            return f"Image({self.name!r}, band {self.band!r}, shape {self.shape}, inside a compiled program)"
        ny, nx = self.shape
        return (
            f'Image({self.name!r}, band {self.band!r}, {nx}x{ny} px of {self.pixel_scale:.3f}", '
            f'zero point {self.zeropoint:.3f}, PSF FWHM {self.psf.fwhm_arcsec(self.pixel_scale):.2f}", '
            f"{self.number_used} of {nx * ny} pixels used"
            f"{', noise estimated' if self.noise_estimated else ''}"
            f"{'' if self.whitening is None else ', noise correlated'})"
        )

    def _repr_html_(self) -> str:
        import html

        return f"<code>{html.escape(repr(self))}</code>"

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """Arrays, and what is static: the protocol of JAX pytrees."""
        return tuple(getattr(self, k) for k in _ARRAYS), tuple(getattr(self, k) for k in _STATIC)

    @classmethod
    def tree_unflatten(cls, static: tuple, arrays: Any) -> Image:
        """An image inside a compiled program: without WCS, PSF object and provenance."""
        new = object.__new__(cls)
        new.__dict__.update(zip(_ARRAYS, arrays, strict=True))
        new.__dict__.update(zip(_STATIC, static, strict=True))
        return new
