"""From images to a table of sources: found on one image, measured, and carried to all others through their WCS."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import Table
from scipy import sparse

from bayesjoint.data.catalogue import (
    as_catalogued,
    catalogue_places,
    catalogue_sizes,
    claim_pixels,
    is_said,
    without_units,
)
from bayesjoint.data.detected import Detected
from bayesjoint.data.detection import segment
from bayesjoint.data.image import PSF_ROOM, Image
from bayesjoint.data.image_set import ImageSet
from bayesjoint.data.measure import Sky, pixel_of, sky_of, star_reach
from bayesjoint.data.shapes import mixture_pixels, sky_ellipse
from bayesjoint.data.source_checks import is_seen

FAINTEST = 0.2  # of the noise of a pixel: where a window ends
# how columns are written, digits beyond the error left out; they are kept as they are
_WRITTEN = {"ra": ".8f", "dec": ".8f", "pa": ".1f", "snr": ".1f"}
_WRITTEN |= dict.fromkeys(("east", "north"), ".4f") | dict.fromkeys(("Re", "q", "window"), ".3f")
_B4 = 7.67  # b_n of n = 4, whose wings reach far


def find_sources(
    images: ImageSet | Image | Sequence[Image],
    on: str | None = None,
    segmentation: Any = None,
    threshold: float = 3.0,
    min_pixels: int = 5,
    contrast: float = 0.005,
    *,
    catalogue: Any = None,
) -> Table:
    """Find the sources of a field, and measure them on every image.

    They are looked for on the sharpest image, or a given one, by photutils (thresholds and deblending, Bertin & Arnouts
    1996). Centres, sizes and shapes are measured there, each source without its neighbours' pixels; fluxes on all images
    at once for all sources, as amplitudes of templates of these shapes under each image's PSF, so that sources that blend
    in one image are told apart by another.

    Parameters
    ----------
    images : ImageSet, Image or sequence of Image
    on : str, optional
        Name of the image to find them on; by default the one with the smallest PSF, arcsec.
    segmentation : int array (ny, nx), optional
        Labels of the pixels of that image, 0 where there is no source, in place of photutils' ones.
    threshold : float
        Signal to noise, within a PSF, down to which pixels belong to a source. What does not reach 5 is none.
    min_pixels : int
        Least number of connected pixels.
    contrast : float
        Least part of the flux of connected pixels that makes a peak among them a source of its own; 1: never.
    catalogue : SkyCoord or Table with columns ra and dec (degrees), optional
        Where the sources are, in place of detection (which photutils is not needed for). They keep these places, their
        order and, of a table, `name`, `kind`, `Re`, `q`, `pa`, `n`, `fixed` and `tied` where these are not masked; the rest
        is measured by what is there, with templates of these shapes. What is too faint to have a shape, or lies outside that
        image, is a star; what lies outside all images is left out with a warning.

    Returns
    -------
    astropy.table.Table
        One row a source, brightest first, to be edited as liked before `images.with_sources(table)`: `name`, `kind`
        ("galaxy", "star"; "bulge+disc" is for you to say), `fixed` and `tied` (empty: which parameters the model is to hold,
        and which it takes from another source; see `scene_model`), `ra`, `dec` (degrees), `east`, `north`, `Re`, `window`
        (arcsec; the last is the side of the square that its light is drawn in, which every image widens by its PSF), `q`,
        `pa` (degrees), `snr` (within a PSF), `label` (in the segmentation, which is `table.meta["segmentation"]`) and, of
        each band, `flux_<band>` and `flux_error_<band>` (nJy).

    Raises
    ------
    ImportError
        Without photutils, where no segmentation is given.
    ValueError
        For a segmentation of another shape, and where nothing is found.
    """
    if not isinstance(images, ImageSet):
        images = ImageSet(images if isinstance(images, list | tuple) else [images])
    image = images[on] if on is not None else min(images, key=lambda i: i.psf.fwhm_arcsec(i.pixel_scale))
    sky = sky_of(image)
    if catalogue is not None:
        return _catalogued(images, image, sky, catalogue, threshold)
    labels = (
        segment(image, sky, threshold, min_pixels, contrast)
        if segmentation is None
        else _given(segmentation, image)
    )
    numbers = np.setdiff1d(np.unique(labels[image.invvar > 0]), [0])
    if not numbers.size:
        raise ValueError(
            f"no source was found on image {image.name!r}: lower threshold= ({threshold:g}), or give another on="
        )
    detected = Detected.on(image, sky, labels, images.frame)
    rows = [detected.measure(int(number)) for number in numbers]
    rows.sort(key=lambda row: -row["snr"])
    return _table(images, image, sky, rows, labels)


def _catalogued(images: ImageSet, image: Image, sky: Sky, catalogue: Any, threshold: float) -> Table:
    """The table of sources whose places are given."""
    catalogue = without_units(catalogue)
    places = catalogue_places(catalogue, images.frame)
    sizes = catalogue_sizes(catalogue, len(places))
    seen = np.array([is_seen(images.originals, *each) for each in zip(places, sizes, strict=True)])
    if not seen.all():
        warnings.warn(
            f"{np.sum(~seen)} of {len(places)} sources of the catalogue lie outside all images, the first in row "
            f"{int(np.argmin(seen))}: left out",
            stacklevel=3,
        )
    if not seen.any():
        raise ValueError("no source of the catalogue lies in any image: check its positions, in degrees")
    labels = claim_pixels(image, sky, places[seen], sizes[seen], threshold)
    detected = Detected.on(image, sky, labels, images.frame)
    rows = [detected.measure(i + 1, place) for i, place in enumerate(places[seen])]
    for row, place in zip(rows, places[seen], strict=True):
        row["centre"] = place
    given: Any = catalogue[np.flatnonzero(seen)] if isinstance(catalogue, Table) else Table()
    for i, row in enumerate(rows):
        row |= as_catalogued(given, i, row)
    table = _table(images, image, sky, rows, labels)
    for column in ("name", "Re", "q", "pa", "n", "fixed", "tied"):
        if column in given.colnames:
            _write(table, column, given[column])
    return table


def _write(table: Table, column: str, given: Any) -> None:
    """What a catalogue says, where it says anything; elsewhere what was measured stays."""
    before: Any = table[column] if column in table.colnames else np.full(len(table), np.nan)
    table[column] = [new if is_said(new) else old for old, new in zip(before, given, strict=True)]


def _given(segmentation: Any, image: Image) -> np.ndarray:
    labels = np.asarray(getattr(segmentation, "data", segmentation))
    if labels.shape != image.shape or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"segmentation must hold whole numbers for the {image.shape} pixels of image {image.name!r}, "
            f"got {labels.dtype} of shape {labels.shape}; on= names the image that it belongs to"
        )
    if not np.any(labels[image.invvar > 0]):
        raise ValueError(
            f"segmentation has no label on a valid pixel of image {image.name!r}: its sources are numbered from 1 on; on= "
            "names the image that it belongs to"
        )
    return labels.astype(int)


def _fluxes(images: ImageSet, rows: Sequence[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Flux and error (n_bands, N), nJy: inverse-variance means over images; 0 with the widest error where unseen."""
    total, power = np.zeros((2, len(images.bands), len(rows)))
    for image, band in zip(images, images.band_index, strict=True):
        flux, error = _amplitudes(image, rows)
        weight = np.where(np.isfinite(error), error, np.inf) ** -2.0
        total[band] += weight * flux
        power[band] += weight
    seen = power > 0
    errors = np.where(seen, power, np.nan) ** -0.5
    return total / np.where(seen, power, 1.0), np.where(seen, errors, np.nanmax(errors))


