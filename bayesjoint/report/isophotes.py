"""A source's isophotes: measured on the images, and what its posterior says of them, with the PSF and without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesjoint.infer.source_pixels import source_pixels
from bayesjoint.report.annuli import (
    Annuli,
    annuli_of,
    edges_of,
    mean_errors,
    nearest_pixel,
    semi_major_axes,
    without_empty_core,
)
from bayesjoint.report.checking import latent_draws
from bayesjoint.report.quantities import pick_source
from bayesjoint.report.radial_profile import RadialProfile, image_of, surface_brightness

if TYPE_CHECKING:
    from bayesjoint.report.posterior import Posterior

_DRAWS = 60  # at which images are rendered
_FAINTEST = 0.5  # standard errors: annuli end where the model falls below
_RADII = 60


class Isophotes(NamedTuple):
    """Surface brightness of a source in one image, nJy/arcsec^2, against semi-major axis.

    Attributes
    ----------
    image, band : str
    radii, light, error : array (n,)
        Measured in annuli: neighbours and sky, as the best draw has them, removed. Errors are those of the pixels.
    seen : array (draws, n)
        The model's means in the same pixels, PSF included.
    intrinsic : RadialProfile
        Without PSF.
    """

    image: str
    band: str
    radii: np.ndarray
    light: np.ndarray
    error: np.ndarray
    seen: np.ndarray
    intrinsic: RadialProfile


def isophotes(
    posterior: Posterior,
    program: Any,
    more: Sequence[Any],
    bands: Sequence[str],
    source: Any,
    together: bool = False,
) -> list[Isophotes]:
    """Isophotes of a source in some bands, in annuli of the shape that it has in the first.

    Parameters
    ----------
    source : str or tuple of str, optional
        As in `Posterior.surface_brightness`.
    together : bool
        Whether the annuli of all images have the same edges, which the coarsest pixels and the emptiest core set.

    Raises
    ------
    ValueError
        For bands and sources that are not there.
    """
    sources = source if isinstance(source, tuple) else (pick_source(posterior.quantities, source),)
    names = [image_of(posterior, band) for band in bands]
    layout, args, draws = latent_draws(posterior, program, more)
    some = draws[np.linspace(0, len(draws) - 1, min(_DRAWS, len(draws))).astype(int)]
    best = draws[np.argmax(posterior.idata.sample_stats["lp"].values)]
    there = [source_pixels(program, layout, best, args, name, sources) for name in names]
    centre, q, pa = np.asarray(there[0].centre, float), float(there[0].q), float(there[0].pa)
    images = [posterior.images[name] for name in names]
    axes = [semi_major_axes(image, centre, q, pa) for image in images]
    edges = _edges(images, axes, together)
    rings = [
        _annuli(image, one.own, a, q, e) for image, one, a, e in zip(images, there, axes, edges, strict=True)
    ]
    smallest = min(image.pixel_scale for image in images)
    farthest = max(float(one.radii[-1]) for one in rings)
    radii = np.geomspace(0.3 * smallest, max(farthest, smallest), _RADII)
    profiles = surface_brightness(posterior, program, more, names, radii, sources)
    found = []
    for image, annuli, at_best, profile in zip(images, rings, there, profiles, strict=True):
        drawn = (source_pixels(program, layout, z, args, image.name, sources).own for z in some)
        area = float(image.pixel_area)
        seen = np.array([annuli.mean(np.asarray(own, float)) for own in drawn]) / area
        light = annuli.mean(image.data - np.asarray(at_best.rest, float)) / area
        error = mean_errors(image, annuli) / area
        found.append(Isophotes(image.name, image.band, annuli.radii, light, error, seen, profile))
    return found


def _edges(images: Sequence[Any], axes: Sequence[np.ndarray], together: bool) -> list[np.ndarray]:
    """Edges of each image's annuli, by its pixels and its core; or the same of all, by what suits the last of them."""
    numbers = np.array(
        [
            (image.pixel_scale, nearest_pixel(image, own), own.max())
            for image, own in zip(images, axes, strict=True)
        ]
    )
    if together:
        numbers[:] = numbers.max(axis=0)
    return [without_empty_core(edges_of(width, reach), nearest) for width, nearest, reach in numbers]


def _annuli(image: Any, own: np.ndarray, axes: np.ndarray, q: float, edges: np.ndarray) -> Annuli:
    """Annuli as far as the model stands out of the noise of their means."""
    annuli = annuli_of(image, axes, q, edges)
    faint = annuli.mean(np.asarray(own, float)) < _FAINTEST * mean_errors(image, annuli)
    return annuli if not faint.any() else annuli_of(image, axes, q, edges[: int(np.argmax(faint)) + 2])
