"""Colour composites of three images of other pixels: for the eye only, nothing is measured on what is resampled here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.visualization import LuptonAsinhStretch, ManualInterval, make_lupton_rgb, make_rgb
from scipy import ndimage

from bayesjoint.data.image import Image
from bayesjoint.data.measure import sky_of

RESIDUAL_RANGE = 5.0  # sigma
_LINEAR = 2.0  # widths of the noise within which the stretch is linear
_BRIGHT = 3.0  # sigma, from which on light counts for the colour that is white


def on_grid(image: Image, pixels: np.ndarray, reference: Image, order: int = 1) -> np.ndarray:
    """Pixels (ny, nx) of an image, sampled at the middles of the pixels of another, through both WCS.

    NaN outside the image, and where it has no weight. `order` is 1 (bilinear) or 0 (nearest).

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from bayesjoint.data.analytic_psf import gaussian_psf
    >>> def image(n, scale):
    ...     wcs = WCS(naxis=2)
    ...     wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    ...     wcs.wcs.crpix, wcs.wcs.cdelt = [(n + 1) / 2] * 2, [-scale / 3600, scale / 3600]
    ...     return Image(np.ones((n, n)), wcs=wcs, zeropoint=31.4, psf=gaussian_psf(2.0), invvar=np.ones((n, n)))
    >>> fine, coarse = image(12, 0.5), image(6, 1.0)
    >>> print(on_grid(coarse, np.arange(6.0) * np.ones((6, 1)), fine, order=0)[5])
    [0. 0. 1. 1. 2. 2. 3. 3. 4. 4. 5. 5.]
    """
    y, x = np.mgrid[: reference.shape[0], : reference.shape[1]]
    sky = reference.wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    places = np.stack(image.wcs.all_world2pix(*sky, 0, quiet=True))[::-1]
    edge = np.array(image.shape)[:, None] - 0.5
    inside = np.all((places >= -0.5) & (places < edge), axis=0)
    places = np.where(np.isfinite(places), places, -1.0)
    weighted = ndimage.map_coordinates((image.invvar > 0).astype(float), places, order=0, mode="nearest") > 0
    sampled = ndimage.map_coordinates(np.asarray(pixels, float), places, order=order, mode="nearest")
    return np.where(inside & weighted, sampled, np.nan).reshape(reference.shape)


def finest(images: Sequence[Image]) -> Image:
    """The image of the smallest pixels, on whose grid a composite is drawn."""
    return min(images, key=lambda image: image.pixel_scale)


class Composite:
    """How three images (red, green, blue) become colours: backgrounds, gains and one asinh stretch for all.

    White is the colour of all the light together; what is redder than that is red. The stretch is linear within two
    sigma of the noise and ends at the brightest pixel (Lupton et al. 2004).

    Parameters
    ----------
    images : sequence of three Image
        Red, green, blue.
    backgrounds : sequence of three float, optional
        nJy per pixel; by default measured.
    """

    def __init__(self, images: Sequence[Image], backgrounds: Sequence[float] | None = None):
        self.images, self.reference = tuple(images), finest(images)
        self.backgrounds = backgrounds or [sky_of(image).level for image in images]
        light = self._brightness([image.data for image in images])
        noise = np.array([np.median(i.invvar[i.invvar > 0]) ** -0.5 / float(i.pixel_area) for i in images])
        known = np.all(np.isfinite(light), axis=0)
        seen = known & np.any(light > _BRIGHT * noise[:, None, None], axis=0)
        # a band that sees nothing is not blown up until its noise looks like light
        colour = np.maximum([np.mean(band[seen]) if seen.any() else 0.0 for band in light], noise)
        self.gains = colour.mean() / colour
        self._width = _LINEAR * float(np.hypot.reduce(self.gains * noise)) / 3
        brightest = np.tensordot(self.gains, light, axes=1)[known] / 3
        self._peak = max(float(np.max(brightest, initial=0.0)), 5 * self._width)

    def _brightness(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Surface brightness above the backgrounds (3, ny, nx), nJy per arcsec^2, on the reference's grid."""
        triples = zip(self.images, pixels, self.backgrounds, strict=True)
        return np.stack(
            [on_grid(i, (own - sky) / float(i.pixel_area), self.reference) for i, own, sky in triples]
        )

    def light(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Colours (ny, nx, 3) in 0 to 1 of three images' pixels, nJy; NaN where one of them has none."""
        light = self.gains[:, None, None] * self._brightness(pixels)
        q = float(np.arcsinh(self._peak / self._width))
        red, green, blue = np.nan_to_num(np.maximum(light, 0.0))
        with np.errstate(invalid="ignore"):  # of pixels without any light
            asinh = LuptonAsinhStretch(q * self._width, q)  # type: ignore[arg-type]
            colours = make_lupton_rgb(red, green, blue, stretch_object=asinh) / 255
        return np.where(np.all(np.isfinite(light), axis=0)[..., None], colours, np.nan)

    def residual(self, residuals: Sequence[np.ndarray]) -> np.ndarray:
        """Colours (ny, nx, 3) of three images' residuals in sigma: grey where there are none; NaN as in `light`."""
        pairs = zip(self.images, residuals, strict=True)
        shown = np.stack([on_grid(image, own, self.reference, order=0) for image, own in pairs])
        within = ManualInterval(-RESIDUAL_RANGE, RESIDUAL_RANGE)
        colours = make_rgb(*np.nan_to_num(shown), interval=within) / 255
        return np.where(np.all(np.isfinite(shown), axis=0)[..., None], colours, np.nan)