def _amplitudes(image: Image, rows: Sequence[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes (N,) of all templates and a flat sky on one image, and their errors; not finite where it sees nothing."""
    sky = sky_of(image)
    columns = [_template(image, sky, row) for row in rows]
    design = sparse.vstack([*columns, sparse.csr_array(np.ones((1, image.data.size)))]).tocsr()
    weight = np.asarray(image.invvar).ravel()
    data = np.where(weight > 0, (image.data - sky.level).ravel(), 0.0)
    normal = (design * weight) @ design.T
    normal = np.asarray(normal.todense())
    seen = np.diag(normal) > 1e-9 * weight.max() * (design**2).sum(axis=1)
    unit = np.where(seen, np.diag(normal), 1.0) ** -0.5
    # sources that an image cannot tell apart share what is there: a ridge far below the noise of each alone
    scaled = unit[:, None] * normal * unit + 1e-3 * np.eye(len(unit))
    inverse = np.linalg.inv(scaled[np.ix_(seen, seen)])
    flux, error = np.zeros(len(unit)), np.full(len(unit), np.inf)
    flux[seen] = unit[seen] * (inverse @ (unit * (design @ (weight * data)))[seen])
    error[seen] = unit[seen] * np.sqrt(np.diag(inverse))
    return flux[:-1], error[:-1]


def _template(image: Image, sky: Sky, row: dict) -> Any:
    """A source of unit flux on an image, as one sparse row of its pixels."""
    ny, nx = image.shape
    jacobian = image.jacobian
    radius = 0.0 if row["kind"] == "star" else row["Re"]
    ellipse = jacobian @ sky_ellipse(radius, row["shape"]) @ jacobian.T
    middle = pixel_of(image, row["centre"])
    reach = int(np.ceil(6 * radius / image.pixel_scale + 4 * sky.sigma)) + 1
    x0, y0 = np.clip(np.round(middle).astype(int) - reach, 0, (nx, ny))
    x1, y1 = np.clip(np.round(middle).astype(int) + reach + 1, 0, (nx, ny))
    if x1 <= x0 or y1 <= y0:
        return sparse.csr_array((1, nx * ny))
    pixels = mixture_pixels((y1 - y0, x1 - x0), middle - (x0, y0), ellipse, max(sky.sigma, 0.4))
    index = (np.arange(y0, y1)[:, None] * nx + np.arange(x0, x1)).ravel()
    return sparse.csr_array((pixels.ravel(), (np.zeros(index.size, int), index)), shape=(1, nx * ny))


def _table(images: ImageSet, image: Image, sky: Sky, rows: list[dict], labels: np.ndarray) -> Table:
    flux, error = _fluxes(images, rows)
    centre = np.array([row["centre"] for row in rows])
    shape = np.array([row["shape"] for row in rows])
    ra, dec = images.frame.sky(*centre.T)
    names, kinds = [f"s{i + 1}" for i in range(len(rows))], [row["kind"] for row in rows]
    table = Table({"name": np.array(names, "U32"), "kind": np.array(kinds, "U16")})
    for column in ("fixed", "tied"):
        table[column] = np.array([""] * len(rows), "U64")
    table["ra"], table["dec"] = ra, dec
    table["east"], table["north"] = centre.T
    table["Re"] = [row["Re"] for row in rows]
    table["q"] = np.exp(-np.hypot(*shape.T))
    table["pa"] = np.degrees(0.5 * np.arctan2(shape[:, 1], shape[:, 0])) % 180
    table["snr"] = [row["snr"] for row in rows]
    table["label"] = [row["label"] for row in rows]
    for band, own, own_error in zip(images.bands, flux, error, strict=True):
        table[f"flux_{band}"], table[f"flux_error_{band}"] = own, own_error
    table["window"] = _widths(images, image, sky, table)
    for name in table.colnames:
        column: Any = table[name]
        column.info.format = _WRITTEN.get(name, ".5g" if name.startswith("flux") else None)
    table.meta = {"segmentation": labels, "image": image.name}
    return table


def _widths(images: ImageSet, image: Image, sky: Sky, table: Table) -> np.ndarray:
    """Twice the radius where each galaxy, were it of n = 4, falls under the noise of a pixel of the image: arcsec.

    To the nearest power of 2^(1/4), so that a program compiled for one field does for the next one like it.
    """
    columns: Any = [np.asarray(table[name]) for name in (f"flux_{image.band}", "Re", "q")]
    flux, radius, q = np.maximum(columns, np.array([0.0, 0.1 * image.pixel_scale, 0.0])[:, None])
    level = flux / (22.67 * radius**2 * q) * float(image.pixel_area) / (FAINTEST * sky.rms)
    galaxies = 2 * radius * (1 + np.log(np.maximum(level, 1)) / _B4) ** 4
    galaxies = 2.0 ** (np.round(4 * np.log2(galaxies)) / 4)
    return np.where(table["kind"] == "star", _star_widths(images, table), galaxies)


def _star_widths(images: ImageSet, table: Table) -> np.ndarray:
    """Twice the radius to which each source, were it a star, stands out of the noise of any image, but for the room that
    windows have for the PSF: arcsec.
    """
    widest = np.full(len(table), 2 * min(image.pixel_scale for image in images))
    for one in images:
        flux = np.asarray(table[f"flux_{one.band}"])
        room = PSF_ROOM * one.psf.fwhm_arcsec(one.pixel_scale)
        widest = np.maximum(widest, 2 * star_reach(one, sky_of(one), flux, FAINTEST) - room)
    return 2.0 ** (np.round(4 * np.log2(widest)) / 4)
