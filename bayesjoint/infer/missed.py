"""Sources that a fit shows to be missing: found in what it leaves of the images."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import vstack

from bayesjoint.data.find_sources import find_sources
from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.image import Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.measure import signal_to_noise, sky_of
from bayesjoint.data.source_checks import positions, words
from bayesjoint.infer.map_fit import MapFit
from bayesjoint.units import AB_ZEROPOINT_NJY

if TYPE_CHECKING:
    from astropy.table import Table

_SD_OF_MAD = 1.4826  # of a Gaussian
_CORE = 1.0  # FWHM of the PSF, within which a residual is a known source's, not another source


def add_sources(
    fit: MapFit,
    images: ImageSet,
    sources: Table,
    *,
    threshold: float = 3.0,
    model_error: float = 0.1,
    significance: float = 5.0,
) -> Table:
    """The table of a field's sources with those that its fit has left in the images: hidden in the light of others at first.

    `find_sources` looks for them on the residuals of one image after the other, the sharpest first, and measures them on
    those of all. A part of the model's light counts as noise there, lest what a profile does not describe of a bright
    galaxy's core be a source; nor is anything within a PSF of one that is known. Errors are those by which residuals
    scatter within a PSF, where that is more than the images say: their noise may correlate.

    Parameters
    ----------
    fit : MapFit
        Of `scene_model` on `images.with_sources(sources)`.
    images : ImageSet
    sources : astropy.table.Table
    threshold : float
        As of `find_sources`.
    model_error : float
        What part of the model's light the model may be wrong by.
    significance : float
        Signal to noise within a PSF, model error included, that a source must have.

    Returns
    -------
    astropy.table.Table
        A copy with new rows at its end, under names of their own; those have no more than the columns of `find_sources`.

    Raises
    ------
    ValueError
        For a fit of other images.

    Examples
    --------
    ``fit = bj.fit_map(field, images.with_sources(bj.add_sources(fit, images, sources)), start=fit)``
    """
    left = ImageSet([_residual(image, fit, k, model_error) for k, image in enumerate(images)], images.frame)
    table = sources.copy()
    for image in sorted(left, key=_seeing):
        try:
            found: Any = find_sources(left, on=image.name, threshold=threshold)
        except ValueError:  # there is nothing
            continue
        is_new = (found["snr"] > significance) & (
            _distance(found, table, left.frame) > _CORE * _seeing(image)
        )
        table = _joined(table, found[is_new])
    return table


def _seeing(image: Image) -> float:
    """FWHM of the PSF, arcsec."""
    return image.psf.fwhm_arcsec(image.pixel_scale)


def _joined(table: Table, found: Any) -> Any:
    """A table with what was found at its end, under names of its own."""
    if not len(found):
        return table
    found["name"] = _new_names(words(table, "name"), len(found))
    found.meta.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns that only one has are masked
        return vstack([table, found])


def _residual(image: Image, fit: MapFit, number: int, model_error: float) -> Image:
    """What a fit leaves of an image, with errors as it scatters, which have a part of the model's light in them."""
    if number >= len(fit.images) or (pixels := fit.images[number]).model.shape != image.shape:
        raise ValueError(
            f"the fit is of other images: {', '.join(fit.image_names)}, and {image.name!r} of {image.shape} pixels is none "
            "of them; give bj.fit_map of these"
        )
    sky = float(np.median(pixels.model))
    used = image.invvar > 0
    variance = 1 / np.where(used, image.invvar, 1.0) + (model_error * (pixels.model - sky)) ** 2
    left = partial(
        Image,
        np.where(used, image.data - pixels.model, 0.0),
        wcs=image.wcs,
        zeropoint=AB_ZEROPOINT_NJY,
        psf=image.psf,
        name=image.name,
        band=image.band,
        frame=image.frame,
    )
    weight = np.where(used, 1 / variance, 0.0)
    return left(invvar=weight / _scatter(left(invvar=weight)) ** 2)


def _scatter(left: Image) -> float:
    """How many times its errors what is left of an image scatters within a PSF: over 1 where its noise correlates."""
    snr = signal_to_noise(left, sky_of(left))[left.invvar > 0]
    return max(1.0, _SD_OF_MAD * float(np.median(np.abs(snr - np.median(snr)))))


def _distance(found: Table, sources: Table, frame: TangentFrame) -> np.ndarray:
    """How far (arcsec) each source found is from the nearest one known."""
    new, old = (positions(table, words(table, "name"), frame) for table in (found, sources))
    return np.hypot(*(new[:, None] - old[None]).transpose(2, 0, 1)).min(axis=1)


def _new_names(known: tuple[str, ...], number: int) -> list[str]:
    """s1, s2, ... after the last of those that are known."""
    numbers = [int(name[1:]) for name in known if name[:1] == "s" and name[1:].isdecimal()]
    first = max(numbers, default=0) + 1
    return [f"s{first + i}" for i in range(number)]
